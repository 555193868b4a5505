"""Frames of a video with their times, and what the decoders share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from data_gen.errors import DataError

TRANSPARENT = "transparent parts are shown on black"
MOST_PIXELS = 50_000_000  # of a picture; 8K has 35 million
_PER_BYTE = 2**11  # most pixels, of all frames together, that a byte of an animation may stand for


def require_pixels(path: Path, width: int, height: int) -> None:
    """Raise DataError for a picture that is too large to be decoded, and more likely damaged."""
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path}: claims pictures of {width}x{height}, more than {MOST_PIXELS // 10**6} million pixels; "
            "copy it again, or make it smaller"
        )


def require_held(path: Path, width: int, height: int, frames: int) -> None:
    """Raise DataError for more pixels than an animation of its size holds, such as one that is a trap."""
    size = path.stat().st_size
    if width * height * frames > max(_PER_BYTE * size, 2**26):
        raise DataError(
            f"{path}: claims {frames} frames of {width}x{height}, more than a file of {size:,} bytes holds; "
            "copy it again"
        )


@runtime_checkable
class Frames(Protocol):
    """RGB frames of one size, uint8 "h w 3", by index, so that they can be drawn on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    image: uint8 "h w 3"
    time: seconds at which it appears, NaN where the file does not say
    duration: seconds until the next one appears, 0 where the file does not say
    """

    image: np.ndarray
    time: float
    duration: float


def lost_frames(read: int, promised: str | None) -> str:
    """Say that a file lacks frames, with the number of frames that it promises, where that is known."""
    frames = "1 frame" if read == 1 else f"{read} frames"
    return f"is broken: only {f'{read} of {promised} frames' if promised else frames} can be read"


def over_black(rgba: np.ndarray, notes: list[str]) -> np.ndarray:
    """Lay an image "h w 4" on black, with a note where any of it is transparent."""
    alpha = rgba[..., 3:]
    if (alpha == 255).all():
        return rgba[..., :3]
    if TRANSPARENT not in notes:
        notes.append(TRANSPARENT)
    result = np.empty((*rgba.shape[:-1], 3), np.uint8)
    for row, line in enumerate(rgba):  # row by row: a whole picture of 16 bits would be twice as large
        result[row] = (line[..., :3] * alpha[row].astype(np.uint16) + 127) // 255
    return result


def resample(
    frames: Iterable[Frame], fps: float, rounding: Callable[[], float], name: str
) -> Iterator[Frame]:
    """Yield, at the times 0, 1 / fps, 2 / fps, ... after the first frame, the frame that is shown then.

    That is the last one at or before each time; frames are repeated and left out, never blended.

    rounding: returns the seconds by which times may be wrong, once the first frame is there; a frame may
        appear later by that much.
    name: file, for messages.

    Raises:
        DataError: a frame has no time, or one before that of its predecessor.
    """
    shown, start, tolerance, count = None, 0.0, 0.0, 0
    for number, frame in enumerate(frames, 1):
        if np.isnan(frame.time):
            raise DataError(f"{name}: frame {number} has no time, which fps= needs; leave out fps=")
        if shown is None:
            start, tolerance = frame.time, rounding()
        elif frame.time < shown.time:
            raise DataError(f"{name}: frame {number} appears before the one before it; leave out fps=")
        else:
            while count / fps < frame.time - start - tolerance:
                yield replace(shown, time=count / fps, duration=1 / fps)
                count += 1
        shown = frame
    if shown is None:
        return
    end = max(shown.time + shown.duration - tolerance, shown.time + tolerance) - start
    while count / fps < end or count == 0:
        yield replace(shown, time=count / fps, duration=1 / fps)
        count += 1
