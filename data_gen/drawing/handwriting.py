"""Handwritten digits of scikit-learn, in disjoint sets per split, and their smooth enlargement.

Source: 1797 images of 8x8 pixels in 17 levels, the test set of Alpaydin and Kaynak 1998, "Optical Recognition
of Handwritten Digits", UCI Machine Learning Repository.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from data_gen.errors import DataError

GRID = 8  # pixels along an edge of an image

# Part of the images that each split uses, as shares of their number.
SPLIT_SHARES = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}


@lru_cache(maxsize=1)
def load_digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Return all images, float32 "m 8 8" in [0, 1], and the digit that each shows, int64 "m".

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"digits: need scikit-learn, which brings their images ({error}); pip install seqvae[digits]"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).reshape(-1, GRID, GRID)
    return (images / 16).astype(np.float32), np.asarray(labels).astype(np.int64)


def split_range(split: str) -> tuple[int, int]:
    """Return the first index of a split's images, and the one after its last."""
    total = len(load_digit_images()[0])
    first, last = SPLIT_SHARES[split]
    return round(first * total), round(last * total)


def enlarge(images: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Interpolate images "m 8 8" at the points of a grid, "m h w": cubic, and clipped to [0, 1].

    across: "m w", columns of the points, as shares of an image's edge.  down: "m h", their rows.

    An image has a margin of half a pixel around its pixels, so that ink at the border fades within it.

    Source: Keys 1981, "Cubic convolution interpolation for digital image processing".
    """
    columns, rows = (_cubic_weights(points).astype(images.dtype) for points in (across, down))
    return np.clip(rows @ images @ columns.swapaxes(1, 2), 0, 1)


def _cubic_weights(points: np.ndarray) -> np.ndarray:
    """Return the weight of each pixel of an edge at points "... w": "... w 8", 0 outside of [0, 1]."""
    pixels = (np.arange(GRID) + 1) / (GRID + 1)
    distance = np.abs(points[..., None] - pixels) * (GRID + 1)
    near = 1 - distance**2 * (2.5 - 1.5 * distance)  # up to 1 pixel
    far = (2 - distance) ** 2 * (1 - distance) / 2  # up to 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weights * ((points >= 0) & (points <= 1))[..., None]
