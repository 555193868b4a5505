"""Shapes moved as rigid bodies, against a loop over objects and pixels."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics
from seqvae.metrics import complete_shapes, move_shapes
from seqvae.metrics.statistics import source_count


def moved_by_hand(shapes, layers, shift):
    """Labels of one sequence in one frame."""
    k, h, w = shapes.shape
    labels = np.zeros((h, w), int)
    for which in np.argsort(layers, kind="stable"):
        right, down = (int(np.rint(shift[which, a] * size / 2)) for a, size in ((0, w), (1, h)))
        for row, column in zip(*np.nonzero(shapes[which]), strict=True):
            if 0 <= row + down < h and 0 <= column + right < w:
                labels[row + down, column + right] = which + 1
    return labels


def test_shapes_move_by_whole_pixels_and_leave_the_picture(rng):
    shapes = rng.random((3, 4, 7, 9)) < 0.3
    layers = np.array([[0, 1, 2, 3], [3, 1, 0, 2], [0, 0, 0, 0]])
    shift = rng.uniform(-1.5, 1.5, (3, 5, 4, 2))
    shift[:, 0] = 0
    labels = move_shapes(shapes, layers, shift)
    for n in range(3):
        for t in range(5):
            np.testing.assert_array_equal(labels[n, t], moved_by_hand(shapes[n], layers[n], shift[n, t]))


@pytest.mark.parametrize("shift", [(0.25, 0.0), (-0.25, 0.0), (0.0, 0.25), (0.0, -0.25)])
def test_a_shape_at_the_edge_is_not_repeated_where_it_came_from(shift):
    shape = np.zeros((1, 1, 8, 8), bool)
    shape[..., 0, 0] = shape[..., 7, 7] = True  # a pixel in two opposite corners
    labels = move_shapes(shape, np.zeros((1, 1), int), np.array(shift)[None, None, None])
    assert labels.sum() == 1  # one has left, by one pixel


def test_a_covered_object_has_the_pixels_of_its_disc_where_a_nearer_one_shows():
    """Two discs of radius a quarter of the picture, side by side and overlapping."""
    n = 32
    axis = (2 * np.arange(n) + 1) / n - 1
    positions, radii = np.array([[[-0.2, 0.0], [0.2, 0.1]]]), np.array([[0.5, 0.5]])
    x, y = (positions[..., i, None, None] for i in (0, 1))
    discs = np.hypot(axis - x, axis[:, None] - y) < 0.5
    for layers, nearer in (([[0, 1]], 1), ([[1, 0]], 0)):
        masks = np.zeros((1, n, n), np.uint8)
        for k in (1 - nearer, nearer):
            masks[0][discs[0, k]] = k + 1
        complete = complete_shapes(masks, np.array(layers), positions, radii)
        np.testing.assert_array_equal(complete, discs)
        assert (masks[0] == 2 - nearer).sum() < discs[0, 1 - nearer].sum(), "or nothing was covered"


def test_what_is_outside_of_its_disc_stays_and_what_was_not_covered_is_not_added():
    masks = np.zeros((1, 8, 8), np.uint8)
    masks[0, 4, 4], masks[0, 0, 0] = 1, 2
    positions, radii = np.array([[[-0.5, -0.5], [0.9, 0.9]]]), np.array([[0.3, 0.3]])
    complete = complete_shapes(masks, np.array([[0, 1]]), positions, radii)
    np.testing.assert_array_equal(complete, masks[:, None] == np.arange(1, 3)[:, None, None])


def test_confusion_of_empty_frames_has_one_entry():
    nothing = np.zeros((2, 3), int)
    assert metrics.confusion_matrix(nothing, nothing).tolist() == [[6]]


def test_frame_6_counts_among_those_after_the_swap():
    truth = np.tile(np.array([[-0.5, 0.0], [0.5, 0.0]]), (1, 8, 1, 1))
    slots = truth.copy()
    slots[0, 5] = 3 * slots[0, 5, ::-1]  # frame 6, so far off that it outvotes frames 7 and 8
    truth[0, 5] *= 3
    assert metrics.identity_switch(slots, truth).tolist() == [True]


def test_source_0_is_one_as_well():
    assert source_count(np.array([[0], [0], [1]])) == 2
    assert source_count(np.array([[0, 1], [-1, -1], [2, 0]])) == 4


def test_the_best_of_samples_averages_over_the_frames_that_have_an_error():
    errors = np.array([[[1.0, 5.0, 9.0]], [[4.0, 1.0, 0.0]]])
    one = np.array([[True, False, False]])
    assert metrics.best_of(errors, one).tolist() == [1.0]
    assert metrics.best_of(errors, ~one).tolist() == [0.5]
    assert np.isnan(metrics.best_of(errors, np.zeros((1, 3), bool))).all()
