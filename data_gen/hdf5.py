"""HDF5 files of arrays: damage of any kind is one line, and an array is no larger than its file can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.io import is_refusal, unreadable

_DEFLATE = 1032  # most bytes that a byte of gzip stands for
_OTHER_FILTERS = 2**15  # likewise of the other filters, as a bound that sound files stay below
_SMALL = 2**24  # bytes of an array that any file may hold


class HDF5Array(h5py.Dataset):
    """An array of a file that is read: its slices raise DataError where the file is damaged."""

    def __init__(self, dataset: h5py.Dataset, path: Path) -> None:
        """Take an array of h5py. path: of the file, for messages"""
        super().__init__(dataset.id)
        self._path = path

    def __getitem__(self, index: Any, *more: Any, **options: Any) -> Any:
        with damage_reported(self._path):
            return super().__getitem__(index, *more, **options)


class ArrayFile(h5py.File):
    """An HDF5 file of arrays: `file[key]` has the type of a dataset, which it is where has_array says so."""

    def __getitem__(self, name: Any) -> h5py.Dataset:
        if self.mode != "r" or name == "/":
            return cast(h5py.Dataset, super().__getitem__(name))
        arrays = self.__dict__.setdefault("_arrays", {})  # each is checked once
        if name not in arrays:
            arrays[name] = open_array(self, str(name))
        return arrays[name]

    def __contains__(self, name: object) -> bool:
        with damage_reported(Path(self.filename)):
            return super().__contains__(name)

    def has_array(self, name: str) -> bool:
        """Return whether there is an array under this name."""
        with damage_reported(Path(self.filename)):
            return not broken_link(self, name) and self.get(name, getclass=True) is h5py.Dataset

    def broken_link(self, name: str) -> str | None:
        """Return where a link under this name points, if nothing is there; None for anything else."""
        return broken_link(self, name)

    def attribute(self, key: str) -> Any:
        """Return a root attribute; None if there is none."""
        with damage_reported(Path(self.filename)):
            return self.attrs.get(key)

    def keys_of_arrays(self) -> tuple[str, ...]:
        """Return the names at the root of the file."""
        with damage_reported(Path(self.filename)):
            return tuple(map(str, self))


def open_array(group: h5py.Group, name: str) -> HDF5Array:
    """Return the array `name` of a group in a file that is read.

    Raises:
        DataError: it is damaged, no array, or larger than its file can hold.
    """
    path = Path(group.file.filename)
    with damage_reported(path):
        found = h5py.Group.__getitem__(group, name)
        if not isinstance(found, h5py.Dataset) or found.shape is None:
            raise DataError(f"{path}: {name} is no array; copy the file again")
        _require_possible(path, found)
        return HDF5Array(found, path)


def _require_possible(path: Path, array: h5py.Dataset) -> None:
    """Raise DataError unless an array, and each of its chunks, can come from as many bytes as there are."""
    itemsize, name = array.dtype.itemsize, str(array.name).lstrip("/")
    if array.is_virtual or array.external:
        return
    file = Path(array.file.filename)  # another one behind an external link
    is_plain = array.compression == "gzip" or not array.id.get_create_plist().get_nfilters()
    most = max(_SMALL, file.stat().st_size * (_DEFLATE if is_plain else _OTHER_FILTERS))
    for shape in (array.shape, array.chunks or ()):
        if math.prod(map(int, shape)) * itemsize > most:
            raise DataError(
                f"{path}: {name} would have {' x '.join(map(str, shape))} numbers, more than a file of "
                f"{file.stat().st_size:,} bytes holds; copy it again"
            )


def broken_link(group: h5py.Group, name: str) -> str | None:
    """Return where the link `name` in a group points, if nothing is there; None for anything else."""
    with damage_reported(Path(group.file.filename)):
        link = group.get(name, getlink=True)
    if not isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        return None
    try:
        h5py.Group.__getitem__(group, name)
    except Exception:  # whatever h5py says of a link that leads nowhere
        return f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else str(link.path)
    return None


def open_hdf5(path: Path, remedy: str) -> ArrayFile:
    """Open an HDF5 file for reading.

    Raises:
        DataError: the system does not give the file; it is truncated or no HDF5 file, and `remedy` ends the
            message.
    """
    try:
        return ArrayFile(path, "r")
    except Exception as error:  # of a damaged superblock h5py may say anything
        if isinstance(error, OSError) and is_refusal(error):
            raise unreadable(path, error) from None
        problem = "is truncated" if "truncated" in str(error) else "is not a readable HDF5 file"
        raise DataError(f"{path}: {problem}; {remedy}") from None


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises inside the block, where nothing else runs, into a DataError."""
    try:
        yield
    except (DataError, IndexError):  # said already; asked for beyond the end
        raise
    except MemoryError:
        raise DataError(f"{path}: has an array that does not fit into memory; read a part of it") from None
    except Exception as error:
        if isinstance(error, OSError) and is_refusal(error):
            raise unreadable(path, error) from None
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "not registered" in problem or "plugin" in problem:
            raise DataError(
                f"{path}: is compressed by a filter that is missing ({problem}); pip install hdf5plugin"
            ) from None
        raise DataError(f"{path}: is damaged ({problem}); copy it again, or make it again") from None


# ---- attributes


def is_text(value: Any) -> bool:
    """Return whether an attribute is a text."""
    return isinstance(value, str)


def is_number(value: Any, low: float, high: float, whole: bool = False) -> bool:
    """Return whether an attribute is one finite number from `low` to `high`."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool) and low <= float(value) <= high


def as_texts(value: Any) -> tuple[str, ...]:
    """Return the texts of an attribute that is a list of such, perhaps an empty one.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise ValueError("no list")
    texts = [x.decode() if isinstance(x, bytes) else x for x in value.tolist()]
    if not all(isinstance(x, str) for x in texts):
        raise ValueError("no list of texts")
    return tuple(texts)
