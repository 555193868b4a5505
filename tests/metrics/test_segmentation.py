"""Segmentation metrics: cases worked by hand, and the degenerate ones."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae.metrics import adjusted_rand_index, foreground_ari, mean_iou


def a(*labels):
    return np.array(labels)


def test_ari_by_hand():
    """Table [[2, 0], [1, 1]] of 4 pixels: 1 pair together in both; 2 true pairs, 3 predicted, 6 in all.

    Expected 2 * 3 / 6 = 1, most (2 + 3) / 2 = 2.5: (1 - 1) / 1.5 = 0.
    """
    assert adjusted_rand_index(a(0, 0, 1, 1), a(0, 0, 0, 1)) == 0
    # [[2, 0, 0], [0, 1, 1]]: 1 together, 2 true pairs, 1 predicted: (1 - 1/3) / (3/2 - 1/3) = 4/7
    assert adjusted_rand_index(a(0, 0, 1, 1), a(0, 0, 1, 2)) == pytest.approx(4 / 7)
    # [[1, 1], [1, 1]]: none together, expected 2 * 2 / 6: (0 - 2/3) / (2 - 2/3) = -1/2
    assert adjusted_rand_index(a(0, 0, 1, 1), a(0, 1, 0, 1)) == pytest.approx(-0.5)


def test_ari_does_not_ask_for_the_names_of_segments(rng):
    truth = rng.integers(0, 4, (8, 8))
    assert adjusted_rand_index(truth, (truth + 3) % 4 * 7) == pytest.approx(1)


def test_ari_of_unrelated_segments_is_zero_on_average(rng):
    values = [adjusted_rand_index(rng.integers(0, 3, 100), rng.integers(0, 4, 100)) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_ari_of_large_images_does_not_overflow():
    truth = np.zeros((600, 600), dtype=np.uint8)
    assert adjusted_rand_index(truth, truth) == 1
    truth[:300] = 1
    assert adjusted_rand_index(truth, truth) == pytest.approx(1)


@pytest.mark.parametrize(
    ("truth", "labels", "value"),
    [
        (a(3, 3, 3), a(1, 1, 1), 1),  # one segment in both
        (a(0, 1, 2), a(2, 0, 1), 1),  # only single pixels in both
        (a(5), a(0), 1),
        (a(3, 3, 3), a(0, 1, 1), 0),  # one true segment, split
        (a(0, 0, 1), a(0, 0, 0), 0),  # one slot takes everything
        (a(), a(), np.nan),
    ],
)
def test_ari_degenerate(truth, labels, value):
    np.testing.assert_equal(adjusted_rand_index(truth.astype(int), labels.astype(int)), value)


def test_foreground_ari_ignores_what_happens_in_the_background():
    truth = a(0, 0, 0, 1, 1, 2, 2)
    assert foreground_ari(truth, a(0, 1, 2, 1, 1, 2, 2)) == 1
    assert foreground_ari(truth, a(0, 0, 0, 1, 1, 1, 1)) == 0  # both objects in one slot


@pytest.mark.parametrize(
    ("truth", "labels", "value"),
    [
        (a(0, 0, 1, 1), a(7, 7, 4, 4), 1),  # one object, in one segment
        (a(0, 0, 1, 1), a(0, 0, 0, 1), 0),  # one object, split
        (a(0, 0, 1, 1), a(0, 0, 0, 0), 1),  # one slot: the one object is whole
        (a(0, 1, 1, 2), a(0, 0, 0, 0), 0),  # one slot for two objects
        (a(0, 0), a(0, 1), np.nan),  # empty frame
    ],
)
def test_foreground_ari_degenerate(truth, labels, value):
    np.testing.assert_equal(foreground_ari(truth, labels), value)


def test_iou_by_hand():
    """Object 1 shares 2 of 3 pixels with segment 5, object 2 shares 1 of 3 with segment 6."""
    truth = a(1, 1, 2, 2, 0, 0)
    labels = a(5, 5, 5, 6, 6, 0)
    assert mean_iou(truth, labels) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_iou_assigns_each_segment_once():
    """Both objects overlap segment 5 most; one of them has to take segment 6, which it does not touch."""
    truth, labels = a(1, 1, 2, 2, 0), a(5, 5, 5, 5, 6)
    assert mean_iou(truth, labels) == pytest.approx((2 / 4 + 0) / 2)


@pytest.mark.parametrize(
    ("truth", "labels", "value"),
    [
        (a(0, 0, 1, 1), a(0, 0, 1, 1), 1),  # one object
        (a(0, 0, 1, 1), a(3, 3, 3, 3), 0.5),  # one slot
        (a(0, 1, 1, 2), a(3, 3, 3, 3), 0.25),  # one slot for two: the larger takes it, the other has none
        (a(0, 0), a(0, 1), np.nan),  # empty frame
    ],
)
def test_iou_degenerate(truth, labels, value):
    np.testing.assert_equal(mean_iou(truth, labels), value)
