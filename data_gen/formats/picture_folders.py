"""Folders of pictures: which files are a sequence, and which are single images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from data_gen.errors import DataError
from data_gen.formats import ImportOptions, split_named
from data_gen.formats.containers import natural
from data_gen.frames import parse_layout
from data_gen.io import is_refusal, unreadable
from data_gen.media.frames import require_pixels
from data_gen.media.videos import VIDEOS

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


@dataclass(frozen=True)
class PictureSequence:
    """The pictures of one sequence; split: the one that a folder is named after, or None."""

    name: str
    split: str | None
    files: tuple[Path, ...]


def find_sequences(path: Path, options: ImportOptions) -> tuple[list[PictureSequence], list[str]]:
    if path.is_file():
        return [PictureSequence(str(path), split_named(path.stem), (path,))], []
    if not path.is_dir():
        raise DataError(f"data={path}: no such file or folder")
    found: list[tuple[Path, list[Path]]] = []
    others = _collect(path, found)
    if not found:
        raise DataError(f"data={path}: holds no file ending in {' or '.join(PICTURES)}; name another")
    notes = [f"{path}: passed over {others} files that are no pictures or hidden"] if others else []
    single = _are_single(path, found, options)
    sequences = []
    for folder, files in found:
        split = _split(path, folder)
        if single:
            sequences += [PictureSequence(str(file), split, (file,)) for file in files]
        else:
            pages = [(file,) for file in files] if _are_stacks(files) else [tuple(files)]
            sequences += [
                PictureSequence(str(files[0] if len(pages) > 1 else folder), split, group) for group in pages
            ]
    if not single and len(sequences) > 1:
        notes.append(
            f'{path}: {len(sequences)} sequences, one per folder; layout="n h w c" takes single images'
        )
    return sequences, notes


def _collect(folder: Path, found: list[tuple[Path, list[Path]]]) -> int:
    """Append each folder of pictures with its files in natural order; return the number of other files.

    Raises:
        DataError: there are videos beside pictures, or a folder holds pictures and folders of pictures.
    """
    entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    files = [entry for entry in visible if entry.is_file()]
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    videos = [file for file in files if file.suffix.lower() in VIDEOS and file not in pictures]
    before = len(found)
    if pictures:
        found.append((folder, pictures))
    others = len(entries) - len(visible) + len(files) - len(pictures)
    for entry in visible:
        if entry.is_dir():
            others += _collect(entry, found)
    if videos and len(found) > before:
        raise DataError(
            f"{folder}: mixes pictures and videos, such as {videos[0].name}; take a folder for each"
        )
    if pictures and len(found) > before + 1:
        raise DataError(
            f"{folder}: holds pictures, and folders of pictures such as {found[before + 1][0].name}; "
            "take a folder for each"
        )
    return others


def _split(root: Path, folder: Path) -> str | None:
    names = folder.relative_to(root).parts
    return split_named(names[0]) if names else None


def _are_single(path: Path, found: list[tuple[Path, list[Path]]], options: ImportOptions) -> bool:
    """Return whether each file is an image of its own, and not a frame of a sequence.

    Raises:
        DataError: that is not known.
    """
    if options.layout is not None:
        axes = parse_layout(options.layout)
        return "t" not in axes
    is_flat = all(folder == path or folder.parent == path and _split(path, folder) for folder, _ in found)
    longest = max((files for _, files in found), key=len)
    if not is_flat or len(longest) == 1 or (options.length or 1) > 1 or _are_stacks(longest):
        return False
    raise DataError(
        f'data={path}: {len(longest)} pictures are single images or one sequence; say layout="n h w c" or '
        'layout="t h w c"'
    )


def _are_stacks(files: Sequence[Path]) -> bool:
    """Return whether files hold several pictures each."""
    first = files[0]
    if first.suffix.lower() not in (".tif", ".tiff"):
        return False
    with open_picture(first) as image:
        return getattr(image, "n_frames", 1) > 1


@contextmanager
def open_picture(file: Path) -> Iterator[Image.Image]:
    """Open a picture; what goes wrong with it inside the block becomes a DataError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size that is refused below
            opened = Image.open(file)
        with opened as image:
            require_pixels(file, *image.size)
            yield image
    except DataError:
        raise
    except Exception as error:  # Pillow raises almost anything for a damaged file
        if isinstance(error, OSError) and is_refusal(error):
            raise unreadable(file, error) from None
        problem = (str(error).splitlines() or [type(error).__name__])[0].replace(str(file), "it")
        raise DataError(f"{file}: is no whole picture ({problem}); copy it again, or remove it") from None
