"""Videos and images, written completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.io import output_path
from data_gen.progress import track

FPS = 10  # frames per second; in a GIF, which counts hundredths of a second, each then lasts ten


@runtime_checkable
class Frames(Protocol):
    """RGB frames of one size, uint8 "h w 3", by index, so that they can be drawn on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


def write_video(path: str | Path, frames: Frames, fps: int = FPS) -> None:
    """Write an .mp4 (H.264) or .gif in which every frame appears exactly once, in order.

    An odd height or width gets one more row or column, as H.264 needs even ones.

    Raises:
        DataError: the path ends in neither .mp4 nor .gif, or cannot be written.
        ValueError: there are no frames.
    """
    # The import takes a second, and most users of this module write no video.
    from moviepy import VideoClip

    path, length = Path(path), len(frames)
    if path.suffix not in (".mp4", ".gif"):
        raise DataError(f"{path}: videos are written as .mp4 or .gif")
    if length == 0:
        raise ValueError("a video needs at least one frame")

    bar = track(range(length), path.name)

    def frame_at(seconds):
        next(bar, None)
        return _pad_to_even(frames[round(seconds * fps)])

    # moviepy writes the frames at 0, 1/fps, ... below int(duration * fps). Without the half frame that
    # product can round down to one frame less (61 frames at 7 per second).
    clip = VideoClip(frame_at, duration=(length + 0.5) / fps)
    with output_path(path) as temporary, _report_ffmpeg(path):
        if path.suffix == ".gif":
            clip.write_gif(str(temporary), fps=fps, logger=None)
        else:
            # browsers play yuv420p with the index at the front
            quality = ["-crf", "18", "-movflags", "+faststart"]
            clip.write_videofile(
                str(temporary), fps=fps, codec="libx264", audio=False, logger=None,
                pixel_format="yuv420p", ffmpeg_params=quality,
            )  # fmt: skip


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write one RGB image, uint8 "h w 3"; raise DataError where it cannot be written."""
    with output_path(Path(path)) as temporary:
        Image.fromarray(image).save(temporary)


@contextmanager
def _report_ffmpeg(path: Path) -> Iterator[None]:
    """Turn moviepy's error, which holds all output of ffmpeg, into one line."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # of the system
            raise
        output = str(error).strip().splitlines() or ["without a message"]
        raise DataError(f"{path}: ffmpeg cannot write it ({output[-1].strip()})") from None


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
