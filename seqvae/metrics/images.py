"""Scores of frames and masks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8
from scipy.optimize import linear_sum_assignment

# Errors of frames in [0, 1].


def grey(frames: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w 1"]:
    """Channel sum clipped to 1, as the STOVE protocol reduces balls on black (not luminance)."""
    return np.minimum(frames.sum(-1, keepdims=True), 1)


def without_repeats(frames: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w _"]:
    """The one channel of frames that are grey in c channels; other frames as they are.

    Models of grey frames decode to the data's channels. Summing equal channels would count them c times.
    """
    first = frames[..., :1]
    return first if (frames == first).all() else frames


def pixel_mse(
    predicted: Float[np.ndarray, "*n h w c"], truth: Float[np.ndarray, "*n h w c"]
) -> Float[np.ndarray, "*n"]:
    """Mean over pixels and channels of the squared difference; reduce both by `grey` for balls on black."""
    return np.square(predicted - truth).mean((-3, -2, -1))


# Agreement of segmentations: adjusted Rand index and intersection over union.
#
# A segmentation is an array of integer labels, one a pixel; in the truth 0 is background and k + 1 object k.


def _contingency(
    truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]
) -> Int[np.ndarray, "i j"]:
    """Pixels shared by each true and each predicted segment; only labels that occur."""
    rows = np.unique(truth, return_inverse=True)[1].reshape(-1)
    columns = np.unique(labels, return_inverse=True)[1].reshape(-1)
    table = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1), dtype=int)
    np.add.at(table, (rows, columns), 1)
    return table


def adjusted_rand_index(truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]) -> float:
    """Rand index over pairs of pixels, corrected for chance (Hubert & Arabie 1985): 1 equal, 0 chance.

    Where chance leaves no room (both are one segment, or both only single pixels) the two agree: 1.
    Without any pixel it is undefined: NaN.
    """
    table = _contingency(truth, labels)
    if table.sum() == 0:
        return float("nan")

    def pairs(counts):
        return (counts * (counts - 1) / 2).sum()

    together, in_truth, in_labels = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = in_truth * (in_labels / max(pairs(table.sum()), 1))
    most = (in_truth + in_labels) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def foreground_ari(truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]) -> float:
    """Adjusted Rand index over the pixels of true objects (FG-ARI); NaN in a frame without any.

    With one true object it is 1 if one segment holds it and 0 if it is split.
    """
    return adjusted_rand_index(truth[truth != 0], labels[truth != 0])


def mean_iou(truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]) -> float:
    """Mean over true objects of the intersection over union with the segment assigned to each.

    One segment an object, with the largest total (Hungarian); an object left without one counts 0.
    NaN in a frame without objects.
    """
    objects, segments = np.unique(truth[truth != 0]), np.unique(labels)
    if len(objects) == 0:
        return float("nan")
    a = truth.reshape(-1) == objects[:, None]
    b = labels.reshape(-1) == segments[:, None]
    both = a.astype(int) @ b.T.astype(int)
    iou = both / (a.sum(1)[:, None] + b.sum(1) - both)
    return float(iou[linear_sum_assignment(-iou)].sum() / len(objects))


# Masks that need no model: the shapes of one frame, moved as rigid bodies and laid over each other.


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
