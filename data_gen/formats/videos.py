"""Video files: each stored frame once, cut into sequences of one length and divided among the splits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import ForeignSplit, ImportOptions
from data_gen.formats.cutting import Video, cut
from data_gen.formats.video_folders import find_videos
from data_gen.io import report_unwritable
from data_gen.media.reading import fit
from data_gen.media.videos import VideoFile

_MAX_NAMES = 3  # of videos to which the same happened, each in a line of its own


@dataclass(frozen=True)
class _Decoded:
    """A video whose frames are in the temporary file.

    size: height and width in its own file
    whole: whether all its frames are there
    notes: what its file says, or what was changed
    """

    video: Video
    size: tuple[int, int]
    whole: bool
    notes: tuple[str, ...]


def read(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits of a video, or of those in a folder and its subfolders, in natural order.

    Each video is decoded once, into a temporary file in the output folder, so that memory holds one block.

    Raises:
        DataError: a file is no video or lacks frames (unless options.broken allows it), or no sequence is
            left for a split.
    """
    folder = find_videos(path)
    named = [split for split in folder.files if split is not None]
    if named and (options.val or options.test or options.split):
        names = ", ".join(named)
        raise DataError(f"data={path}: its folders {names} are the splits; leave out val=, test= and split=")
    with report_unwritable(Path(options.out)), tempfile.TemporaryFile(dir=options.out) as store:
        left_out: list[str] = []
        groups = {
            split: [video for file in files if (video := _decode_or_skip(file, options, store, left_out))]
            for split, files in folder.files.items()
        }
        groups = {split: videos for split, videos in groups.items() if videos}
        if not groups:
            raise DataError(f"data={path}: none of its videos can be read; copy them again")
        videos = sum(groups.values(), [])
        _require_one_size(videos)
        notes = (*folder.notes, *left_out, *_join_notes(videos, options))
        if options.length is None and (named or not all(video.whole for video in videos)):
            options, note = _common_length(videos, options)
            notes += (note,)
        for split, group in groups.items():
            chosen = options if split is None else replace(options, split=split)
            yield from cut([video.video for video in group], chosen, notes)
            notes = ()


def _decode_or_skip(
    file: Path, options: ImportOptions, store: IO[bytes], left_out: list[str]
) -> _Decoded | None:
    """Return a decoded video, or None with a line in `left_out` where options.broken allows that."""
    start = store.tell()
    try:
        return _decode(file, options, store)
    except DataError as error:
        if options.broken != "skip":
            raise
        store.seek(start)
        store.truncate()
        left_out.append(f"{str(error).partition(';')[0]}; left out")
        return None


def _decode(file: Path, options: ImportOptions, store: IO[bytes]) -> _Decoded:
    offset, times = store.tell(), []
    size = new_size = (0, 0)
    video = VideoFile(file, options.fps, keep_broken=options.broken == "keep")
    for frame in video:
        height, width, _ = frame.image.shape
        size = height, width
        new_size = size if options.image_size is None else (options.image_size, options.image_size)
        store.write(fit(frame.image, new_size, options.crop).tobytes())
        times.append(frame.time)
    store.flush()
    frames = np.memmap(store, np.uint8, "r", offset, (len(times), *new_size, 3))
    decoded = Video(str(file), frames, {"times": np.array(times)})
    return _Decoded(decoded, size, video.loss is None, tuple(video.notes))


def _require_one_size(videos: list[_Decoded]) -> None:
    first, (height, width) = videos[0].video, videos[0].video.frames.shape[1:3]
    for video in videos:
        h, w = video.video.frames.shape[1:3]
        if (h, w) != (height, width):
            raise DataError(
                f"{video.video.name}: frames are {w}x{h}, those of {first.name} {width}x{height}; "
                "image_size=64 brings them to one size"
            )


def _join_notes(videos: list[_Decoded], options: ImportOptions) -> list[str]:
    """Return a line for each thing that was done to a video, or to several alike."""
    names: dict[str, list[str]] = {}
    for video in videos:
        notes, (height, width) = video.notes, video.size
        new_height, new_width = video.video.frames.shape[1:3]
        if video.size != (new_height, new_width):
            how = "cropped to the middle and resized" if options.crop else "squeezed"
            notes += (f"frames of {width}x{height} {how} to {new_width}x{new_height}",)
        for note in notes:
            names.setdefault(note, []).append(video.video.name)
    lines = []
    for note, of in names.items():
        if len(of) > _MAX_NAMES:
            of = [f"{of[0]} and {len(of) - 1} other videos"]
        lines += [f"{name}: {note}" for name in of]
    return lines


def _common_length(videos: list[_Decoded], options: ImportOptions) -> tuple[ImportOptions, str]:
    """Take the length of the shortest video that is whole, for all splits."""
    whole = [video.video for video in videos if video.whole] or [video.video for video in videos]
    shortest = min(whole, key=lambda video: len(video.frames))
    length = len(shortest.frames)
    note = f"sequences have {length} frames, as {shortest.name}; length= takes another number"
    return replace(options, length=length), note
