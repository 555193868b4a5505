"""A few frames of a file: the right ones, in memory that does not grow with the file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqvae.data.excerpts import evenly, read_excerpt
from seqvae.data.sequences import read_sequences
from seqvae.video import write_video
from tests.worlds import make_data

KINDS = ["h5", "npy", "npz", "mp4", "gif"]


def make_file(folder: Path, kind: str, length: int, size: int = 32) -> Path:
    """A file of noise: one sequence in a video, else three."""
    path = folder / f"noise.{kind}"
    frames = np.random.default_rng(0).integers(0, 256, (3, length, size, size, 3), dtype=np.uint8)
    if kind == "h5":
        make_data(folder, "sprites", "test=3", "length=2", f"image_size={size}", "workers=1")
        (folder / "test.h5").rename(path)
        with h5py.File(path, "a") as file:
            for key in set(file) - {"imgs", "masks"}:
                del file[key]
            masks = file["masks"][:, :1].repeat(length, 1)
            for key, array in {"imgs": frames, "masks": masks}.items():
                del file[key]
                file.create_dataset(key, data=array, chunks=(1, 1, *array.shape[2:]))
    elif kind == "npy":
        np.save(path, frames)
    elif kind == "npz":
        np.savez(path, frames)
    else:
        write_video(path, frames[0])
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_excerpt_has_the_frames_of_the_file(tmp_path, kind):
    path = make_file(tmp_path, kind, 9)
    whole, found = read_sequences(path), read_excerpt(path, 2, 4)
    assert (found.sequences, found.length, found.times) == (len(whole), 9, (0, 3, 5, 8))
    np.testing.assert_array_equal(found.frames, whole.frames[:2, [0, 3, 5, 8]])
    assert (found.masks is None) == (kind != "h5")
    if found.masks is not None:
        np.testing.assert_array_equal(found.masks, whole.masks[:2, [0, 3, 5, 8]])


@pytest.mark.parametrize("kind", KINDS)
def test_its_memory_does_not_grow_with_the_file(tmp_path, kind):
    peaks = []
    for length in (40, 240):
        (tmp_path / str(length)).mkdir()
        path = make_file(tmp_path / str(length), kind, length, size=64)
        read_excerpt(path, 2, 4)  # imports, and what a library keeps
        tracemalloc.start()
        read_excerpt(path, 2, 4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 200 frames more would be 2.4 MB
    assert peaks[1] < peaks[0] + 0.3e6, peaks


@pytest.mark.parametrize(("length", "count", "times"), [(1, 12, (0,)), (3, 12, (0, 1, 2)), (10, 1, (0,))])
def test_short_sequences_are_shown_whole(length, count, times):
    assert evenly(length, count) == times
