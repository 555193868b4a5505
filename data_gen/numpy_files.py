"""Arrays in .npy and .npz files, opened without reading them into memory."""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.frames import (
    FRAME_AXES,
    NO_PICTURES,
    WHITE,
    could_be_pictures,
    find_axes,
    find_white,
    kind_of,
    measure,
    to_rgb,
)
from data_gen.io import is_refusal, report_unwritable, unreadable
from data_gen.lazy import LazyArray

NUMPY = (".npy", ".npz")

_DEFLATE = 1032  # most bytes that a byte of a compressed archive stands for

_OBJECTS = "save sequences of different lengths as arrays of their own, numpy.savez(FILE, *sequences)"


class _Member:
    """An array in an .npz: its shape and type; the first access checks its bytes and maps them into memory.

    A compressed array is unpacked to a temporary file in `folder`.
    """

    def __init__(self, path: Path, name: str, folder: Path | None) -> None:
        self._path, self._name, self._folder = path, name, folder
        self._array: np.ndarray | None = None
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            self.shape, self._fortran, self.dtype = _read_header(file)
            self._require_size(archive.getinfo(name), file.tell())
        self.ndim = len(self.shape)

    def _require_size(self, member: zipfile.ZipInfo, header: int) -> None:
        """Raise ValueError unless the bytes are those of the array, and as many as the archive can hold."""
        expected = header + math.prod(self.shape) * self.dtype.itemsize
        if self.dtype.kind != "O" and member.file_size != expected:
            raise ValueError(f"{self._name} has {member.file_size:,} bytes, not {expected:,}")
        if member.file_size > 2**16 + _DEFLATE * self._path.stat().st_size:
            raise ValueError(f"{self._name} cannot have {member.file_size:,} bytes")

    def __getitem__(self, index: Any) -> np.ndarray:
        if self._array is None:
            with _readable(self._path):
                self._array = self._map()
        return self._array[index]

    def _map(self) -> np.ndarray:
        with zipfile.ZipFile(self._path) as archive, archive.open(self._name) as member:
            _read_header(member)
            if archive.getinfo(self._name).compress_type == zipfile.ZIP_STORED:
                start = archive.getinfo(self._name).header_offset
                size = member.tell()
                while member.read(2**20):
                    pass  # compares the checksum at the end
                return self._memmap(self._path, _data_offset(self._path, start) + size)
            folder = Path(self._folder or tempfile.gettempdir())
            with report_unwritable(folder), tempfile.TemporaryFile(dir=folder) as store:
                shutil.copyfileobj(member, store, 2**20)
                store.flush()
                return self._memmap(store, 0)

    def _memmap(self, file: Any, offset: int) -> np.ndarray:
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        order = "F" if self._fortran else "C"
        return np.memmap(file, self.dtype, "r", offset, self.shape or (1,), order).reshape(self.shape)


def open_numpy(path: Path, folder: Path | None = None) -> dict[str, Any]:
    """Return the arrays in a file, by their names; a .npy holds one, with the name of the file.

    Each has shape, dtype and slices. Arrays of objects are left out.

    folder: for temporary files

    Raises:
        DataError: the file is damaged, or no file of NumPy.
    """
    with _readable(path):
        if path.suffix.lower() != ".npz":
            with path.open("rb") as file:
                shape, _, dtype = _read_header(file)
            is_empty = 0 in shape and dtype.kind != "O"  # there is nothing to map into memory
            array = np.load(path, mmap_mode=None if is_empty else "r", allow_pickle=False)
            return {path.stem: array}
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
        members = {name.removesuffix(".npy"): _Member(path, name, folder) for name in names}
    arrays = {key: member for key, member in members.items() if member.dtype.kind != "O"}
    if members and not arrays:
        raise DataError(f"{path}: {', '.join(members)} is no plain array but one of objects; {_OBJECTS}")
    return arrays


def open_frames(path: Path) -> LazyArray:
    """Return the frames in a file, read as uint8 "n t h w 3"; a single sequence becomes n = 1.

    They are `frames`, or the only array that can be pictures, whatever its layout, type and channels, if
    these have a single meaning; t h w c without an axis of sequences is one sequence.

    Raises:
        DataError: the file cannot be read, or holds no such array.
    """
    arrays = open_numpy(path)
    keys = [
        key
        for key, array in arrays.items()
        if key not in NO_PICTURES and could_be_pictures(tuple(array.shape), array.dtype)
    ]
    keys = ["frames"] if "frames" in arrays else keys or [key for key in arrays if arrays[key].ndim in (4, 5)]
    if len(keys) != 1:
        found = ", ".join(f"{key} {tuple(array.shape)}" for key, array in arrays.items()) or "nothing"
        which = "several arrays that can be frames" if keys else "no array that can be frames"
        raise DataError(f"{path}: holds {found}: {which}; convert it with python -m data_gen import key=")
    name, source = f"{path}: {keys[0]}", arrays[keys[0]]
    if source.dtype.kind not in "biuf":
        raise DataError(f"{name} has type {source.dtype}, must hold numbers; save real numbers")
    try:
        axes = find_axes(name, tuple(source.shape), first="t")
        lazy = LazyArray(path, source, axes, FRAME_AXES)
        kind = kind_of(source.dtype)
        white = WHITE[kind] if kind in WHITE else find_white(name, measure(lazy.blocks(), kind))
    except DataError as error:
        raise DataError(f"{error}, in python -m data_gen import") from None
    return lazy.with_convert(lambda block: np.array(to_rgb(block, white)))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the errors of NumPy and zip files inside the block into a DataError that names the file."""
    again = "copy it again, or write it again with numpy.savez"
    try:
        yield
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path}: does not fit into memory; import it with python -m data_gen") from None
    except Exception as error:  # of zipfile, zlib, tokenize, ast and NumPy
        if isinstance(error, OSError) and is_refusal(error):
            raise unreadable(path, error) from None
        if "Object arrays" in str(error) or "Array can't be memory-mapped" in str(error):
            raise DataError(f"{path}: is no plain array but one of objects; {_OBJECTS}") from None
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = f"cannot be read ({problem:.200}), as it is no whole file of NumPy"
        raise DataError(f"{path}: {reason}; {again}") from None


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if any(size < 0 for size in shape):
        raise ValueError(f"an array has the shape {shape}")
    return shape, fortran, dtype


def _data_offset(path: Path, header: int) -> int:
    """Return the place of a member's bytes: behind its local header, whose size is in it."""
    with path.open("rb") as file:
        file.seek(header + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return header + 30 + name + extra
