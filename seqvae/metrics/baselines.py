"""Baselines that need no model: paths of objects left to themselves, and shapes that move along them."""

from __future__ import annotations

import numpy as np
from einops import repeat
from jaxtyping import Bool, Float, Int, UInt8


def static(position: Float[np.ndarray, "n k 2"], horizon: int) -> Float[np.ndarray, "n t k 2"]:
    """Return the last position, `horizon` times."""
    return repeat(position, "n k x -> n t k x", t=horizon)


def linear(
    position: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"],
    horizon: int,
    clamp: float | Float[np.ndarray, "n k"],
) -> Float[np.ndarray, "n t k 2"]:
    """Return position + h velocity, h = 1..horizon, clamped to [-clamp, clamp], for all or by object.

    Kossen et al. 2020 (arXiv 1910.02425) clamp at 0.8 half-widths, for gravity at 0.9.
    """
    steps = np.arange(1, horizon + 1)[:, None, None]
    wall = np.asarray(clamp)[..., None, :, None] if np.ndim(clamp) else clamp
    return np.clip(position[:, None] + steps * velocity[:, None], -wall, wall)


def bouncing(
    position: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"],
    horizon: int,
    wall: Float[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, "n t k 2"], Float[np.ndarray, "n t k 2"]]:
    """Return positions and velocities of straight lines reflected at -wall and wall, h = 1..horizon.

    A reflected line is a triangle wave of period 4 wall in u = position + h velocity, so it is exact whatever
    the number of reflections in a frame. A position beyond a wall starts at the wall.
    """
    wall = np.maximum(wall, np.finfo(float).tiny)[:, None, :, None]
    start = np.clip(position[:, None], -wall, wall)
    unbounded = start + np.arange(1, horizon + 1)[:, None, None] * velocity[:, None]
    phase = np.mod(unbounded + wall, 4 * wall)
    direction = np.where(phase < 2 * wall, 1.0, -1.0)
    return wall - np.abs(phase - 2 * wall), direction * velocity[:, None]


# Masks that need no model: the shapes of one frame, moved as rigid bodies and laid over each other.


def complete_shapes(
    masks: UInt8[np.ndarray, "n h w"],
    layers: Int[np.ndarray, "n k"],
    positions: Float[np.ndarray, "n k 2"],
    radii: Float[np.ndarray, "n k"],
) -> Bool[np.ndarray, "n k h w"]:
    """Return the pixels of each object: those that it shows, and of its disc those where a nearer one shows.

    masks: 0 background, k + 1 object k.
    layers: drawing order, higher is nearer.
    positions: x in half-widths, y in half-heights.
    radii: half-widths.
    """
    h, w = masks.shape[-2:]
    shown = masks[:, None] == np.arange(1, layers.shape[1] + 1)[:, None, None]
    nearer = layers[:, None] > layers[:, :, None]  # n k other
    covered = np.einsum("nko,nohw->nkhw", nearer.astype(np.uint8), shown.astype(np.uint8)) > 0
    x, y = (2 * np.arange(w) + 1) / w - 1, (2 * np.arange(h) + 1) / h - 1
    across = np.square(x - positions[..., 0, None])[..., None, :]
    down = np.square(h / w * (y - positions[..., 1, None]))[..., :, None]
    return shown | (covered & (across + down < np.square(radii)[..., None, None]))


def move_shapes(
    shapes: Bool[np.ndarray, "n k h w"],
    layers: Int[np.ndarray, "n k"],
    shift: Float[np.ndarray, "n t k 2"],
) -> Int[np.ndarray, "n t h w"]:
    """Return labels (0 background, k + 1 object k) of shapes shifted by coordinates, in whole pixels.

    The part of a shape that leaves the picture is lost; the nearest shape at a pixel has it.
    """
    n, _, h, w = shapes.shape
    pixels = np.rint(shift * np.array([w, h]) / 2).astype(int)
    labels = np.zeros((n, shift.shape[1], h, w), dtype=int)
    sequence = np.arange(n)
    # row and column of the unmoved shape under each row and column of the picture: n t k h, n t k w
    rows, columns = np.arange(h) - pixels[..., 1, None], np.arange(w) - pixels[..., 0, None]
    for k in np.argsort(layers, axis=1, kind="stable").T:  # "n", from the farthest to the nearest
        row, column = (x[sequence, :, k] for x in (rows, columns))  # n t h, n t w
        inside = ((row >= 0) & (row < h))[..., None] & ((column >= 0) & (column < w))[..., None, :]
        source = row.clip(0, h - 1)[..., None], column.clip(0, w - 1)[..., None, :]
        covers = inside & shapes[sequence[:, None, None, None], k[:, None, None, None], *source]
        labels = np.where(covers, k[:, None, None, None] + 1, labels)
    return labels
