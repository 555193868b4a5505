"""Means and their standard errors; sequences, or the sources that they share, are the independent units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy.sparse import csr_matrix

from seqvae.metrics.objects import mean_of_present

Sources = Int[np.ndarray, "n s"] | None


@dataclass(frozen=True)
class Estimate:
    """Mean over n sequences and its standard error, NaN for a single independent unit."""

    mean: float
    se: float
    n: int

    def __mul__(self, factor: int | float) -> Estimate:
        return Estimate(self.mean * factor, self.se * abs(factor), self.n)


def estimate(
    values: Shaped[np.ndarray, "n *rest"],
    sources: Sources = None,
    defined: Bool[np.ndarray, "n *rest"] | None = None,
) -> Estimate:
    """Return the mean of values and its standard error over sequences.

    Values of one sequence depend on each other, so they are averaged first and count as one. A NaN is
    passed on: a model whose states are not finite must not look better for it.

    sources: see `standard_error`.
    defined: where there is a value at all, None for everywhere. Others count nowhere, and a sequence
        without any is not one of the n; without a sequence the mean is NaN, and n = 0.
    """
    if defined is None:
        per_sequence = values.reshape(len(values), -1).mean(1, dtype=np.float64)
    else:
        where = defined.reshape(len(values), -1)
        has_value = where.any(1)
        if not has_value.any():
            return Estimate(float("nan"), float("nan"), 0)
        kept = values.reshape(where.shape)[has_value]
        per_sequence = kept.mean(1, dtype=np.float64, where=where[has_value])
        sources = None if sources is None else sources[has_value]
    mean = float(per_sequence.mean())
    return Estimate(mean, standard_error(per_sequence - mean, sources), len(per_sequence))


def estimate_ratio(
    numerator: Num[np.ndarray, "n"], denominator: Num[np.ndarray, "n"], sources: Sources = None
) -> Estimate:
    """Return mean(numerator) / mean(denominator), with the standard error to first order (delta method)."""
    scale = denominator.mean(dtype=np.float64)
    ratio = numerator.mean(dtype=np.float64) / scale
    residual = (numerator - ratio * denominator) / scale
    return Estimate(float(ratio), standard_error(residual, sources), len(numerator))


def standard_error(residuals: Num[np.ndarray, "n"], sources: Sources = None) -> float:
    """Return the standard error of a mean from the deviations of its n values, which sum to 0.

    Two values that share a source depend on each other. The variance of the mean is then (cluster-robust,
    with G sources; Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering")

        G / (G - 1)  sum over i, j that share a source of  r_i r_j / n^2

    and without sources, where each i only shares with itself, the usual s^2 / n. A value with several sources
    joins overlapping clusters, for which the sum may fall below the one of independent values; then the
    larger of the two is taken. NaN for a single independent unit.

    sources: n s, sources that each value was made from, -1 for none.
    """
    residuals = np.asarray(residuals, dtype=np.float64)
    n = len(residuals)
    squares = residuals @ residuals
    total, units = squares, n
    if sources is not None:
        shared, units = _sharing(sources)
        total = residuals @ (shared @ residuals)
        if sources.shape[1] > 1:
            total = max(total, squares) if np.isfinite(total) else total
    if units < 2:
        return float("nan")
    return float(np.sqrt(max(total, 0.0) * units / (units - 1)) / n) if np.isfinite(total) else float("nan")


def source_count(sources: Int[np.ndarray, "n s"]) -> int:
    """Return the number of different sources; a value that has none counts as one by itself."""
    return len(np.unique(sources[sources >= 0])) + int((sources < 0).all(1).sum())


def _sharing(sources: Int[np.ndarray, "n s"]) -> tuple[csr_matrix, int]:
    """Return pairs of values that share a source, a sparse "n n" of 0 and 1, and the number of sources."""
    n = len(sources)
    alone = np.where((sources < 0).all(1), sources.max(initial=-1) + 1 + np.arange(n), -1)
    used = np.concatenate([sources, alone[:, None]], 1)
    value, _ = np.nonzero(used >= 0)
    names, column = np.unique(used[used >= 0], return_inverse=True)
    member = csr_matrix((np.ones(len(value)), (value, column)), (n, len(names)))
    shared = member @ member.T
    shared.data[:] = 1.0
    return shared, len(names)


def drop_undefined(
    values: Float[np.ndarray, "n"], sources: Sources = None
) -> tuple[Float[np.ndarray, "m"], Int[np.ndarray, "m s"] | None]:
    """Return the values that are not NaN, with their sources."""
    kept = ~np.isnan(values)
    return values[kept], None if sources is None else sources[kept]


# Sampled futures: the best of S, and the coverage of intervals.


def best_of(
    errors: Float[np.ndarray, "s n t"], defined: Bool[np.ndarray, "n t"] | None = None
) -> Float[np.ndarray, "n"]:
    """Return the least error, averaged over the frames given, among a sequence's S samples.

    defined: frames that have an error, None for all. NaN for a sequence without any.
    """
    if defined is None:
        return errors.mean(-1).min(0)
    count = defined.sum(-1)
    least = (errors.sum(-1, where=defined) / np.maximum(count, 1)).min(0)
    return np.where(count > 0, least, np.nan)


def coverage(
    samples: Float[np.ndarray, "s n t k 2"],
    truth: Float[np.ndarray, "n t k 2"],
    level: float,
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Float[np.ndarray, "n t"]:
    """Return the share of present objects' coordinates inside the central interval of probability `level`.

    The i-th of S ordered samples is taken for the quantile i / (S + 1) (Weibull's positions): then samples
    from the true density cover exactly `level` in expectation. NumPy's default positions would cover 81
    instead of 90 % at S = 20. NaN (undefined) in a frame without objects.

    Raises:
        ValueError: there are fewer than 2 / (1 - level) - 1 samples.
    """
    tail = (1 - level) / 2
    least = round(1 / tail, 6) - 1
    if len(samples) < least:
        raise ValueError(f"a {level:.0%} interval needs at least {least:.0f} samples, got {len(samples)}")
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0, method="weibull")
    inside = ((low <= truth) & (truth <= high)).mean(-1)
    return mean_of_present(inside, present)
