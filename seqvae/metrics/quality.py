"""Likeness of pictures: PSNR and SSIM, as the literature on video prediction reports them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Squared error that rounding to 255 levels leaves. Pictures on disk are no more exact than this.
ROUNDING = 1 / (12 * 255**2)

# Of SSIM: weights of a window, and the constants that keep it finite (Wang et al. 2004).
STD, RADIUS = 1.5, 5  # pixels
C1, C2 = 0.01**2, 0.03**2


def psnr(
    predicted: Float[np.ndarray, "*n h w c"], truth: Float[np.ndarray, "*n h w c"]
) -> Float[np.ndarray, "*n"]:
    """Return the peak signal-to-noise ratio of frames in [0, 1] in dB: -10 log10 of the mean squared error.

    At most 58.9, where the error is that of rounding to 255 levels: it would be infinite for equal frames.
    """
    error = np.square(predicted - truth).mean((-3, -2, -1))
    return -10 * np.log10(np.maximum(error, error.dtype.type(ROUNDING)))


def ssim(
    predicted: Float[np.ndarray, "*n h w c"], truth: Float[np.ndarray, "*n h w c"]
) -> Float[np.ndarray, "*n"]:
    """Return the structural similarity of frames in [0, 1], the mean over windows and channels.

    A window has Gaussian weights with a std of 1.5 pixels, and lies wholly in the frame.

    Raises:
        ValueError: a frame is smaller than a window of 11 pixels.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
    """
    x, y = np.moveaxis(predicted, -1, -3), np.moveaxis(truth, -1, -3)  # ... c h w
    down, across = (_window_weights(size).astype(x.dtype) for size in x.shape[-2:])

    def local_mean(image: Float[np.ndarray, "*n h w"]) -> Float[np.ndarray, "*n _ _"]:
        return down @ image @ across.T

    mean_x, mean_y = local_mean(x), local_mean(y)
    squares, product = mean_x**2 + mean_y**2, mean_x * mean_y
    variances = local_mean(x**2 + y**2) - squares
    covariance = local_mean(x * y) - product
    likeness = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return likeness.mean((-3, -2, -1))


def has_windows(height: int, width: int) -> bool:
    """Return whether frames of this size have an SSIM."""
    return min(height, width) > 2 * RADIUS


def _window_weights(size: int) -> Float[np.ndarray, "m size"]:
    """Return the weights of all windows along an edge, one per row; each sums to 1."""
    if not has_windows(size, size):
        raise ValueError(f"frames of {size} pixels are smaller than a window of {2 * RADIUS + 1}")
    offset = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (offset / STD) ** 2)
    windows = np.arange(size - 2 * RADIUS)
    matrix = np.zeros((len(windows), size))
    matrix[windows[:, None], windows[:, None] + RADIUS + offset] = weights / weights.sum()
    return matrix
