"""A few frames of a file, to look at, in memory that does not grow with the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_gen.media.videos import VIDEOS, VideoFile
from data_gen.numpy_files import NUMPY, open_frames
from seqvae.data.sequences import DATASETS, open_arrays, reading
from seqvae.tree import short_repr


@dataclass(frozen=True)
class Excerpt:
    """Some frames of the first sequences of a file.

    sequences: number of sequences in the file
    length: number of frames in each of them
    times: frames that were taken, from 0, increasing
    frames: n f h w c
    masks: n f h w, 0 background, k + 1 the object seen at a pixel; None where the file has none
    """

    __repr__ = short_repr

    sequences: int
    length: int
    times: tuple[int, ...]
    frames: UInt8[np.ndarray, "n f h w c"]
    masks: UInt8[np.ndarray, "n f h w"] | None = None


READABLE = (*DATASETS, *NUMPY, *VIDEOS)


def read_excerpt(path: Path, sequences: int, frames: int) -> Excerpt:
    """Read frames of the first sequences, evenly spaced from the first to the last one.

    path: dataset, NumPy file or video; its suffix is in READABLE. A video is decoded twice.
    sequences, frames: most that are read.

    Raises:
        UserError: the file cannot be read.
    """
    if path.suffix in DATASETS:
        return _of_dataset(path, sequences, frames)
    return _of_numpy(path, sequences, frames) if path.suffix.lower() in NUMPY else _of_video(path, frames)


def evenly(length: int, count: int) -> tuple[int, ...]:
    """Return at most `count` of the numbers 0 to length - 1, evenly spaced from the first to the last one."""
    return tuple(np.unique(np.linspace(0, length - 1, count).round().astype(int)).tolist())


def _of_dataset(path: Path, sequences: int, frames: int) -> Excerpt:
    with open_arrays(path) as arrays:
        n, length = arrays["imgs"].shape[:2]
        times = evenly(length, frames)
        keys = [key for key in ("imgs", "masks") if key in arrays]
        # h5py picks frames of one sequence at a time faster than of several
        found = {
            key: np.stack([arrays[key][i, list(times)] for i in range(min(sequences, n))]) for key in keys
        }
    return Excerpt(n, length, times, found["imgs"], found.get("masks"))


def _of_numpy(path: Path, sequences: int, frames: int) -> Excerpt:
    with reading(path):
        array = open_frames(path)
        times = evenly(array.sizes["t"], frames)
        rows = slice(sequences)
        found = np.concatenate([array.read(rows, slice(t, t + 1)) for t in times], 1)
    return Excerpt(array.sizes["n"], array.sizes["t"], times, found)


def _of_video(path: Path, frames: int) -> Excerpt:
    with reading(path):
        length = sum(1 for _ in VideoFile(path))
        times = evenly(length, frames)
        found = [frame.image for t, frame in enumerate(VideoFile(path)) if t in times]
    return Excerpt(1, length, times, np.stack(found)[None])
