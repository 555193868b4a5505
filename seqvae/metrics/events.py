"""Events that are foretold with a score: the area under the ROC curve."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from seqvae.metrics.statistics import Estimate, Sources, standard_error


def auc(
    scores: Float[np.ndarray, "n t"], events: Bool[np.ndarray, "n t"], sources: Sources = None
) -> Estimate:
    """Return the probability that an event has a larger score than a frame without one; ties count half.

    The standard error is that of DeLong et al. 1988 for sequences as clusters (Obuchowski 1997): frames of
    one sequence depend on each other. NaN without events, or with nothing else.

    sources: see `standard_error`
    """
    n, positive = len(scores), int(events.sum())
    negative = events.size - positive
    if not positive or not negative:
        return Estimate(float("nan"), float("nan"), n)
    # 1. share of frames of the other kind that each frame is on the right side of
    placed = np.where(
        events,
        _below(scores, scores[~events]) / negative,
        1 - _below(scores, scores[events]) / positive,
    )
    area = float(placed[events].mean())
    # 2. deviations of each sequence, which sum to 0
    residual = n * np.where(events, (placed - area) / positive, (placed - area) / negative)
    return Estimate(area, standard_error(residual.sum(1), sources), n)


def _below(scores: Float[np.ndarray, "n t"], others: Float[np.ndarray, "m"]) -> Float[np.ndarray, "n t"]:
    """Return how many of the others are smaller than each score; equal ones count half."""
    ordered = np.sort(others)
    smaller, not_larger = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return (smaller + not_larger) / 2
