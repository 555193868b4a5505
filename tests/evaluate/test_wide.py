"""Pictures twice as wide as high: half a half-height is a quarter of the width, worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seqvae import metrics
from seqvae.evaluate import Truth, long_rollouts, score, slot_order, uncertainty
from tests.evaluate import spelled

LENGTH = 20


def wide(shown: np.ndarray, true: np.ndarray, velocities=None, **fields):
    """Data of true coordinates "n t k 2", in frames that show others, twice as wide as high."""
    data = spelled.sequences(true, np.zeros_like(true) if velocities is None else velocities, **fields)
    frames = spelled.spell(shown)
    frames = np.concatenate([frames, np.zeros_like(frames)], axis=3)
    assert frames.shape[2:4] == (8, 16)
    return dataclasses.replace(data, frames=frames)


def still(*where: tuple[float, float]) -> np.ndarray:
    return np.tile(np.array(where, dtype=float), (1, LENGTH, 1, 1))


def test_errors_are_in_half_widths():
    """3/10 of a half-width across and 8/10 of a half-height down, 4/10 of a half-width: 5/10."""
    data = wide(still((0.0, 0.0)), still((0.3, 0.8)))
    table = score(spelled.model(width=16, slots=1), data).table()
    for row in ("model", "static"):
        assert table[row]["position_error_1_10"].mean == pytest.approx(0.5, abs=1e-3)
    result = uncertainty(spelled.model(width=16, slots=1, noise=1e-5), data)
    assert result["mean_of_20_1_10"].mean == pytest.approx(0.5, abs=1e-2)


def test_velocity_errors_are_in_half_widths():
    """The frames show no motion, the data has (0.03, 0.08) per frame."""
    shown = still((0.0, 0.0))
    data = wide(shown, shown, velocities=np.tile([0.03, 0.08], (1, LENGTH, 1, 1)))
    value = score(spelled.model(width=16, slots=1), data).table()["model"]["velocity_error_1_10"]
    assert value.mean == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize(("offset", "found"), [((0.0, 0.35), 1), ((0.35, 0.0), 0), ((0.0, 0.45), 0)])
def test_a_radius_is_in_half_widths(offset, found):
    """A radius of 0.2 half-widths is 0.4 half-heights."""
    data = wide(still((0.0, 0.0)), still(offset), radii=np.full((1, LENGTH, 1), 0.2))
    assert score(spelled.model(width=16, slots=1), data).shares["found"].mean == found


def test_slots_are_ordered_by_distances_on_the_picture():
    """Objects at (0, 0) and (0.3, 0.5), slots at (0.3, 0) and (0, 0.5): exchanged pairs differ in y alone."""
    true = still((0.0, 0.0), (0.3, 0.5))
    slots = still((0.3, 0.0), (0.0, 0.5))
    # as they stand 0.3 + 0.3, exchanged 0.25 + 0.25 half-widths; in coordinates it would be 0.5 + 0.5
    assert slot_order(slots, Truth.of(wide(slots, true), LENGTH), 8).tolist() == [[1, 0]]
    assert slot_order(slots, Truth.of(spelled.sequences(true), LENGTH), 8).tolist() == [[0, 1]]


def test_slots_stand_for_one_object_within_a_radius_on_the_picture():
    """0.3 half-heights are 0.15 half-widths, less than the radius of 0.2."""
    above, beside = still((0.0, 0.0), (0.0, 0.3)), still((0.0, 0.0), (0.3, 0.0))
    drift = 0.01 * np.arange(LENGTH)[:, None, None]
    for positions, count in ((above + drift, 1), (beside + drift, 2)):
        moving = np.full_like(positions, 0.01)
        data = wide(positions, positions, moving, radii=np.full((1, LENGTH, 2), 0.2))
        result = long_rollouts(
            spelled.model(
                width=16,
            ),
            data,
            horizon=5,
        )[5]
        assert result["distinct_objects"].mean == count
    assert metrics.distinct_objects(above[0], 0.2).tolist() == [2] * LENGTH  # on a square one they are apart


def test_energy_is_that_of_the_speed_on_the_picture():
    """The filter reads (0, 0.02) per frame and the data has (0.01, 0): the same speed in half-widths."""
    start, steps = still((0.0, -0.3)), np.arange(LENGTH)[:, None, None]
    data = wide(
        start + steps * np.array([0.0, 0.02]), start, velocities=np.tile([0.01, 0.0], (1, LENGTH, 1, 1))
    )
    result = long_rollouts(spelled.model(width=16, slots=1), data, horizon=5)[5]
    assert result["energy_over_truth"].mean == pytest.approx(1, rel=0.04)  # frames spell to 1.2e-4


def test_covered_pixels_of_a_disc_are_round_on_the_picture():
    """A disc of radius 0.6 half-widths, all of it behind a nearer object that fills 4 x 8 pixels.

    Pixels are 1/4 half-width apart both ways, so their centres are 1/8, 3/8, 5/8 ... from the middle. Within
    the radius are those of up to 3/8 in both directions, as 9/64 + 9/64 < 0.36 < 25/64 + 1/64.
    """
    masks = np.full((1, 4, 8), 2, np.uint8)
    shapes = metrics.complete_shapes(masks, np.array([[0, 1]]), np.zeros((1, 2, 2)), np.full((1, 2), 0.6))
    expected = np.zeros((4, 8), dtype=bool)
    expected[:, 2:6] = True
    np.testing.assert_array_equal(shapes[0, 0], expected)


def test_square_pictures_have_the_numbers_that_they_had():
    truth = Truth.of(spelled.sequences(still((0.1, 0.7))), LENGTH)
    assert truth.aspect == 1 and truth.lengths(truth.positions) is truth.positions
