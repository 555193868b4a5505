"""The format of a file or folder, by what is in it: format=auto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from data_gen.errors import DataError
from data_gen.formats import stove_files
from data_gen.formats.containers import Container, is_container, natural, open_container
from data_gen.formats.picture_folders import PICTURES
from data_gen.media.videos import VIDEOS
from data_gen.numpy_files import NUMPY

_PICKLES = (stove_files.SUFFIX, ".pickle")
_GSWM = {"imgs", "positions", "sizes", "in_camera"}
_LOOKED_AT = 10_000  # files of a folder; a mixture shows before


def recognise(path: Path) -> str:
    """Return the format of a file, or of all files in a folder.

    Raises:
        DataError: there is none, or there are several.
    """
    if not path.exists():
        raise DataError(f"data={path}: no such file or folder")
    kinds: dict[str, Path] = {}
    for number, file in enumerate(_files(path)):
        kind = _kind(file)
        if kind is not None:
            kinds.setdefault(kind, file)
        if len(kinds) > 1 or number > _LOOKED_AT:
            break
    if not kinds:
        raise DataError(
            f"data={path}: holds no video, no picture and no arrays (.npy, .npz, .h5, .pkl, Zarr)"
        )
    if len(kinds) > 1:
        (one, file), (two, other) = kinds.items()
        raise DataError(
            f"data={path}: mixes {one} ({file.name}) and {two} ({other.name}); take a folder for each, "
            "or say format="
        )
    return next(iter(kinds))


def _files(path: Path) -> Iterator[Path]:
    """Yield the file itself, or the visible files and Zarr stores in a folder and those inside."""
    if path.is_file() or is_container(path):
        yield path
        return
    entries = sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=natural)
    yield from (entry for entry in entries if entry.is_file())
    for entry in entries:
        if entry.is_dir():
            yield from _files(entry)


def _kind(file: Path) -> str | None:
    suffix = file.suffix.lower()
    if suffix in PICTURES:  # of both kinds, .webp, those that move are videos
        return "videos" if suffix in VIDEOS and _is_animated(file) else "pictures"
    if suffix in VIDEOS:
        return "videos"
    if suffix in _PICKLES:
        return "stove"
    if not is_container(file):
        return None
    if suffix in NUMPY or file.is_dir():
        return "arrays"
    with ExitStack() as stack:
        return _kind_of_arrays(open_container(file, stack))


def _is_animated(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            return getattr(picture, "is_animated", False)
    except OSError:  # broken: its reader says so
        return False


def _kind_of_arrays(container: Container) -> str:
    """Return the format of an HDF5 file: that of G-SWM has its four keys."""
    imgs = container.arrays.get("imgs")
    if set(container.arrays) >= _GSWM and imgs is not None and imgs.ndim == 5:
        return "gswm"
    return "arrays"
