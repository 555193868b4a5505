"""Video files: every frame of each once, cropped and averaged down, in sequences of one length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_gen.formats import Source, files_in
from data_gen.formats.clips import Video, cut
from data_gen.formats.options import Options
from data_gen.media.reading import VIDEOS, fit, read_video


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
