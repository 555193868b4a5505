"""The videos in a folder and its subfolders, in natural order, and what is passed over."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_gen.errors import DataError
from data_gen.media.videos import VIDEOS
from data_gen.splits import SPLITS

_NAMES = {  # of folders that are splits, in small letters
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {name: split for split in SPLITS for name in _NAMES[split]}

_MAX_KINDS = 5  # of files that are passed over, in one line


@dataclass(frozen=True)
class Folder:
    """Video files by split; the split is None where the folder does not say.

    notes: a line for each kind of thing that was passed over
    """

    files: dict[str | None, list[Path]]
    notes: tuple[str, ...] = ()


def find_videos(path: Path) -> Folder:
    """Return the file itself, or all videos in a folder; subfolders train, val and test are the splits.

    Raises:
        DataError: there is no such file or folder, or no video in it.
    """
    if not os.path.isdir(path):
        if not os.path.exists(path):
            raise DataError(f"data={path}: no such file or folder")
        return Folder({None: [path]})
    found = sorted(_walk(path, set()), key=lambda file: _natural(file, path))
    hidden = {file for file in found if any(part.startswith(".") for part in file.relative_to(path).parts)}
    seen = [file for file in found if file not in hidden]
    videos = [file for file in seen if file.suffix.lower() in VIDEOS]
    if not videos:
        raise DataError(f"data={path}: holds no video ({' '.join(VIDEOS)}); name another folder")
    files: dict[str | None, list[Path]] = {split: [] for split in SPLITS}
    elsewhere = []
    for file in videos:
        inside = file.relative_to(path).parts[:-1]
        split = _SPLIT_OF.get(inside[0].lower()) if inside else None
        (elsewhere if split is None else files[split]).append(file)
    named = {split: group for split, group in files.items() if group}
    passed_over = _kinds([file for file in seen if file.suffix.lower() not in VIDEOS])
    if hidden:
        passed_over.append(f"{len(hidden)} hidden")
    if named and elsewhere:
        count = f"{len(elsewhere)} video{'s' * (len(elsewhere) > 1)}"
        passed_over.insert(0, f"{count} outside of {', '.join(map(str, named))}")
    notes = (f"{path}: passed over {', '.join(passed_over)}",) if passed_over else ()
    return Folder(named or {None: elsewhere}, notes)


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield all files, through links too, but each folder once."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); allow it, or move it away") from None
    for entry in inside:
        if entry.is_dir():
            yield from _walk(entry, seen)
        else:
            yield entry


def _natural(file: Path, folder: Path) -> list[list[tuple[int, int, str]]]:
    """Return a key that sorts names by their numbers: 2.mp4 before 10.mp4."""
    return [
        [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in re.split(r"(\d+)", part)]
        for part in file.relative_to(folder).parts
    ]


def _kinds(files: list[Path]) -> list[str]:
    """Count files that are no videos, by the end of their names."""
    counts = Counter(file.suffix.lower() or "without ending" for file in files).most_common()
    if len(counts) > _MAX_KINDS:
        counts[_MAX_KINDS - 1 :] = [("others", sum(count for _, count in counts[_MAX_KINDS - 1 :]))]
    return [f"{count} {kind}" for kind, count in counts]
