"""Cropping and resizing of frames."""

from __future__ import annotations

import numpy as np
from PIL import Image


def fit(frame: np.ndarray, size: tuple[int, int], crop: bool = True) -> np.ndarray:
    """Resize a frame "h w 3" to height and width `size`: averaged down, or repeated up.

    crop: use the largest part in the middle that has the new shape; otherwise squeeze the whole frame.
    """
    left, top, width, height = kept_part(frame.shape[:2], size, crop)
    box, (new_height, new_width) = (left, top, left + width, top + height), size
    image = Image.fromarray(frame)
    return np.asarray(image.resize((new_width, new_height), Image.Resampling.BOX, box=box))


def kept_part(
    old: tuple[int, ...], new: tuple[int, int], crop: bool = True
) -> tuple[float, float, float, float]:
    """Return left, top, width and height, in pixels, of the part of a picture that `fit` keeps.

    old, new: height and width
    """
    (height, width), (new_height, new_width) = old, new
    if not crop:
        return 0.0, 0.0, float(width), float(height)
    scale = min(height / new_height, width / new_width)
    kept_height, kept_width = scale * new_height, scale * new_width
    return (width - kept_width) / 2, (height - kept_height) / 2, kept_width, kept_height
