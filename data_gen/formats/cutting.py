"""Videos with their truth: cut into sequences of one length and divided among the splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import ForeignSplit, ImportOptions, slices
from data_gen.schema import FIELDS
from data_gen.splits import SPLITS

_MAX_NOTES = 3  # of one kind, about single videos


@dataclass(frozen=True)
class Video:
    """Frames under a name, with what is known of them; arrays or what is sliced like them.

    frames: uint8 "t h w 3"
    truth: by keys of the dataset, "t ..."; what has no axis t holds for the whole video
    """

    name: str
    frames: Any
    truth: Mapping[str, Any] = field(default_factory=dict)


def cut(
    videos: Sequence[Video],
    options: ImportOptions,
    notes: tuple[str, ...] = (),
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[ForeignSplit]:
    """Yield the splits of the videos' sequences: first train, then the share `val`, last the share `test`.

    Several videos are divided whole. The sequences of a single one are divided so that no frame is in two
    splits: a sequence that reaches into the next split is left out. A video shorter than a sequence is left
    out too. options.split takes everything.

    attributes: of the dataset, where they differ from those of frames without truth

    Raises:
        DataError: no sequence is left for a split, or the videos differ in the size of their frames.
    """
    _require_one_size(videos)
    lengths = np.array([len(video.frames) for video in videos])
    length = options.length or int(lengths.min())
    if length > lengths.max():
        raise DataError(f"length={length}: the longest video has {lengths.max()} frames; take a smaller one")
    notes += _notes_on_lengths(videos, lengths, length, options)
    clips = _clips(lengths, length, options.stride or length)
    divided, more = _divide(clips, length, options)
    notes += more
    shape = videos[0].frames.shape
    all_attributes = {"coord_limit": float(shape[2]), "num_actions": 0, "shape_names": ()}
    all_attributes |= attributes or {}
    has_sources = lengths.max() > 1 or shape[0] > 1  # of single pictures each is a source of its own
    for split, chosen in divided.items():
        blocks = _read_blocks(videos, chosen, length, has_sources)
        yield ForeignSplit(split, len(chosen), blocks, all_attributes, notes)
        notes = ()


def _require_one_size(videos: Sequence[Video]) -> None:
    height, width = videos[0].frames.shape[1:3]
    for video in videos:
        h, w = video.frames.shape[1:3]
        if (h, w) != (height, width):
            raise DataError(
                f"{video.name}: frames are {w}x{h}, those of {videos[0].name} {width}x{height}; "
                "image_size=64 brings them to one size"
            )


def _notes_on_lengths(
    videos: Sequence[Video], lengths: np.ndarray, length: int, options: ImportOptions
) -> tuple[str, ...]:
    notes = []
    if options.length is None and lengths.min() < lengths.max():
        notes.append(
            f"{len(videos)} videos of {lengths.min()} to {lengths.max()} frames, cut into sequences of "
            f"{length}; length= takes another number"
        )
    short = np.flatnonzero(lengths < length)
    if len(short) > _MAX_NOTES:
        notes.append(
            f"{len(short)} of {len(videos)} videos left out, for they have less than {length} frames"
        )
    else:
        notes += [f"{videos[i].name}: left out, for it has only {lengths[i]} frames" for i in short.tolist()]
    return tuple(notes)


# ---- clips: the places of sequences, int64 "clip 2": index of the video, and of the first frame there


def _clips(lengths: np.ndarray, length: int, stride: int) -> np.ndarray:
    counts = np.maximum(0, (lengths - length) // stride + 1)
    first = np.repeat(np.cumsum(counts) - counts, counts)  # clip with which the same video begins
    starts = (np.arange(counts.sum()) - first) * stride
    return np.stack([np.repeat(np.arange(len(lengths)), counts), starts], axis=1)


def _divide(
    clips: np.ndarray, length: int, options: ImportOptions
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the clips of each split with a share above 0, and notes on them."""
    shares = {"train": 1 - (options.val + options.test), "val": options.val, "test": options.test}
    if options.split is not None:
        if options.val or options.test:
            raise DataError(f"split={options.split}: takes all sequences; leave out val= and test=")
        shares = {options.split: 1.0}
    shares = {split: share for split, share in shares.items() if share > 0}
    if len(shares) == 1:
        return {split: clips for split in shares}, ()
    videos = np.unique(clips[:, 0])
    if len(videos) == 1:
        note = f"{' and '.join(shares)} come from a single video; no frame of it is in two of them"
        return _divide_frames(clips, length, shares, options), (note,)
    if len(videos) < len(shares):
        raise DataError(
            f"val={options.val} test={options.test}: {len(videos)} videos cannot be divided whole among "
            f"{', '.join(shares)}; leave one out"
        )
    divided = _divide_videos(clips, videos, shares)
    real = {split: len(chosen) / len(clips) for split, chosen in divided.items()}
    if all(abs(real[split] - share) < 0.05 for split, share in shares.items()):
        return divided, ()
    told = ", ".join(f"{split} {share:.0%}" for split, share in real.items())
    return divided, (f"no video is in two splits, so their shares are {told}",)


