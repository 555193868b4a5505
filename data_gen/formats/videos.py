"""Video files: decoded once, cut into sequences of one length and divided among the splits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from data_gen.formats import ForeignSplit, ImportOptions, files_in
from data_gen.formats.cutting import Video, cut
from data_gen.media.reading import VIDEOS, fit, read_video


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
