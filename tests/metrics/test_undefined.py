"""Numbers that do not exist: they count nowhere, while an error that is not finite stays one."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics

NAN = float("nan")


def test_a_frame_without_objects_has_no_error():
    """Two objects at the origin, slots 1 and 3 away; both are there, then one, then none."""
    truth = np.zeros((1, 3, 2, 2))
    slots = np.tile([[1.0, 0.0], [0.0, 3.0]], (1, 3, 1, 1))
    present = np.array([[[True, True], [False, True], [False, False]]])
    np.testing.assert_array_equal(metrics.euclidean_error(slots, truth, present), [[2, 3, NAN]])


def test_a_mean_over_what_is_defined_by_hand():
    """Sequences of means 2 and 7, and one without a value; their deviations are 2.5 of 4.5."""
    values = np.array([[1.0, 3.0, NAN], [NAN, 7.0, NAN], [NAN, NAN, NAN]])
    e = metrics.estimate(values, defined=~np.isnan(values))
    assert (e.mean, e.n) == (4.5, 2) and e.se == pytest.approx(2.5)
    shared = metrics.estimate(values, np.array([[1], [1], [2]]), ~np.isnan(values))
    assert shared.mean == 4.5 and np.isnan(shared.se)  # one source is left
    nothing = metrics.estimate(values, defined=np.zeros_like(values, dtype=bool))
    assert np.isnan(nothing.mean) and nothing.n == 0


def test_an_error_that_is_not_finite_stays_one():
    values, defined = np.array([[NAN, 1.0], [2.0, 3.0]]), np.array([[True, False], [True, True]])
    assert np.isnan(metrics.estimate(values, defined=defined).mean)
    assert metrics.estimate(values, defined=~defined | [[False], [True]]).mean == 1.75


def test_the_best_sample_is_the_best_over_frames_with_an_error():
    """Over frames 1 and 2 the samples have means 2 and 4.5; with the third frame it would be the other."""
    errors = np.array([[[1.0, 3.0, 90.0]], [[4.0, 5.0, 0.0]]])
    defined = np.array([[True, True, False]])
    assert metrics.best_of(errors, defined).tolist() == [2]
    assert metrics.best_of(errors).tolist() == [3]
    errors[0, 0, 2] = NAN
    assert metrics.best_of(errors, defined).tolist() == [2]
    assert np.isnan(metrics.best_of(errors, ~defined & False)).all()
    assert np.isnan(metrics.best_of(np.full((2, 1, 3), NAN), defined)).all()


def test_an_interval_covers_the_objects_that_are_there():
    """Samples 1..19 cover 10 and not 20; object 2 is there in the first frame alone, none in the last."""
    samples = np.arange(1.0, 20)[:, None, None, None, None] * np.ones((1, 3, 2, 2))
    truth = np.broadcast_to(np.array([[10.0], [20.0]]), (1, 3, 2, 2))
    present = np.array([[[True, True], [True, False], [False, False]]])
    np.testing.assert_array_equal(metrics.coverage(samples, truth, 0.9, present), [[0.5, 1, NAN]])


def test_a_slot_is_where_it_was_last_visible():
    x = np.array([NAN, 0.1, NAN, NAN, 0.4, NAN, 0.7])
    positions = np.stack([x, -x], -1)[None, :, None]
    visible = np.array([False, True, False, False, True, True, False])[None, :, None]
    expected = np.array([NAN, 0.1, 0.1, 0.1, 0.4, NAN, NAN])  # a visible position that is not finite stays so
    np.testing.assert_array_equal(metrics.hold_last_position(positions, visible)[0, :, 0, 0], expected)
    np.testing.assert_array_equal(metrics.hold_last_position(positions, visible)[0, :, 0, 1], -expected)
