"""Resized frames are means over areas."""

from __future__ import annotations

import numpy as np

from data_gen.sims._ale import area_average


def test_area_average_by_hand(rng):
    frames = np.zeros((1, 2, 4, 1), np.uint8)
    frames[0, :, :, 0] = [[10, 20, 30, 40], [50, 60, 70, 81]]
    np.testing.assert_array_equal(
        area_average(frames, 2)[0, :, :, 0], [[15, 35], [55, 76]]
    )  # 75.5 is rounded up
    thirds = np.array([[[[0], [90], [240]]] * 3], np.uint8)  # 3 columns on 2: 1.5 old ones each
    np.testing.assert_array_equal(area_average(thirds, 2)[0, 0, :, 0], [30, 190])
    full = np.full((2, 210, 160, 3), 255, np.uint8)
    assert (area_average(full, 64) == 255).all()
    same = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(area_average(same, 8), same)
