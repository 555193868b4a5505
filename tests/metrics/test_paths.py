"""Predicted paths, paired once: cases small enough to work by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics

LEFT, RIGHT = (-0.5, 0.0), (0.5, 0.0)


def path(*frames):
    """One sequence of slots or objects: (1, t, k, 2)."""
    return np.array([frames], dtype=float)


def test_med_by_hand():
    """Distances in picture widths, half of ours: 0.5 and 0 half-widths, then 0.5 and 1."""
    truth = path((LEFT, RIGHT), (LEFT, RIGHT))
    slots = path((RIGHT, (-0.2, 0.4)), ((0.5, 1.0), (-0.9, -0.3)))
    np.testing.assert_allclose(metrics.mean_euclidean_distance(slots, truth), [[0.125, 0.375]])


def test_pairs_are_those_of_the_first_frame_for_good():
    """Two slots that pass through each other stay with their objects, and so their error grows."""
    truth = path((LEFT, RIGHT), (LEFT, RIGHT), (LEFT, RIGHT))
    slots = path((RIGHT, LEFT), ((0.1, 0), (-0.1, 0)), (LEFT, RIGHT))
    np.testing.assert_allclose(metrics.mean_euclidean_distance(slots, truth), [[0, 0.2, 0.5]])


def test_pairs_have_the_least_squared_distance():
    """On a line: objects at 0 and 3, slots at 3 and 3.9. Distances 3 + 0.9 or 3.9, squares 9.81 or 15.2."""
    truth, slots = np.array([[[0.0, 0], [3, 0]]]), np.array([[[3.0, 0], [3.9, 0]]])
    assert metrics.pair_once(slots, truth).tolist() == [[0, 1]]


def test_a_missed_object_costs_nothing():
    """One slot for two objects: it stands for the nearer, and the other one is passed over."""
    truth, slots = path((LEFT, RIGHT), (LEFT, RIGHT)), path(((0.4, 0),), ((0.2, 0),))
    np.testing.assert_allclose(metrics.mean_euclidean_distance(slots, truth), [[0.05, 0.15]])
    assert metrics.pair_once(slots[:, 0], truth[:, 0]).tolist() == [[-1, 0]]
    # the same where the second slot does not exist, wherever it stands
    both = path(((0.4, 0), LEFT), ((0.2, 0), LEFT))
    exists = np.array([[True, False]])
    missed = metrics.mean_euclidean_distance(both, truth, exists=exists)
    np.testing.assert_allclose(missed, [[0.05, 0.15]])
    assert metrics.mean_euclidean_distance(both, truth)[0, 0] == pytest.approx(0.025)


def test_objects_that_come_or_go_count_while_they_are_there():
    """The left one leaves after the first frame, the third one comes then: it was never paired."""
    truth = path((LEFT, RIGHT, (0, 1)), (LEFT, RIGHT, (0, 1)))
    slots = path((RIGHT, LEFT, (0, 1)), ((0.3, 0), (9, 9), (5, 5)))
    present = np.array([[[True, True, False], [False, True, True]]])
    np.testing.assert_allclose(metrics.mean_euclidean_distance(slots, truth, present), [[0, 0.1]])
    nothing = metrics.mean_euclidean_distance(slots, truth, np.zeros_like(present))
    assert np.isnan(nothing).all()
    assert np.isnan(metrics.mean_euclidean_distance(slots[:, :, :0], truth)).all()


def test_states_that_are_not_finite_do_not_look_good():
    truth = path((LEFT, RIGHT), (LEFT, RIGHT))
    slots = path((LEFT, (np.nan, 0)), (LEFT, RIGHT))
    assert np.isnan(metrics.mean_euclidean_distance(slots, truth)[0, 0])
    spare = path((LEFT, (np.nan, 0), RIGHT), (LEFT, (np.nan, 0), RIGHT))  # a slot that stands for nothing
    np.testing.assert_allclose(metrics.mean_euclidean_distance(spare, truth), [[0, 0]])
