"""Videos and .npz of frames: cut into sequences of one length and divided among the splits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import ForeignSplit, ImportOptions, files_in, slices
from data_gen.media.reading import VIDEOS, fit, read_npz, read_video
from data_gen.splits import SPLITS


@dataclass(frozen=True)
class Video:
    """Frames uint8 "t h w 3" under a name, perhaps in a file on disk."""

    name: str
    frames: np.ndarray


@dataclass(frozen=True)
class _Clip:
    """Place of a sequence: index of its video, and of its first frame there."""

    video: int
    start: int


def read(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits of a video, or of those in a folder, in the order of their names.

    Each video is decoded once, into a temporary file in the output folder, so that memory holds one block.
    """
    files = files_in(path, VIDEOS)
    with tempfile.TemporaryFile(dir=options.out) as store:
        videos, notes = [], []
        for file in files:
            video, (height, width) = _decode(file, options, store)
            videos.append(video)
            new_height, new_width = video.frames.shape[1:3]
            if (height, width) != (new_height, new_width):
                how = "cropped to the middle and resized" if options.crop else "squeezed"
                notes.append(f"{file}: frames of {width}x{height} {how} to {new_width}x{new_height}")
        yield from cut(videos, options, tuple(notes))


def _decode(file: Path, options: ImportOptions, store: IO[bytes]) -> tuple[Video, tuple[int, int]]:
    """Return a video whose frames are in `store`, and its original height and width."""
    offset, count = store.tell(), 0
    size = new_size = (0, 0)
    for frame in read_video(file):
        height, width, _ = frame.shape
        size = height, width
        new_size = size if options.image_size is None else (options.image_size, options.image_size)
        store.write(fit(frame, new_size, options.crop).tobytes())
        count += 1
    store.flush()
    frames = np.memmap(store, np.uint8, "r", offset, (count, *new_size, 3))
    return Video(str(file), frames), size


def read_arrays(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits of the sequences in a .npz, or in those of a folder one after the other."""
    videos = []
    for file in files_in(path, (".npz",)):
        for i, frames in enumerate(read_npz(file)):
            videos.append(Video(f"{file}[{i}]", _resize(frames, options)))
    return cut(videos, options)


def _resize(frames: np.ndarray, options: ImportOptions) -> np.ndarray:
    size = options.image_size
    if size is None or frames.shape[1:3] == (size, size):
        return frames
    return np.stack([fit(frame, (size, size), options.crop) for frame in frames])


# ---- sequences


def cut(videos: list[Video], options: ImportOptions, notes: tuple[str, ...] = ()) -> Iterator[ForeignSplit]:
    """Yield the splits of the videos' sequences: first train, then the share `val`, last the share `test`.

    No frame is in two splits: a sequence that reaches into the next split is left out, and so is a video
    shorter than a sequence.

    Raises:
        DataError: no sequence is left for a split.
    """
    _require_one_size(videos)
    lengths = [len(video.frames) for video in videos]
    length = options.length or min(lengths)
    if length > max(lengths):
        raise DataError(f"length={length}: the longest video has {max(lengths)} frames; take a smaller one")
    short = [video for video in videos if len(video.frames) < length]
    notes += tuple(f"{video.name}: left out, for it has only {len(video.frames)} frames" for video in short)
    clips = [
        _Clip(index, start)
        for index, frames in enumerate(lengths)
        for start in range(0, frames - length + 1, options.stride or length)
    ]
    width = videos[0].frames.shape[2]
    attributes = {"coord_limit": float(width), "num_actions": 0, "shape_names": ()}
    for split, chosen in _divide(clips, length, options).items():
        yield ForeignSplit(split, len(chosen), _read_blocks(videos, chosen, length), attributes, notes)
        notes = ()


def _require_one_size(videos: list[Video]) -> None:
    first = videos[0]
    for video in videos:
        if video.frames.shape[1:] != first.frames.shape[1:]:
            (h, w), (height, width) = video.frames.shape[1:3], first.frames.shape[1:3]
            raise DataError(
                f"{video.name}: frames are {w}x{h}, those of {first.name} {width}x{height}; "
                "image_size=64 brings them to one size"
            )


def _divide(clips: list[_Clip], length: int, options: ImportOptions) -> dict[str, list[_Clip]]:
    """Return the clips of each split with a share above 0, taken from the end: test, val, train."""
    shares = {"train": 1 - (options.val + options.test), "val": options.val, "test": options.test}
    chosen: dict[str, list[_Clip]] = {}
    remaining = clips
    for split in reversed(SPLITS):
        if shares[split] <= 0:
            continue
        size = len(remaining) if split == "train" else round(shares[split] * len(clips))
        earlier, members = remaining[: len(remaining) - size], remaining[len(remaining) - size :]
        if not members:
            raise DataError(
                f"val={options.val} test={options.test}: of {len(clips)} sequences of {length} frames none "
                f"is left for {split}; take a smaller length or stride, or other shares"
            )
        chosen[split] = members
        first = members[0]
        remaining = [c for c in earlier if c.video != first.video or c.start + length <= first.start]
    return {split: chosen[split] for split in SPLITS if split in chosen}


def _read_blocks(videos: list[Video], clips: list[_Clip], length: int) -> Iterator[dict[str, np.ndarray]]:
    for block in slices(len(clips), length * videos[0].frames[0].nbytes):
        chosen = clips[block]
        yield {
            "imgs": np.stack([videos[c.video].frames[c.start : c.start + length] for c in chosen]),
            "sources": np.array([[c.video] for c in chosen]),
        }
