"""Statistics, pixels, baselines, long rollouts and uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics


def test_estimate_counts_sequences_not_frames():
    values = np.array([[1.0, 3.0], [4.0, 4.0], [6.0, 6.0]])  # sequence means 2, 4, 6: std 2
    e = metrics.estimate(values)
    assert (e.mean, e.n) == (4.0, 3) and e.se == pytest.approx(2 / np.sqrt(3))
    assert (e * 10).mean == 40 and (e * 10).se == pytest.approx(20 / np.sqrt(3))


def test_estimate_of_shares_of_one_and_of_nan():
    share = metrics.estimate(np.array([True, False, True, True]))
    assert share.mean == 0.75 and share.se == pytest.approx(0.25)  # std sqrt(3/4/3) = 1/2, over sqrt 4
    assert np.isnan(metrics.estimate(np.array([1.0])).se)
    assert np.isnan(metrics.estimate(np.array([1.0, np.nan])).mean)


def test_ratio_and_its_error():
    over, under = np.array([2.0, 6.0]), np.array([2.0, 2.0])
    e = metrics.estimate_ratio(over, under)
    assert e.mean == 2 and e.se == pytest.approx(1)  # ratios 1 and 3: std sqrt 2, over sqrt 2
    exact = metrics.estimate_ratio(np.array([1.0, 3.0]), np.array([2.0, 6.0]))
    assert exact.mean == 0.5 and exact.se == 0  # the same ratio in every sequence


def test_grey_is_the_clipped_channel_sum():
    frame = np.array([[[0.2, 0.3, 0.0], [0.9, 0.9, 0.9]]])
    np.testing.assert_allclose(metrics.to_grey(frame)[..., 0], [[0.5, 1.0]])


def test_frames_whose_channels_agree_have_one():
    colour = np.random.default_rng(0).random((2, 2, 2, 3))
    grey_as_rgb = colour[..., :1].repeat(3, -1)
    np.testing.assert_array_equal(metrics.drop_equal_channels(grey_as_rgb), colour[..., :1])
    np.testing.assert_array_equal(metrics.drop_equal_channels(colour), colour)


def test_pixel_mse_averages_pixels_and_channels():
    truth = np.zeros((2, 3, 2, 2, 3))
    predicted = truth.copy()
    predicted[1, 2, 0, 0] = [0.5, 0.5, 1.0]  # squares 0.25 + 0.25 + 1, over 12 numbers
    mse = metrics.pixel_mse(predicted, truth)
    assert mse.shape == (2, 3) and mse[1, 2] == pytest.approx(0.125) and mse.sum() == mse[1, 2]


def test_static_and_linear():
    position, velocity = np.array([[[0.1, -0.7]]]), np.array([[[0.3, -0.05]]])
    np.testing.assert_allclose(metrics.static(position, 2), [[[[0.1, -0.7]], [[0.1, -0.7]]]])
    expected = [[0.4, -0.75], [0.7, -0.8], [0.8, -0.8]]  # the third frame would be (1.0, -0.85)
    np.testing.assert_allclose(metrics.linear(position, velocity, 3, clamp=0.8)[0, :, 0], expected)


def test_linear_stops_each_object_at_its_own_wall():
    position, velocity = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    path = metrics.linear(position, velocity, 2, clamp=np.array([[0.7, 0.9]]))
    np.testing.assert_allclose(path[0, 1], [[0.7, 0.7], [0.9, 0.9]])


def test_kinetic_energy():
    velocities = np.array([[[3.0, 4.0], [1.0, 0.0]]])
    np.testing.assert_allclose(metrics.kinetic_energy(velocities), [13.0])
    np.testing.assert_allclose(metrics.kinetic_energy(velocities, np.array([2.0, 4.0])), [27.0])


def test_in_box():
    positions = np.array([[1.0, -1.0], [1.01, 0.0], [0.0, -1.01], [np.nan, 0.0]])
    assert metrics.in_box(positions).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("positions", "count"),
    [
        ([[0, 0], [0.5, 0], [0, 0.5]], 3),
        ([[0, 0], [0.15, 0], [0.5, 0]], 2),  # two in one place
        ([[0, 0], [0.15, 0], [0.3, 0]], 1),  # the ends are linked by the one between
        ([[0, 0], [0.45, 0], [0.15, 0], [0.3, 0]], 1),  # and in a chain of four, in any order
        ([[0, 0], [1.5, 0], [0.5, 0]], 2),  # one has left
        ([[0.95, 0], [1.05, 0], [1.1, 0]], 1),  # one that has left does not hold another's place
        ([[2, 0], [2, 0], [np.nan, 0]], 0),
    ],
)
def test_distinct_objects(positions, count):
    assert metrics.distinct_objects(np.array([positions], dtype=float), radius=0.2).tolist() == [count]


def test_best_of_takes_one_sample_for_all_frames():
    errors = np.array([[[1.0, 5.0]], [[4.0, 1.0]]])  # means 3 and 2.5; frame by frame it would be 1
    assert metrics.best_of(errors).tolist() == [2.5]


def test_coverage_by_hand():
    """19 samples 1..19: the 90 % interval ends at the 1st and the 19th, the 50 % one at the 5th and 15th."""
    samples = np.arange(1.0, 20)[:, None, None, None, None] * np.ones((1, 4, 1, 2))
    truth = np.array([[[[1.0, 19.0]], [[0.9, 10.0]], [[5.0, 15.1]], [[4.9, 15.0]]]])
    np.testing.assert_allclose(metrics.coverage(samples, truth, 0.9), [[1, 0.5, 1, 1]])
    np.testing.assert_allclose(metrics.coverage(samples, truth, 0.5), [[0, 0.5, 0.5, 0.5]])
    nobody = np.zeros(truth.shape[:-1], dtype=bool)
    assert metrics.coverage(samples, truth, 0.5, ~nobody).tolist() == [[0, 0.5, 0.5, 0.5]]
    assert np.isnan(metrics.coverage(samples, truth, 0.5, nobody)).all()


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_coverage_of_the_true_density_is_the_level(rng, level):
    """20 samples and the truth from one density; the tolerance is four standard errors."""
    share = metrics.coverage(rng.normal(size=(20, 4000, 1, 2, 2)), rng.normal(size=(4000, 1, 2, 2)), level)
    e = metrics.estimate(share)
    assert abs(e.mean - level) < 4 * e.se


def test_coverage_needs_enough_samples():
    with pytest.raises(ValueError, match="90% interval needs at least 19 samples, got 18"):
        metrics.coverage(np.zeros((18, 1, 1, 1, 2)), np.zeros((1, 1, 1, 2)), 0.9)
