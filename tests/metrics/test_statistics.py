"""Standard errors of values that share their sources."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics


def test_two_sources_by_hand():
    """Means -3 -1 | 1 3 from their mean: sums -4 and 4, so 2 / 1 x 32 / 16 = 4."""
    values = np.array([1.0, 3.0, 5.0, 7.0])
    e = metrics.estimate(values, np.array([[7], [7], [2], [2]]))
    assert (e.mean, e.n) == (4, 4) and e.se == pytest.approx(2)
    assert metrics.estimate(values).se == pytest.approx(np.sqrt(20 / 3 / 4))


def test_overlapping_sources_by_hand():
    """-2 and -1 share source 1, 3 shares with none: 14 + 2 x 2 = 18, with 4 sources 4 / 3 x 18 / 9."""
    sources = np.array([[0, 1], [1, 2], [3, -1]])
    assert metrics.estimate(np.array([1.0, 2.0, 6.0]), sources).se == pytest.approx(np.sqrt(8 / 3))
    # what shares and goes apart would cancel: independence is then the larger
    opposite = metrics.estimate(np.array([0.0, 6.0, 3.0]), sources)
    assert opposite.se == pytest.approx(np.sqrt(4 / 3 * 18 / 9))


def test_no_source_shares_with_none():
    values, none = np.array([1.0, 3.0, 8.0]), np.full((3, 2), -1)
    assert metrics.estimate(values, none).se == pytest.approx(metrics.estimate(values).se)
    assert metrics.source_count(none) == 3
    assert metrics.source_count(np.array([[4, -1], [4, 5], [-1, -1]])) == 3
    assert np.isnan(metrics.estimate(values, np.zeros((3, 1), int)).se)


@pytest.mark.parametrize("copies", [1, 2, 8])
def test_copies_are_no_further_samples(rng, copies):
    """Each value several times over, in any order, with its source: the error is that of the values."""
    values, sources = rng.normal(size=(50, 4)), np.arange(50)
    order = rng.permutation(50 * copies)
    many, of = values.repeat(copies, 0)[order], sources.repeat(copies)[order, None]
    expected, found = metrics.estimate(values), metrics.estimate(many, of)
    assert (found.mean, found.se) == pytest.approx((expected.mean, expected.se))
    ratio = metrics.estimate_ratio(many[:, 0], many[:, 1] + 9, of)
    assert ratio.se == pytest.approx(metrics.estimate_ratio(values[:, 0], values[:, 1] + 9).se)


def test_the_error_is_that_of_repeated_draws(rng):
    """Two sources a value, as two digits in a frame: its spread over 400 draws, to 4 of its own errors."""
    sources = np.stack([rng.permutation(300) % 60, rng.permutation(300) % 60 + 60], 1)
    draws = [rng.normal(size=120)[sources].sum(1) + rng.normal(size=300) for _ in range(400)]
    spread = np.std([draw.mean() for draw in draws], ddof=1)
    told = np.sqrt(np.mean([metrics.estimate(draw, sources).se ** 2 for draw in draws]))
    assert told == pytest.approx(spread, rel=4 / np.sqrt(2 * 400) + 1 / 60)
    assert np.mean([metrics.estimate(draw).se for draw in draws]) < 0.6 * spread


def test_values_that_are_not_defined_take_their_sources_along():
    values, sources = metrics.drop_undefined(np.array([1.0, np.nan, 2.0]), np.array([[1], [2], [3]]))
    assert values.tolist() == [1, 2] and sources.tolist() == [[1], [3]]
    assert metrics.drop_undefined(np.array([np.nan]))[1] is None
    assert np.isnan(metrics.estimate(np.array([1.0, np.nan]), np.array([[1], [1]])).se)
