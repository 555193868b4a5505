"""The handwritten digits that come with scikit-learn, in disjoint sets, and their smooth enlargement.

Source: 1797 images of 8x8 in 17 levels, the test set of Alpaydin and Kaynak 1998, "Optical Recognition of
Handwritten Digits", UCI Machine Learning Repository.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from data_gen.errors import DataError

GRID = 8

# Each split has a stretch of the file, from one share of its length to another.
STRETCHES = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}


@lru_cache(maxsize=1)
def load() -> tuple[np.ndarray, np.ndarray]:
    """All images, float32 "m 8 8" in [0, 1], and which digit each shows, int64 "m".

    Raises DataError where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"digits: need scikit-learn, which brings their images ({error}); pip install seqvae[digits]"
        ) from None
    found = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int64)


def stretch(split: str) -> tuple[int, int]:
    """First index of a split's images, and the one after its last."""
    total = len(load()[0])
    return tuple(round(share * total) for share in STRETCHES[split])


def enlarge(images: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Images "m 8 8" at the points of a grid, "m h w": cubic between their pixels, clipped to [0, 1].

    across "m w", down "m h": columns and rows of the points as shares of an image's edge, which has half a
    pixel of its own around it, so that ink at the border fades within.

    Source: Keys 1981, "Cubic convolution interpolation for digital image processing".
    """
    columns, rows = (_weights(points).astype(images.dtype) for points in (across, down))
    return np.clip(rows @ images @ columns.swapaxes(1, 2), 0, 1)


def _weights(points: np.ndarray) -> np.ndarray:
    """What each of the 8 pixels of an edge gives to points "... w": "... w 8"; nothing beyond 0 and 1."""
    pixels = (np.arange(GRID) + 1) / (GRID + 1)
    far = np.abs(points[..., None] - pixels) * (GRID + 1)
    near = 1 - far**2 * (2.5 - 1.5 * far)
    tail = (2 - far) ** 2 * (1 - far) / 2
    weights = np.where(far < 1, near, np.where(far < 2, tail, 0))
    return weights * ((points >= 0) & (points <= 1))[..., None]
