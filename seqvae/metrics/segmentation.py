"""Agreement of segmentations: adjusted Rand index and intersection over union.

A segmentation is an array of integer labels, one a pixel; in the truth 0 is background and k + 1 object k.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Integer
from scipy.optimize import linear_sum_assignment


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
