"""Writes videos and images, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.io import whole

FPS = 10  # of everything we write; a GIF counts hundredths of a second, and ten frames a second fit evenly


def write_video(path: str | Path, frames: Sequence[np.ndarray], fps: int = FPS) -> None:
    """Write an .mp4 (H.264) or .gif in which every frame appears exactly once, in order.

    frames: anything with a length that gives RGB frames of one size, uint8 "h w 3", by index, so they can
    be drawn when they are needed. An odd height or width gets one more row or column, as H.264 asks for
    even ones.

    Raises:
        DataError: the path ends in neither .mp4 nor .gif, or cannot be written.
        ValueError: there are no frames.
    """
    # It takes a second to import, and most of what imports this module writes no video.
    from moviepy import VideoClip

    path, length = Path(path), len(frames)
    if path.suffix not in (".mp4", ".gif"):
        raise DataError(f"{path}: videos are written as .mp4 or .gif")
    if length == 0:
        raise ValueError("a video needs at least one frame")

    def at(seconds):
        return _even(frames[round(seconds * fps)])

    # moviepy writes the frames at 0, 1/fps, ... below int(duration * fps). Without the half frame that
    # product can round down to one frame less (61 frames at 7 a second).
    clip = VideoClip(at, duration=(length + 0.5) / fps)
    with _told_by_ffmpeg(path), whole(path) as temporary:
        if path.suffix == ".gif":
            clip.write_gif(str(temporary), fps=fps, logger=None)
        else:
            # yuv420p and an index at the front: what browsers play
            quality = ["-crf", "18", "-movflags", "+faststart"]
            clip.write_videofile(
                str(temporary), fps=fps, codec="libx264", audio=False, logger=None,
                pixel_format="yuv420p", ffmpeg_params=quality,
            )  # fmt: skip


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write one RGB image, uint8 "h w 3". Raises DataError where it cannot be written."""
    with whole(Path(path)) as temporary:
        Image.fromarray(image).save(temporary)


@contextmanager
def _told_by_ffmpeg(path: Path) -> Iterator[None]:
    """Turn the error in which moviepy passes on all that ffmpeg said into one line."""
    try:
        yield
    except OSError as error:
        said = str(error).strip().splitlines() or ["without a word"]
        raise DataError(f"{path}: ffmpeg cannot write it ({said[-1].strip()})") from None


def _even(frame: np.ndarray) -> np.ndarray:
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
