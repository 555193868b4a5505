"""Tracks: a case worked by hand, the rules one by one, and py-motmetrics, which defined the scores."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics
from seqvae.metrics.tracking import count_tracks


def case():
    """Two objects, four tracks, three frames: a miss, two false positives, a switch, a track that is kept."""
    overlaps = np.zeros((1, 3, 2, 4))
    overlaps[0, 0, 0, 0], overlaps[0, 0, 1, 1] = 0.8, 0.6
    overlaps[0, 1, 0, 0], overlaps[0, 1, 1, 1] = (
        0.4,
        0.9,
    )  # too little: object 1 is missed, and track 1 is false
    overlaps[0, 2, 0, 2], overlaps[0, 2, 1, 1], overlaps[0, 2, 1, 3] = 0.7, 0.55, 0.95
    objects = np.tile([1, 2], (1, 3, 1))
    tracks = np.array([[[1, 2, 0, 0], [1, 2, 0, 0], [0, 2, 3, 4]]])
    return overlaps, objects, tracks


def test_by_hand():
    """Object 1: track 1, missed, then track 3, a switch. Object 2 keeps track 2, and track 4 is false."""
    counts = count_tracks(*case())
    assert (counts.objects.tolist(), counts.matches.tolist()) == ([6], [5])
    assert (counts.switches.tolist(), counts.misses.tolist(), counts.false_positives.tolist()) == (
        [1],
        [1],
        [2],
    )
    np.testing.assert_allclose(counts.overlap, 0.8 + 0.6 + 0.9 + 0.7 + 0.55)
    mota, motp = 1 - counts.errors / counts.objects, counts.overlap / counts.matches
    np.testing.assert_allclose([mota[0], motp[0]], [1 - 4 / 6, 3.55 / 5])


def test_a_track_that_goes_on_after_a_gap_is_no_switch():
    overlaps, objects, tracks = case()
    tracks[0, 2] = [1, 2, 0, 0]
    overlaps[0, 2] = overlaps[0, 0]
    assert count_tracks(overlaps, objects, tracks).switches.tolist() == [0]


def test_two_objects_that_exchange_their_tracks_are_two_switches():
    """Only where the old tracks no longer overlap: a track that still does is kept."""
    overlaps = np.zeros((1, 2, 2, 2))
    overlaps[0, 0] = [[0.9, 0.6], [0.6, 0.9]]
    for kept, expected in ((0.6, 0), (0.4, 2)):
        overlaps[0, 1] = [[kept, 0.9], [0.9, kept]]
        counts = count_tracks(overlaps, np.tile([1, 2], (1, 2, 1)), np.tile([1, 2], (1, 2, 1)))
        assert counts.switches.tolist() == [expected] and counts.matches.tolist() == [4]


def test_as_many_objects_as_possible_have_a_track():
    """0.9 + nothing is less than 0.6 + 0.5: object 2 only reaches track 1."""
    overlaps = np.array([[[[0.9, 0.6], [0.5, 0.0]]]])
    counts = count_tracks(overlaps, np.array([[[1, 2]]]), np.array([[[1, 2]]]))
    assert counts.matches.tolist() == [2]
    np.testing.assert_allclose(counts.overlap, 1.1)


def test_nothing_is_there():
    counts = count_tracks(np.zeros((2, 3, 2, 2)), np.zeros((2, 3, 2), int), np.zeros((2, 3, 2), int))
    assert not counts.objects.any() and not counts.errors.any()
    counts = count_tracks(np.zeros((1, 3, 0, 2)), np.zeros((1, 3, 0), int), np.ones((1, 3, 2), int))
    assert counts.false_positives.tolist() == [6]


def test_the_counts_are_those_of_py_motmetrics(rng):
    """Random overlaps, comings and goings of 40 sequences of 15 frames; and all of them in one account."""
    mm = pytest.importorskip("motmetrics", reason="the oracle of tracking scores")
    names = ["num_objects", "num_detections", "num_switches", "num_misses", "num_false_positives"]
    n, t, k, s = 40, 15, 4, 5
    overlaps = rng.random((n, t, k, s)) * (rng.random((n, t, k, s)) < 0.6)
    objects = np.where(rng.random((n, t, k)) < 0.8, np.arange(1, k + 1), 0)
    tracks = np.where(rng.random((n, t, s)) < 0.8, np.arange(1, s + 1), 0)
    counts = count_tracks(overlaps, objects, tracks)
    accounts = []
    for i in range(n):
        account = mm.MOTAccumulator(auto_id=True)
        for overlap, here, there in zip(overlaps[i], objects[i], tracks[i], strict=True):
            distance = np.where(overlap >= 0.5, 1 - overlap, np.nan)[here > 0][:, there > 0]
            account.update(here[here > 0], there[there > 0], distance)
        accounts.append(account)
    table = mm.metrics.create().compute_many(
        accounts, metrics=[*names, "mota", "motp"], generate_overall=True
    )
    ours = (counts.objects, counts.matches, counts.switches, counts.misses, counts.false_positives)
    for name, values in zip(names, ours, strict=True):
        np.testing.assert_array_equal(table[name], [*values, values.sum()])
    assert table["mota"].iloc[-1] == pytest.approx(1 - counts.errors.sum() / counts.objects.sum())
    assert 1 - table["motp"].iloc[-1] == pytest.approx(counts.overlap.sum() / counts.matches.sum())
    assert min(value.sum() for value in ours) > 100


# ---- overlaps


def test_overlaps_of_masks_by_hand():
    """Two by three pixels: object 1 has two pixels, slot 0 one of them and one of the background."""
    truth, labels = np.array([[[[0, 1, 1], [0, 0, 0]]]]), np.array([[[[0, 0, 1], [2, 2, 2]]]])
    overlap, true_area, area = metrics.mask_overlaps(truth, labels, objects=2, slots=2)
    np.testing.assert_allclose(overlap[0, 0], [[1 / 5, 0], [1 / 3, 1 / 2], [0, 0]])
    assert true_area.tolist() == [[[4, 2, 0]]] and area.tolist() == [[[2, 1]]]


def test_overlaps_of_masks_are_those_of_their_sets(rng):
    truth, labels = rng.integers(0, 4, (3, 4, 6, 5)), rng.integers(0, 3, (3, 4, 6, 5))
    overlap, true_area, area = metrics.mask_overlaps(truth, labels, objects=3, slots=3)
    for n, t, k, s in np.ndindex(3, 4, 4, 3):
        a, b = truth[n, t] == k, labels[n, t] == s
        assert overlap[n, t, k, s] == pytest.approx((a & b).sum() / max((a | b).sum(), 1))
        assert true_area[n, t, k] == a.sum() and area[n, t, s] == b.sum()


def test_overlaps_of_boxes_by_hand():
    """Unit squares side by side share a half: 1 of 3 halves. A box that is not finite overlaps nothing."""
    truth = np.array([[[[0.0, 0.0, 0.5, 0.5], [5.0, 5.0, 1.0, 1.0]]]])
    boxes = np.array([[[[0.5, 0.0, 0.5, 0.5], [np.nan, 0, 1, 1], [5.0, 5.0, 0.5, 1.0]]]])
    np.testing.assert_allclose(metrics.box_overlaps(truth, boxes)[0, 0], [[1 / 3, 0, 0], [0, 0, 1 / 2]])
    empty = np.zeros((1, 1, 1, 4))
    assert metrics.box_overlaps(empty, empty).tolist() == [[[[0.0]]]]
