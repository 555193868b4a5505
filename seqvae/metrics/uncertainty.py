"""Stochastic futures: the best of S, and whether intervals cover what they claim."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def best_of(errors: Float[np.ndarray, "s n t"]) -> Float[np.ndarray, "n"]:
    """The least error, averaged over the frames given, among a sequence's S samples."""
    return errors.mean(-1).min(0)


def coverage(
    samples: Float[np.ndarray, "s n t k 2"],
    truth: Float[np.ndarray, "n t k 2"],
    level: float,
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Float[np.ndarray, "n t"]:
    """Share of present objects' coordinates inside the samples' central interval of probability `level`.

    The i-th of S ordered samples is taken for the quantile i / (S + 1) (Weibull's positions): then
    samples from the true density cover exactly `level` in expectation. numpy's default positions would
    cover 81 instead of 90 % at S = 20. Needs S >= 2 / (1 - level) - 1 (ValueError).
    """
    tail = (1 - level) / 2
    least = round(1 / tail, 6) - 1
    if len(samples) < least:
        raise ValueError(f"a {level:.0%} interval needs at least {least:.0f} samples, got {len(samples)}")
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0, method="weibull")
    inside = ((low <= truth) & (truth <= high)).mean(-1)
    present = np.ones(inside.shape, dtype=bool) if present is None else present
    return inside.sum(-1, where=present) / np.maximum(present.sum(-1), 1)
