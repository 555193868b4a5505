"""Frames of a video file, each once; cropping and resizing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from data_gen.errors import DataError

VIDEOS = (".mp4", ".gif", ".avi", ".mov", ".mkv", ".webm")


def read_video(path: Path) -> Iterator[np.ndarray]:
    """Yield every frame of a video file, uint8 "h w 3", once and in order, whatever its time stamps.

    Raises:
        DataError: the file has no frame that can be read, or breaks off.
    """
    is_readable = False
    try:
        for frame in _decode_gif(path) if path.suffix.lower() == ".gif" else _decode(path):
            is_readable = True
            yield frame
    except (OSError, EOFError, RuntimeError):
        is_readable = False
    if not is_readable:
        raise DataError(f"{path}: is no video that ffmpeg can read; convert it to .mp4")


def _decode(path: Path) -> Iterator[np.ndarray]:
    import imageio_ffmpeg

    # Pass frames through: ffmpeg and moviepy otherwise add and drop frames to keep a constant rate.
    reader = imageio_ffmpeg.read_frames(str(path), output_params=["-fps_mode", "passthrough"])
    width, height = next(reader)["size"]
    for data in reader:
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _decode_gif(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a GIF, which stores equal successive frames as one of longer duration."""
    with Image.open(path) as gif:
        durations = [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(gif)]
        shortest = max(min(durations), 1)
        for frame, duration in zip(ImageSequence.Iterator(gif), durations, strict=True):
            image = np.asarray(frame.convert("RGB"))
            yield from repeat(image, max(round(duration / shortest), 1))


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
