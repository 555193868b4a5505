"""Long videos cut into sequences of one length and divided among the splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_gen.blocks import SPLITS
from data_gen.errors import DataError
from data_gen.formats import Source, slices
from data_gen.formats.options import Options


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
