"""Predicted paths of objects that are paired with slots once, at the first predicted frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from seqvae.metrics.objects import mean_of_present

_UNPAIRABLE = 1e9  # squared distance of an object or slot that does not exist, or is not finite


def pair_once(
    slots: Float[np.ndarray, "n s 2"],
    truth: Float[np.ndarray, "n k 2"],
    present: Bool[np.ndarray, "n k"] | None = None,
    exists: Bool[np.ndarray, "n s"] | None = None,
) -> Int[np.ndarray, "n k"]:
    """Return the slot of each object, -1 for none: as many pairs as possible, of least squared distance.

    present, exists: objects and slots that may be paired; None: all. One that is not finite is paired last.
    """
    n, k, s = *truth.shape[:2], slots.shape[1]
    squares = np.square(truth[:, :, None] - slots[:, None]).sum(-1)  # n k s
    squares = np.nan_to_num(squares, nan=_UNPAIRABLE / 2, posinf=_UNPAIRABLE / 2)
    allowed = np.ones((n, k, s), dtype=bool)
    if present is not None:
        allowed &= present[..., None]
    if exists is not None:
        allowed &= exists[:, None]
    squares = np.where(allowed, squares, _UNPAIRABLE)
    order = np.full((n, k), -1)
    for i, cost in enumerate(squares):
        rows, columns = linear_sum_assignment(cost)
        order[i, rows] = np.where(allowed[i, rows, columns], columns, -1)
    return order


def mean_euclidean_distance(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
    exists: Bool[np.ndarray, "n s"] | None = None,
) -> Float[np.ndarray, "n t"]:
    """Return MED: the mean distance of objects to their slots, in picture widths, over predicted frames.

    Objects and slots are paired once, at the first of these frames. An object that has no slot there, or is
    not there itself, costs nothing; so MED is reported beside the share of objects that are found. NaN
    (undefined) in a frame in which no paired object is present.

    slots, truth: in half-widths on both axes.
    present: whether an object is there; None: all always are.
    exists: slots that may be paired; None: all.

    Source: Lin et al. 2020, arXiv 2010.02054 (G-SWM).
    """
    order = pair_once(slots[:, 0], truth[:, 0], None if present is None else present[:, 0], exists)
    if slots.shape[2] == 0:
        return np.full(truth.shape[:2], np.nan)
    paths = slots[np.arange(len(slots))[:, None], :, order].swapaxes(1, 2)  # n t k 2
    distance = np.linalg.norm(paths - truth, axis=-1) / 2
    paired = np.broadcast_to((order >= 0)[:, None], distance.shape)
    return mean_of_present(distance, paired if present is None else paired & present)
