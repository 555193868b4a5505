"""Sampled colours against colorsys, and reflection at walls by hand."""

from __future__ import annotations

import colorsys

import numpy as np

from data_gen.drawing.colours import hsv_to_rgb, sample_combinations, sample_hsv
from data_gen.sims._bouncing import reflect


def test_hsv_equals_that_of_the_standard_library(rng):
    hsv = np.concatenate([rng.random((50, 3)), [[0, 1, 1], [1, 1, 1], [0.5, 0, 0.3], [1 / 3, 1, 1]]])
    np.testing.assert_allclose(hsv_to_rgb(hsv), [colorsys.hsv_to_rgb(*row) for row in hsv], atol=1e-12)


def test_hues_without_repetition_are_apart(rng):
    colours = sample_hsv(100, 4, rng, repeat=False)
    hues = np.array([[colorsys.rgb_to_hsv(*rgb)[0] for rgb in row] for row in colours])
    gaps = np.diff(np.sort(hues), axis=1, append=np.sort(hues)[:, :1] + 1)
    assert gaps.min() > 1 / 8 - 1e-9 and gaps.max() > 1 / 4
    assert (hues[:, 0] < hues[:, 1]).any() and (hues[:, 0] > hues[:, 1]).any()


def test_allowed_combinations_are_sampled_evenly(rng):
    allowed = np.array([[True, True], [False, True], [False, False]])
    colours, shapes = sample_combinations(4000, 1, allowed, rng)
    counts = np.array([[((colours == c) & (shapes == s)).sum() for s in range(2)] for c in range(3)])
    expected = np.array([[1000, 1000], [0, 2000], [0, 0]])
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all() and counts.sum() == 4000


def test_reflection_by_hand():
    values, rates = np.array([0.5, 0.1, 0.9, 0.05]), np.array([0.1, -0.3, 0.2, 0.01])
    moved, after = reflect(values, rates, 0.1, 0.95)
    np.testing.assert_allclose(moved, [0.6, 0.4, 0.8, 0.14])  # the last one: its wall has moved past it
    np.testing.assert_allclose(after, [0.1, 0.3, -0.2, 0.01])
