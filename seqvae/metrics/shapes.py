"""Masks that need no model: the shapes of one frame, moved as rigid bodies and laid over each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8


def whole_shapes(
    masks: UInt8[np.ndarray, "n h w"],
    layers: Int[np.ndarray, "n k"],
    positions: Float[np.ndarray, "n k 2"],
    radii: Float[np.ndarray, "n k"],
) -> Bool[np.ndarray, "n k h w"]:
    """The pixels of each object: those that it shows, and of its disc those where a nearer object shows.

    masks: 0 background, k + 1 object k. layers: higher is nearer. positions: x in
    half-widths, y in half-heights. radii in half-widths.
    """
    h, w = masks.shape[-2:]
    shown = masks[:, None] == np.arange(1, layers.shape[1] + 1)[:, None, None]
    nearer = layers[:, None] > layers[:, :, None]  # n k other
    covered = np.einsum("nko,nohw->nkhw", nearer.astype(np.uint8), shown.astype(np.uint8)) > 0
    x, y = (2 * np.arange(w) + 1) / w - 1, (2 * np.arange(h) + 1) / h - 1
    across = np.square(x - positions[..., 0, None])[..., None, :]
    down = np.square(h / w * (y - positions[..., 1, None]))[..., :, None]
    return shown | (covered & (across + down < np.square(radii)[..., None, None]))


def moved_shapes(
    shapes: Bool[np.ndarray, "n k h w"],
    layers: Int[np.ndarray, "n k"],
    shift: Float[np.ndarray, "n t k 2"],
) -> Int[np.ndarray, "n t h w"]:
    """Labels (0 background, k + 1 object k) of shapes shifted by coordinates, rounded to whole pixels.

    What leaves the picture is lost; the nearest shape at a pixel has it.
    """
    n, k, h, w = shapes.shape
    pixels = np.rint(shift * np.array([w, h]) / 2).astype(int)
    labels = np.zeros((n, shift.shape[1], h, w), dtype=int)
    sequence = np.arange(n)
    rows, columns = np.arange(h) - pixels[..., 1, None], np.arange(w) - pixels[..., 0, None]
    for which in np.argsort(layers, axis=1, kind="stable").T:  # from the farthest to the nearest
        row, column = (x[sequence, :, which] for x in (rows, columns))  # n t h, n t w
        inside = ((row >= 0) & (row < h))[..., None] & ((column >= 0) & (column < w))[..., None, :]
        place = row.clip(0, h - 1)[..., None], column.clip(0, w - 1)[..., None, :]
        shown = inside & shapes[sequence[:, None, None, None], which[:, None, None, None], *place]
        labels = np.where(shown, which[:, None, None, None] + 1, labels)
    return labels
