"""A NumPy .npz with `frames`, uint8 "n t h w 3" or "t h w 3"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_gen.formats import Source, files_in
from data_gen.formats.clips import Video, cut
from data_gen.formats.options import Options
from data_gen.media.reading import fit, read_npz

SUFFIX = ".npz"


def read(path: Path, options: Options) -> Iterator[Source]:
    """The splits of the sequences in a file, or in all files of a folder one after the other."""
    videos = []
    for file in files_in(path, (SUFFIX,)):
        for i, frames in enumerate(read_npz(file)):
            videos.append(Video(f"{file}[{i}]", _sized(frames, options)))
    return cut(videos, options)


def _sized(frames: np.ndarray, options: Options) -> np.ndarray:
    size = options.image_size
    if size is None or frames.shape[1:3] == (size, size):
        return frames
    return np.stack([fit(frame, (size, size), options.crop) for frame in frames])
