"""Means with their standard errors; sequences are the independent units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num, Shaped


@dataclass(frozen=True)
class Estimate:
    """A mean over n sequences and its standard error (NaN when n is 1)."""

    mean: float
    se: float
    n: int

    def __mul__(self, factor: int | float) -> Estimate:
        return Estimate(self.mean * factor, self.se * abs(factor), self.n)


def estimate(values: Shaped[np.ndarray, "n *rest"]) -> Estimate:
    """Mean of values, and its standard error over sequences.

    Values of one sequence depend on each other, so they are averaged first and count as one. A NaN is
    passed on: a model whose states are not finite must not look better for it.
    """
    per_sequence = values.reshape(len(values), -1).mean(1, dtype=np.float64)
    n = len(per_sequence)
    return Estimate(float(per_sequence.mean()), _standard_error(per_sequence), n)


def estimate_ratio(numerator: Num[np.ndarray, "n"], denominator: Num[np.ndarray, "n"]) -> Estimate:
    """mean(numerator) / mean(denominator), with the standard error to first order (delta method)."""
    scale = denominator.mean(dtype=np.float64)
    ratio = numerator.mean(dtype=np.float64) / scale
    residual = (numerator - ratio * denominator) / scale
    return Estimate(float(ratio), _standard_error(residual), len(numerator))


def _standard_error(values: Num[np.ndarray, "n"]) -> float:
    n = len(values)
    return float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
