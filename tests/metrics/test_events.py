"""The area under the ROC curve, against the comparison of all pairs, and its standard error."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae.metrics.events import auc


def by_pairs(scores, events):
    yes, no = scores[events], scores[~events]
    return np.mean([(a > b) + 0.5 * (a == b) for a in yes for b in no])


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    scores = rng.integers(6, size=(9, 5)) / 4  # with ties
    events = rng.random((9, 5)) < 0.3
    found = auc(scores, events)
    assert found.mean == pytest.approx(by_pairs(scores, events), abs=1e-12) and found.n == 9


def test_by_hand():
    events = np.array([[False, True], [False, True]])
    assert auc(np.array([[0.1, 0.9], [0.2, 0.8]]), events).mean == 1
    assert auc(np.array([[0.9, 0.1], [0.8, 0.2]]), events).mean == 0
    assert auc(np.zeros((2, 2)), events).mean == 0.5
    assert auc(np.array([[0.5, 0.9], [0.2, 0.4]]), events).mean == 0.75
    assert np.isnan(auc(np.zeros((2, 2)), np.zeros((2, 2), bool)).mean)


@pytest.mark.parametrize("together", [False, True])
def test_the_standard_error_is_the_spread_over_samples(together):
    """300 samples of 80 sequences, 6 frames each; frames of a sequence share a part of their noise or none.

    A standard deviation from 300 values is off by 4 %, the mean of the errors by less.
    """
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        events = rng.random((80, 6)) < 0.2
        shared = rng.normal(size=(80, 1)) if together else 0
        found.append(auc(events + rng.normal(size=(80, 6)) + 1.5 * shared, events))
    spread = np.std([x.mean for x in found], ddof=1)
    assert np.mean([x.se for x in found]) == pytest.approx(spread, rel=0.13)
