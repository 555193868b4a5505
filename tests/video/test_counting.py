"""The sheet of counted frames."""

from __future__ import annotations

import numpy as np

from seqvae.video import counting_sheet
from seqvae.video.drawing import COLOURS, PREDICTED


def shown(sheet: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((sheet == np.array(colour, np.uint8)).all(-1).any())


def test_absent_slots_are_not_drawn_and_a_wrong_count_is_told_in_orange():
    black = np.zeros((5, 20, 20, 1), np.uint8)
    positions, extents = np.full((5, 2, 2), np.nan), np.full((5, 2, 2), np.nan)
    positions[0, 0], extents[0, 0] = 0, 0.5
    counted = np.array([1, 0, 0, 0, 0])
    right = counting_sheet(black, black, positions, extents, counted, counted, columns=3)
    assert shown(right, COLOURS[0]) and not shown(right, COLOURS[1]) and not shown(right, PREDICTED)
    wrong = counting_sheet(black, black, positions, extents, counted, counted + 1, columns=3)
    assert shown(wrong, PREDICTED)
    assert right.shape == wrong.shape and right.shape[0] % 2 == 0 and right.shape[1] % 3 == 0
    assert not shown(counting_sheet(black, black, positions, extents, counted), PREDICTED)
