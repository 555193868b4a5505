"""Videos and images, written completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.io import output_path
from data_gen.media.frames import Frames
from data_gen.media.gif import write_gif
from data_gen.progress import track

FPS = 10  # frames per second; in a GIF, which counts hundredths of a second, each then lasts ten


def write_video(path: str | Path, frames: Frames, fps: int = FPS) -> None:
    """Write an .mp4 (H.264) or .gif in which every frame appears exactly once, in order.

    An odd height or width gets one more row or column, as H.264 needs even ones.

    Raises:
        DataError: the path ends in neither .mp4 nor .gif, or cannot be written.
        ValueError: there are no frames.
    """
    path, length = Path(path), len(frames)
    if path.suffix not in (".mp4", ".gif"):
        raise DataError(f"{path}: videos are written as .mp4 or .gif")
    if length == 0:
        raise ValueError("a video needs at least one frame")
    with output_path(path) as temporary:
        if path.suffix == ".gif":
            with temporary.open("wb") as file:
                write_gif(file, (_pad_to_even(frames[t]) for t in range(length)), fps)
        else:
            _write_mp4(temporary, path, frames, fps)


def _write_mp4(temporary: Path, path: Path, frames: Frames, fps: int) -> None:
    # The import takes a second, and most users of this module write no video.
    from moviepy import VideoClip

    bar = track(range(len(frames)), path.name)

    def frame_at(seconds):
        next(bar, None)
        return _pad_to_even(frames[round(seconds * fps)])

    # moviepy writes the frames at 0, 1/fps, ... below int(duration * fps). Without the half frame that
    # product can round down to one frame less (61 frames at 7 per second).
    clip = VideoClip(frame_at, duration=(len(frames) + 0.5) / fps)
    # browsers play yuv420p with the index at the front
    quality = ["-crf", "18", "-movflags", "+faststart"]
    # ffmpeg takes a relative path with a colon for a protocol, and one with a dash for an option
    literal = str(temporary.absolute())
    with _report_ffmpeg(path):
        clip.write_videofile(
            literal, fps=fps, codec="libx264", audio=False, logger=None,
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
