"""Counts of objects, true and inferred."""

from __future__ import annotations

import numpy as np

from seqvae import metrics


def test_visible_objects_are_those_with_a_pixel():
    masks = np.zeros((2, 3, 4, 4), np.uint8)
    masks[0, 1, 0, 0] = 3
    masks[1, 2, :2], masks[1, 2, 2:] = 1, 2
    assert metrics.count_visible(masks).tolist() == [[0, 1, 0], [0, 0, 2]]


def test_accuracy_and_confusion_of_counts():
    truth, inferred = np.array([[0, 1], [2, 2]]), np.array([[0, 3], [2, 1]])
    assert metrics.count_accuracy(inferred, truth).tolist() == [0.5, 0.5]
    table = metrics.confusion_matrix(inferred, truth)
    assert table.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]]
