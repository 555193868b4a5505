"""Files that hold several arrays: .npy, .npz, HDF5 and Zarr, all read by key and slice."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.hdf5 import broken_link, damage_reported, open_array, open_hdf5
from data_gen.numpy_files import NUMPY, open_numpy
from data_gen.schema import FORMAT

HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
ZARR_MARKS = (".zgroup", ".zarray", "zarr.json")  # one is in the folder of every Zarr store

_MAX_DEPTH = 8  # of groups
_MAX_ARRAYS = 100_000  # of a file, each path of links to one counted
_ZARR_RATIO = 2**15  # most bytes that a byte of a Zarr store stands for, as a bound for sound ones


@dataclass(frozen=True)
class Container:
    """Arrays of one file, or of a folder of .npy files.

    path: for messages
    arrays: by path inside the file; each has shape, dtype and slices
    broken: links to nothing, by path inside the file, with their targets
    is_folder: whether each array is a file of its own
    """

    path: Path
    arrays: Mapping[str, Any]
    broken: Mapping[str, str] = field(default_factory=dict)
    is_folder: bool = False

    def name(self, key: str) -> str:
        """Return file and key, for messages."""
        return str(self.path / f"{key}.npy") if self.is_folder else f"{self.path}: {key}"

    def require(self, key: str, option: str) -> str:
        """Return the key of an array, which an option names.

        Raises:
            DataError: there is none under that key.
        """
        if key in self.arrays:
            return key
        if key in self.broken:
            target = self.broken[key]
            raise DataError(f"{self.path}: {key} is a link to {target}, where nothing is; copy that as well")
        raise DataError(f"{option}={key}: not in {self.path}, which holds {self.describe()}")

    def describe(self) -> str:
        """Return the arrays with their shapes, for messages."""
        arrays = [f"{key} {tuple(array.shape)}" for key, array in self.arrays.items()]
        more = [f"and {len(arrays) - 12} others"] if len(arrays) > 12 else []
        links = [f"{key}, a link to {target} where nothing is" for key, target in self.broken.items()]
        return ", ".join([*arrays[:12], *more, *links]) or "no array"


def is_container(path: Path) -> bool:
    """Return whether a path is a file of arrays, or a Zarr store, by its name or first bytes."""
    if path.is_dir():
        return is_zarr(path)
    if path.suffix.lower() in (*NUMPY, *HDF5):
        return True
    if path.suffix.lower() == ".zip":
        return path.stem.lower().endswith(".zarr")
    return not path.suffix and path.is_file() and (h5py.is_hdf5(path) or _is_numpy(path))


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in ZARR_MARKS)


def _is_numpy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def open_container(path: Path, stack: ExitStack, folder: Path | None = None) -> Container:
    """Open a file of arrays; the stack closes it.

    folder: for temporary files

    Raises:
        DataError: the file is damaged, or of another kind.
    """
    if is_zarr(path) or path.suffix.lower() == ".zip":
        return Container(path, _zarr_arrays(path))
    if path.suffix.lower() in NUMPY or _is_numpy(path):
        return Container(path, open_numpy(path, folder))
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")  # compression filters of some files, if installed
    file = stack.enter_context(open_hdf5(path, "copy it again"))
    found = file.attribute("format")
    if isinstance(found, str) and found == FORMAT:
        raise DataError(f"{path}: is a dataset file already; use it as it is")
    arrays: dict[str, Any] = {}
    broken: dict[str, str] = {}
    with damage_reported(path):
        _walk(path, file, "", arrays, broken)
    return Container(path, arrays, broken)


def open_folder(path: Path, files: list[Path]) -> Container:
    """Open .npy files of a folder as one container, with their names as keys."""
    arrays: dict[str, Any] = {}
    for file in files:
        arrays |= open_numpy(file)
    return Container(path, arrays, is_folder=True)


def _walk(path: Path, group: h5py.Group, prefix: str, arrays: dict[str, Any], broken: dict[str, str]) -> None:
    """Collect the arrays of a group and of those inside, also behind links."""
    if prefix.count("/") > _MAX_DEPTH:  # a link may lead back
        return
    for name in map(str, group):
        if target := broken_link(group, name):
            broken[prefix + name] = target
            continue
        item = h5py.Group.__getitem__(group, name)
        if len(arrays) > _MAX_ARRAYS:
            raise DataError(f"{path}: leads to more than {_MAX_ARRAYS:,} arrays; import a part of it")
        if isinstance(item, h5py.Group):
            _walk(path, item, f"{prefix}{name}/", arrays, broken)
        elif isinstance(item, h5py.Dataset) and item.shape is not None:
            arrays[prefix + name] = open_array(group, name)


# ---- Zarr


class _ZarrArray:
    """An array of a Zarr store; damage raises DataError."""

    def __init__(self, path: Path, array: Any, stored: int) -> None:
        """Take an array of a store of `stored` bytes; raise DataError if it is larger than that can hold."""
        self._path, self._array = path, array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        for shape in (array.shape, array.shards or array.chunks):
            if math.prod(shape) * array.dtype.itemsize > max(2**24, _ZARR_RATIO * stored):
                size = " x ".join(map(str, shape))
                held = f"a store of {stored:,} bytes"
                raise DataError(f"{path}: claims {size} numbers, more than {held} holds; copy it again")

    def __getitem__(self, index: Any) -> np.ndarray:
        try:
            return self._array[index]
        except Exception as error:  # of stores and codecs, which may raise anything
            raise _zarr_damage(self._path, error) from None


def _zarr_arrays(path: Path) -> dict[str, Any]:
    try:
        import zarr
    except ImportError:
        raise DataError(f'{path}: Zarr files need a package: pip install "seqvae[zarr]"') from None
    try:
        store = zarr.open(str(path), mode="r")
        members = [(path.stem, store)] if isinstance(store, zarr.Array) else _zarr_members(store)
        stored = _stored_bytes(path)
        return {key: _ZarrArray(path, item, stored) for key, item in members}
    except DataError:
        raise
    except Exception as error:
        raise _zarr_damage(path, error) from None


def _stored_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _zarr_damage(path: Path, error: Exception) -> DataError:
    problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return DataError(f"{path}: is no readable Zarr store ({problem:.200}); copy it again")


def _zarr_members(group: Any) -> list[tuple[str, Any]]:
    import zarr

    members = group.members(max_depth=_MAX_DEPTH)
    return [(key, item) for key, item in members if isinstance(item, zarr.Array)]


# ---- names


def natural(text: object) -> list[tuple[int, int, str]]:
    """Return a key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", str(text))
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part.lower()) for part in parts]


def numbered(keys: list[str]) -> bool:
    """Return whether keys differ in numbers alone."""
    return len(keys) > 1 and len({re.sub(r"\d+", "#", key) for key in keys}) == 1
