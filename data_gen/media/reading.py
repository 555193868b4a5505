"""Reads frames: every frame of a video file once, `frames` in an .npz; crops and resizes them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from data_gen.errors import DataError

VIDEOS = (".mp4", ".gif", ".avi", ".mov", ".mkv", ".webm")


def read_video(path: Path) -> Iterator[np.ndarray]:
    """Every frame, uint8 "h w 3", of a video file once, in order, whatever its times say.

    Raises DataError for a file without a frame that can be read.
    """
    found = False
    try:
        for frame in _decode_gif(path) if path.suffix.lower() == ".gif" else _decode(path):
            found = True
            yield frame
    except (OSError, EOFError, RuntimeError):
        found = False
    if not found:
        raise DataError(f"{path}: is no video that ffmpeg can read; convert it to .mp4")


def _decode(path: Path) -> Iterator[np.ndarray]:
    import imageio_ffmpeg

    # Passed through: ffmpeg and moviepy otherwise fill and drop frames to keep to a rate.
    reader = imageio_ffmpeg.read_frames(str(path), output_params=["-fps_mode", "passthrough"])
    width, height = next(reader)["size"]
    for data in reader:
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _decode_gif(path: Path) -> Iterator[np.ndarray]:
    """The frames of a GIF, in which equal ones in a row are stored as one that is shown for longer."""
    with Image.open(path) as gif:
        shown = [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(gif)]
        shortest = max(min(shown), 1)
        for frame, duration in zip(ImageSequence.Iterator(gif), shown, strict=True):
            image = np.asarray(frame.convert("RGB"))
            yield from repeat(image, max(round(duration / shortest), 1))


def read_npz(path: Path) -> np.ndarray:
    """`frames` of an .npz, uint8 "n t h w 3"; a single sequence "t h w 3" gets its first axis.

    Raises DataError for a file that cannot be read or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "frames" not in arrays:
                held = ", ".join(arrays) or "nothing"
                raise DataError(f"{path}: holds {held}, but no key frames (uint8, n t h w 3 or t h w 3)")
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
    """A frame "h w 3" averaged down (or repeated up) to height and width `size`.

    crop: take the middle, as large as the wanted shape allows; otherwise the whole frame is squeezed.
    """
    (height, width), (wanted_height, wanted_width) = frame.shape[:2], size
    crop_height, crop_width = height, width
    if crop:
        scale = min(height / wanted_height, width / wanted_width)
        crop_height, crop_width = scale * wanted_height, scale * wanted_width
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    image = Image.fromarray(frame)
    return np.asarray(image.resize((wanted_width, wanted_height), Image.Resampling.BOX, box=box))