def _divide_videos(
    clips: np.ndarray, videos: np.ndarray, shares: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Divide whole videos, in their order, so that the shares of the clips are nearly as asked for."""
    counts = np.searchsorted(clips[:, 0], videos, side="right")  # clips up to the end of each video
    chosen, first, share = {}, 0, 0.0
    for place, split in enumerate(shares):
        share += shares[split]
        later = len(shares) - place - 1  # splits that need a video each
        ends = np.arange(first + 1, len(videos) - later + 1)
        end = int(ends[np.abs(counts[ends - 1] - share * len(clips)).argmin()]) if later else len(videos)
        inside = (clips[:, 0] >= videos[first]) & (clips[:, 0] <= videos[end - 1])
        chosen[split], first = clips[inside], end
    return chosen


def _divide_frames(
    clips: np.ndarray, length: int, shares: Mapping[str, float], options: ImportOptions
) -> dict[str, np.ndarray]:
    """Divide the clips of one video, from the end: test, val, train."""
    chosen: dict[str, np.ndarray] = {}
    remaining = clips
    for split in reversed([split for split in SPLITS if split in shares]):
        size = len(remaining) if split == "train" else round(shares[split] * len(clips))
        earlier, members = remaining[: len(remaining) - size], remaining[len(remaining) - size :]
        if not len(members):
            raise DataError(
                f"val={options.val} test={options.test}: of {len(clips)} sequences of {length} frames none "
                f"is left for {split}; take a smaller length or stride, or other shares"
            )
        chosen[split] = members
        remaining = earlier[earlier[:, 1] + length <= members[0, 1]]
    return {split: chosen[split] for split in SPLITS if split in chosen}


def _read_blocks(
    videos: Sequence[Video], clips: np.ndarray, length: int, has_sources: bool
) -> Iterator[dict[str, np.ndarray]]:
    for block in slices(len(clips), length * int(np.prod(videos[0].frames.shape[1:]))):
        yield _read_clips(videos, clips[block], length, has_sources)


def _read_clips(
    videos: Sequence[Video], clips: np.ndarray, length: int, has_sources: bool
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for i, (video, start) in enumerate(clips.tolist()):
        for key, array in _read_clip(videos[video], start, length).items():
            if i == 0:
                arrays[key] = np.empty((len(clips), *array.shape), array.dtype)
            arrays[key][i] = array
    if has_sources:
        arrays["sources"] = clips[:, :1]
    return arrays


def _read_clip(video: Video, start: int, length: int) -> dict[str, np.ndarray]:
    time = slice(start, start + length)
    truth = {
        key: array[time] if "t" in FIELDS[key].axes.split() else array[:]
        for key, array in video.truth.items()
    }
    return {"imgs": np.asarray(video.frames[time]), **truth}
