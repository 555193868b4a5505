"""PSNR and SSIM: by hand, by direct computation, and as scikit-image has them."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae.metrics.quality import C1, C2, ROUNDING, has_windows, psnr, ssim


def test_psnr_by_hand():
    """Off by 0.1 everywhere is 20 dB; off by 1 in a quarter of the pixels -10 log10(1/4)."""
    truth = np.zeros((2, 4, 4, 1))
    predicted = truth.copy()
    predicted[0], predicted[1, :2, :2] = 0.1, 1.0
    np.testing.assert_allclose(psnr(predicted, truth), [20, 10 * np.log10(4)])


def test_equal_frames_are_as_good_as_rounding_leaves_them(rng):
    """A finite number, that of a picture whose levels are rounded to 255."""
    truth = rng.random((1, 60, 60, 3))
    assert psnr(truth, truth)[0] == pytest.approx(-10 * np.log10(ROUNDING)) == pytest.approx(58.92, abs=0.01)
    rounded = np.floor(255 * truth + 0.5) / 255
    assert psnr(rounded, truth)[0] == pytest.approx(58.92, abs=0.2)
    assert psnr(rounded.astype(np.float32), rounded.astype(np.float32)).dtype == np.float32


def test_ssim_of_flat_frames_by_hand():
    """Without any variance only the means count: (2 a b + C1) / (a^2 + b^2 + C1)."""
    a, b = np.full((1, 16, 16, 3), 0.25), np.full((1, 16, 16, 3), 0.75)
    np.testing.assert_allclose(ssim(a, b), (2 * 0.1875 + C1) / (0.625 + C1))
    np.testing.assert_allclose(ssim(a, a), 1)


def test_ssim_is_the_mean_over_windows(rng):
    """Every window of 11 pixels of one channel, one after the other."""
    x, y = rng.random((2, 14, 13))
    offset = np.arange(-5, 6)
    weights = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for row, column in np.ndindex(4, 3):
        a, b = (image[row : row + 11, column : column + 11] for image in (x, y))
        mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
        var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
        both = (weights * (a - mean_a) * (b - mean_b)).sum()
        values.append(
            (2 * mean_a * mean_b + C1) * (2 * both + C2)
            / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2))
        )  # fmt: skip
    assert ssim(x[None, ..., None], y[None, ..., None])[0] == pytest.approx(np.mean(values))


def test_both_are_those_of_scikit_image(rng):
    measure = pytest.importorskip("skimage.metrics", reason="the oracle of PSNR and SSIM")
    truth = rng.random((6, 33, 40, 3)) * rng.integers(0, 2, (6, 33, 40, 1))
    predicted = np.clip(truth + rng.normal(0, 0.2, truth.shape), 0, 1)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        values = ssim(predicted.astype(dtype), truth.astype(dtype))
        assert values.dtype == dtype
        expected = [
            measure.structural_similarity(a, b, channel_axis=-1, **options)
            for a, b in zip(predicted, truth, strict=True)
        ]
        np.testing.assert_allclose(values, expected, atol=tolerance)
    expected = [
        measure.peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(truth, predicted, strict=True)
    ]
    np.testing.assert_allclose(psnr(predicted, truth), expected)


def test_small_frames_have_no_windows():
    assert has_windows(11, 40) and not has_windows(40, 10)
    with pytest.raises(ValueError, match="10 pixels are smaller than a window of 11"):
        ssim(np.zeros((1, 10, 40, 1)), np.zeros((1, 10, 40, 1)))
