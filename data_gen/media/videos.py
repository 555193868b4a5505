"""Reading of video files: every frame once, with its time, or at a rate on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from data_gen.errors import DataError
from data_gen.media.animations import Animation, is_animation
from data_gen.media.containers import Container
from data_gen.media.frames import Frame, resample

# fmt: off
VIDEOS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".webp", ".apng", ".mpg", ".mpeg", ".ts", ".mts",
    ".m2ts", ".wmv", ".flv", ".ogv", ".3gp",
)
# fmt: on

_REMEDY = (
    "copy it again; python -m data_gen import format=videos broken=keep takes what can be read, "
    "broken=skip leaves such files out"
)


class VideoFile:
    """Frames of a video file, each once and in order; iterate over it.

    The file's content decides how it is read, and its name can hold any characters. After the last frame:

    notes: lines that say what was changed, or is unusual
    loss: how many frames are missing, None where the file is whole
    """

    def __init__(
        self,
        path: Path,
        fps: float | None = None,
        keep_broken: bool = False,
        max_frames: int | None = None,
    ) -> None:
        """Take the path.

        fps: frames per second; at each time the frame that is shown then. None: each frame that is stored.
        keep_broken: read what a broken file still holds.
        max_frames: number of stored frames after which nothing more is read, nor checked.
        """
        self.path, self.fps, self.keep_broken, self.max_frames = path, fps, keep_broken, max_frames
        self.notes: list[str] = []
        self.loss: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; times count from the first one.

        Raises:
            DataError: there is no such file, or no frame in it; some are missing and keep_broken is False;
                its times do not allow fps.
        """
        try:
            decoder = _decoder(self.path)
            frames = self._checked(decoder)
            if self.fps is not None:
                frames = resample(frames, self.fps, lambda: decoder.rounding, str(self.path))
            yield from frames
        except OSError as error:
            reason = error.strerror or "no reason given"
            raise DataError(f"{self.path}: cannot be read ({reason}); copy it again") from None

    def _checked(self, decoder: Animation | Container) -> Iterator[Frame]:
        """Yield the frames with times from the first one on, and take stock after the last one."""
        times: list[float] = []
        for frame in islice(decoder, self.max_frames):
            times.append(frame.time)
            yield replace(frame, time=frame.time - times[0])
        self.loss, self.notes = decoder.loss, decoder.notes
        if not times:
            raise DataError(f"{self.path}: holds no frame that can be read; copy it again or leave it out")
        if self.loss is not None:
            if not self.keep_broken:
                raise DataError(f"{self.path}: {self.loss}; {_REMEDY}")
            self.notes.append(self.loss)
        if self.fps is None:
            self.notes += _describe_gaps(np.diff(times), decoder.tick)


def _decoder(path: Path) -> Animation | Container:
    if not path.exists():
        raise DataError(f"{path}: no such file; give the path of a video")
    if not path.is_file():
        raise DataError(f"{path}: is no plain file; copy the video to one")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise DataError(f"{path}: is empty, and no video; copy it again")
    return Animation(path) if is_animation(head) else Container(path)


def _describe_gaps(gaps: np.ndarray, tick: float) -> list[str]:
    """Say where frames are not evenly spaced, beyond the precision of the clock."""
    if np.isnan(gaps).any():
        return ["tells no times of its frames"]
    if not gaps.size or np.ptp(gaps) <= 1.5 * tick or gaps.max() <= 1.25 * gaps.min():
        return []
    spread = f"{gaps.min():.4g} to {gaps.max():.4g} s"
    return [f"frames are {spread} apart, and each is taken once; fps= of the import resamples them"]
