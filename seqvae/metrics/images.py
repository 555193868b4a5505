"""Scores of frames and masks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Integer
from scipy.optimize import linear_sum_assignment

# Errors of frames in [0, 1].


def to_grey(frames: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w 1"]:
    """Return the channel sum clipped to 1, as the STOVE protocol reduces balls on black (not luminance)."""
    return np.minimum(frames.sum(-1, keepdims=True), 1)


def drop_equal_channels(frames: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w _"]:
    """Return the one channel of frames that are grey in c channels, and other frames as they are.

    Models of grey frames decode to the data's channels. Summing equal channels would count them c times.
    """
    first = frames[..., :1]
    return first if (frames == first).all() else frames


def pixel_mse(
    predicted: Float[np.ndarray, "*n h w c"], truth: Float[np.ndarray, "*n h w c"]
) -> Float[np.ndarray, "*n"]:
    """Return the mean squared difference over pixels and channels; reduce balls on black by `to_grey`."""
    return np.square(predicted - truth).mean((-3, -2, -1))


# Agreement of segmentations. A segmentation is an array of integer labels, one per pixel; in the truth 0 is
# background and k + 1 object k.


def _contingency(
    truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]
) -> Int[np.ndarray, "i j"]:
    """Return the number of pixels that each true and predicted segment share; only labels that occur."""
    rows = np.unique(truth, return_inverse=True)[1].reshape(-1)
    columns = np.unique(labels, return_inverse=True)[1].reshape(-1)
    table = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1), dtype=int)
    np.add.at(table, (rows, columns), 1)
    return table


def adjusted_rand_index(truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]) -> float:
    """Return the Rand index over pairs of pixels, corrected for chance: 1 equal, 0 chance.

    Where chance leaves no room (both are one segment, or both only single pixels) the two agree: 1.
    NaN (undefined) without any pixel. Hubert and Arabie 1985.
    """
    table = _contingency(truth, labels)
    if table.sum() == 0:
        return float("nan")

    def pairs(counts: np.ndarray | np.integer) -> float:
        return (counts * (counts - 1) / 2).sum()

    together, in_truth, in_labels = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = in_truth * (in_labels / max(pairs(table.sum()), 1))
    most = (in_truth + in_labels) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def foreground_ari(truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]) -> float:
    """Return the adjusted Rand index over the pixels of true objects (FG-ARI); NaN in a frame without any.

    With one true object it is 1 if one segment holds it and 0 if it is split.
    """
    return adjusted_rand_index(truth[truth != 0], labels[truth != 0])


def mean_iou(truth: Integer[np.ndarray, "..."], labels: Integer[np.ndarray, "..."]) -> float:
    """Return the mean over true objects of the intersection over union with the segment assigned to each.

    One segment per object, with the largest total (Hungarian); an object left without one counts 0.
    NaN in a frame without objects.
    """
    objects, segments = np.unique(truth[truth != 0]), np.unique(labels)
    if len(objects) == 0:
        return float("nan")
    in_object = truth.reshape(-1) == objects[:, None]
    in_segment = labels.reshape(-1) == segments[:, None]
    both = in_object.astype(int) @ in_segment.T.astype(int)
    iou = both / (in_object.sum(1)[:, None] + in_segment.sum(1) - both)
    return float(iou[linear_sum_assignment(-iou)].sum() / len(objects))
