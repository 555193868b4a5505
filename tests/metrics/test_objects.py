"""Matching, errors, detection and identity switches, on cases small enough to work by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics

LEFT, RIGHT = (-0.5, 0.0), (0.5, 0.0)


def over_time(*slots, t=8):
    """The same slots in each of t frames: (1, t, s, 2)."""
    return np.tile(np.array(slots, dtype=float), (1, t, 1, 1))


def test_frames_count_from_one():
    assert list(range(100)[metrics.frame_slice(3, 8)]) == [2, 3, 4, 5, 6, 7]


def test_order_assigns_slots_to_objects_and_leaves_the_spare_slot_out():
    truth = over_time(LEFT, RIGHT)
    slots = over_time((0.45, 0.1), (0.0, 0.9), (-0.5, 0.1))
    order = metrics.match_slots(slots, truth)
    assert order.tolist() == [[2, 0]]
    np.testing.assert_allclose(metrics.reorder(slots, order)[0, 0], [[-0.5, 0.1], [0.45, 0.1]])


def test_order_is_the_best_on_average_over_the_frames_given():
    """In one of three frames the slots have changed places; the two others outvote it."""
    truth = over_time(LEFT, RIGHT, t=3)
    slots = truth.copy()
    slots[0, 1] = slots[0, 1, ::-1]
    assert metrics.match_slots(slots, truth).tolist() == [[0, 1]]


def test_order_minimises_distance_and_not_its_square():
    """On a line: objects at 0 and 3, slots at 3 and 3.9 in the first frame, exchanged ties elsewhere.

    Distances: identity costs 3 + 0.9 in each frame, exchange 3.9 + 0: equal, so a second frame decides.
    Squares would prefer identity (9.81 against 15.21) by far more than that frame outweighs.
    """
    truth = np.array([[[[0.0, 0], [3, 0]], [[0, 0], [3, 0]]]])
    slots = np.array([[[[3.0, 0], [3.9, 0]], [[1.5, 0.0], [1.4, 0]]]])
    # second frame: identity 1.5 + 1.6 = 3.1, exchange 1.4 + 1.5 = 2.9
    assert metrics.match_slots(slots, truth).tolist() == [[1, 0]]


def test_order_with_states_that_are_not_finite():
    truth = over_time(LEFT, RIGHT)
    slots = over_time((np.nan, np.nan), LEFT)
    assert metrics.match_slots(slots, truth).tolist() == [[1, 0]]


def test_order_needs_a_slot_for_every_object():
    with pytest.raises(ValueError, match="1 slots cannot stand for 2 objects"):
        metrics.match_slots(over_time(LEFT), over_time(LEFT, RIGHT))


def test_error_is_the_mean_distance_over_objects():
    truth = np.zeros((1, 2, 2, 2))
    predicted = np.array([[[[3.0, 4.0], [0, 0]], [[0, 1], [1, 0]]]])
    np.testing.assert_allclose(metrics.euclidean_error(predicted, truth), [[2.5, 1.0]])


def test_objects_that_are_not_present_count_nowhere():
    truth, t = over_time(LEFT, RIGHT), np.arange(8)
    slots = over_time(LEFT, RIGHT)
    slots[0, 4:] = (0.9, 0.9), LEFT  # from frame 5 on only the left object is there, in the other slot
    present = np.stack([t >= 0, t < 4], axis=-1)[None]
    np.testing.assert_allclose(
        metrics.euclidean_error(slots, truth, present)[0], np.where(t < 4, 0, np.hypot(1.4, 0.9))
    )
    assert np.isnan(metrics.euclidean_error(slots, truth, np.zeros_like(present))).all()
    radius = np.full((1, 8, 2), 0.1)
    assert metrics.all_detected(slots, truth, radius, present).tolist() == [True]
    assert metrics.all_detected(slots, truth, radius).tolist() == [False]
    assert metrics.match_slots(slots[:, 3:], truth[:, 3:]).tolist() == [[1, 0]]
    late = np.stack([t < 4, t >= 0], axis=-1)[None]  # the left object leaves instead: it was in slot 0
    assert metrics.match_slots(slots[:, 3:], truth[:, 3:], late[:, 3:]).tolist() == [[0, 1]]
    assert metrics.identity_switch(slots, truth, present).tolist() == [True]
    assert metrics.identity_switch(slots, truth, np.zeros_like(present)).tolist() == [False]


def test_detection_asks_for_a_slot_of_its_own():
    truth = over_time(LEFT, RIGHT)
    radius = np.full((1, 8, 2), 0.2)
    assert metrics.all_detected(over_time((0.5, 0.19), (-0.31, 0)), truth, radius).tolist() == [True]
    assert metrics.all_detected(over_time((0.5, 0.21), (-0.31, 0)), truth, radius).tolist() == [False]
    near = over_time((0.0, 0.0), (0.1, 0.0))
    both_by_one = over_time((0.05, 0.0), (0.9, 0.0))
    assert metrics.all_detected(both_by_one, near, radius).tolist() == [False]


def test_detection_holds_in_every_frame_and_for_every_radius():
    truth, radius = over_time(LEFT, RIGHT), np.tile([0.2, 0.05], (1, 8, 1))
    slots = truth.copy()
    slots[0, 5, 1, 1] = 0.1  # further than the second object's radius, in one frame
    assert metrics.all_detected(slots, truth, radius).tolist() == [False]
    assert metrics.all_detected(slots[:, :5], truth[:, :5], radius[:, :5]).tolist() == [True]
    assert metrics.all_detected(slots[:, :, :1], truth, radius).tolist() == [False]  # a slot too few


def test_identity_switch_compares_frames_3_to_5_with_6_to_8():
    truth = over_time(LEFT, RIGHT)
    late, early, once = truth.copy(), truth.copy(), truth.copy()
    late[0, 5:] = late[0, 5:, ::-1]  # from frame 6 on
    wide = truth.copy()
    wide[0, :2] *= 3  # before the first full state, and so far apart that they would outvote frames 3-5
    early[0, :2] = wide[0, :2, ::-1]
    once[0, 6] = once[0, 6, ::-1]
    slots = np.concatenate([late, early, once])
    swapped = metrics.identity_switch(slots, np.concatenate([truth, wide, truth]))
    assert swapped.tolist() == [True, False, False]


def test_centroid_of_a_mask():
    masks = np.zeros((1, 1, 2, 4, 4))
    masks[0, 0, 0, 0, 2:] = 1  # top row, the two right columns: x 0.25 and 0.75, y -0.75
    masks[0, 0, 0, 0, 3] = 3  # weight 3 on the last: x = (0.25 + 3 * 0.75) / 4
    np.testing.assert_allclose(metrics.mask_centroids(masks), [[[[0.625, -0.75], [np.nan, np.nan]]]])
    np.testing.assert_allclose(metrics.mask_centroids(1e-30 * masks)[0, 0, 0], [0.625, -0.75])
