"""Cropping and resizing of frames."""

from __future__ import annotations

import numpy as np
from PIL import Image


def fit(frame: np.ndarray, size: tuple[int, int], crop: bool = True) -> np.ndarray:
    """Resize a frame "h w 3" to height and width `size`: averaged down, or repeated up.

    crop: use the largest part in the middle that has the new shape; otherwise squeeze the whole frame.
    """
    (height, width), (new_height, new_width) = frame.shape[:2], size
    crop_height, crop_width = height, width
    if crop:
        scale = min(height / new_height, width / new_width)
        crop_height, crop_width = scale * new_height, scale * new_width
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    image = Image.fromarray(frame)
    return np.asarray(image.resize((new_width, new_height), Image.Resampling.BOX, box=box))
