"""Videos and .npz of frames: cut into sequences of one length and divided among the splits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import Options, Source, files_in, slices
from data_gen.media.reading import VIDEOS, fit, read_npz, read_video
from data_gen.splits import SPLITS


@dataclass(frozen=True)
class Video:
    """Frames uint8 "t h w 3", of which only those needed are touched."""

    name: str
    frames: np.ndarray


@dataclass(frozen=True)
class _Place:
    """Where a sequence lies: the video's index and the first frame in it."""

    video: int
    start: int


def cut(videos: list[Video], options: Options, notes: tuple[str, ...] = ()) -> Iterator[Source]:
    """The splits of the videos' sequences: first train, then the share `val`, at the end the share `test`.

    No frame is in two splits: sequences that reach into the next one are left out, and so are videos shorter
    than a sequence. Raises DataError where nothing is left for a split.
    """
    _require_one_size(videos)
    lengths = [len(video.frames) for video in videos]
    length = options.length or min(lengths)
    if length > max(lengths):
        raise DataError(f"length={length}: the longest video has {max(lengths)} frames; take a smaller one")
    short = [video for video in videos if len(video.frames) < length]
    notes += tuple(f"{video.name}: left out, for it has only {len(video.frames)} frames" for video in short)
    places = [
        _Place(i, start)
        for i, frames in enumerate(lengths)
        for start in range(0, frames - length + 1, options.stride or length)
    ]
    width = videos[0].frames.shape[2]
    attributes = {"coord_limit": float(width), "num_actions": 0, "shape_names": ()}
    for split, chosen in _divided(places, length, options).items():
        yield Source(split, len(chosen), _blocks(videos, chosen, length), attributes, notes)
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


def _divided(places: list[_Place], length: int, options: Options) -> dict[str, list[_Place]]:
    """The places of each split that is asked for, found from the end."""
    shares = {"train": 1 - (options.val + options.test), "val": options.val, "test": options.test}
    found, rest = {}, places
    for split in reversed(SPLITS):
        if shares[split] <= 0:
            continue
        size = len(rest) if split == "train" else round(shares[split] * len(places))
        before, mine = rest[: len(rest) - size], rest[len(rest) - size :]
        if not mine:
            raise DataError(
                f"val={options.val} test={options.test}: of {len(places)} sequences of {length} frames none "
                f"is left for {split}; take a smaller length or stride, or other shares"
            )
        found[split] = mine
        rest = [p for p in before if p.video != mine[0].video or p.start + length <= mine[0].start]
    return {split: found[split] for split in SPLITS if split in found}


def _blocks(videos: list[Video], places: list[_Place], length: int) -> Iterator[dict[str, np.ndarray]]:
    for part in slices(len(places), length * videos[0].frames[0].nbytes):
        chosen = places[part]
        yield {
            "imgs": np.stack([videos[p.video].frames[p.start : p.start + length] for p in chosen]),
            "sources": np.array([[p.video] for p in chosen]),
        }


def read(path: Path, options: Options) -> Iterator[Source]:
    """The splits of a video, or of those in a folder, in the order of their names.

    Decoded once, into a temporary file beside the result, so that memory holds no more than a block.
    """
    files = files_in(path, VIDEOS)
    with tempfile.TemporaryFile(dir=options.out) as store:
        videos, notes = [], []
        for file in files:
            video, size = _decoded(file, options, store)
            videos.append(video)
            height, width = video.frames.shape[1:3]
            if size != (height, width):
                how = "cropped to the middle and resized" if options.crop else "squeezed"
                notes.append(f"{file}: frames of {size[1]}x{size[0]} {how} to {width}x{height}")
        yield from cut(videos, options, tuple(notes))


def _decoded(file: Path, options: Options, store) -> tuple[Video, tuple[int, int]]:
    """A video whose frames lie in `store`, and the height and width that they had."""
    begin, count = store.tell(), 0
    for frame in read_video(file):
        size = frame.shape[:2]
        wanted = size if options.image_size is None else (options.image_size,) * 2
        store.write(fit(frame, wanted, options.crop).tobytes())
        count += 1
    store.flush()
    frames = np.memmap(store, np.uint8, "r", begin, (count, *wanted, 3))
    return Video(str(file), frames), size


def read_arrays(path: Path, options: Options) -> Iterator[Source]:
    """The splits of the sequences in a file, or in all files of a folder one after the other."""
    videos = []
    for file in files_in(path, (".npz",)):
        for i, frames in enumerate(read_npz(file)):
            videos.append(Video(f"{file}[{i}]", _sized(frames, options)))
    return cut(videos, options)


def _sized(frames: np.ndarray, options: Options) -> np.ndarray:
    size = options.image_size
    if size is None or frames.shape[1:3] == (size, size):
        return frames
    return np.stack([fit(frame, (size, size), options.crop) for frame in frames])
