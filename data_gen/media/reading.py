"""`frames` in an .npz; cropping and resizing."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from data_gen.errors import DataError


def read_npz(path: Path) -> np.ndarray:
    """Return `frames` of an .npz, uint8 "n t h w 3"; a single sequence "t h w 3" becomes n = 1.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "frames" not in arrays:
                keys = ", ".join(arrays) or "nothing"
                raise DataError(f"{path}: holds {keys}, but no key frames (uint8, n t h w 3 or t h w 3)")
            frames = arrays["frames"]
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}); write it again with numpy.savez") from None
    except DataError:
        raise
    except (ValueError, TypeError, AttributeError):  # an object array; a bare .npy under this name
        raise DataError(f"{path}: frames must be a plain array of uint8 in an .npz") from None
    if frames.ndim == 4:
        frames = frames[None]
    if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise DataError(
            f"{path}: frames has shape {frames.shape} and type {frames.dtype}; "
            "must be uint8 of shape (n, t, h, w, 3) or (t, h, w, 3)"
        )
    return frames


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
