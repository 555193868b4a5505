"""Foreign formats, one a file, and what they have in common.

A format that can be imported has `read(path, options) -> iterator of Source`, one that can be exported
`write(path, file, info)`. Both go through a file block by block, and never hold more of the frames than
_BLOCK_BYTES, unless the format itself forces it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np

from data_gen.errors import DataError, require_choice, require_flags, require_number, require_words
from data_gen.io import PatientFile, whole
from data_gen.schema import FIELDS
from data_gen.splits import SPLITS

# Module and function that read a format, and the module that writes it; imported late, for some need more
# packages.
IMPORTS = {
    "gswm": "gswm.read",
    "stove": "stove_files.read",
    "images": "image_sets.read",
    "npz": "videos.read_arrays",
    "videos": "videos.read",
}
EXPORTS = {"gswm": "gswm", "stove": "stove_files", "images": "image_sets"}

_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Source:
    """One split of foreign data: how many sequences, what its file says of itself, and its arrays.

    blocks: arrays of successive sequences by their key in the dataset.
    attributes: coord_limit, num_actions, shape_names, and what else differs from an import's defaults.
    notes: a line for each thing that was lost or done to the data.
    """

    split: str
    sequences: int
    blocks: Iterator[dict[str, np.ndarray]]
    attributes: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def reader(name: str) -> Callable[[Path, Options], Iterator[Source]]:
    """The function that reads a format."""
    module, _, function = IMPORTS[name].partition(".")
    return getattr(importlib.import_module(f"data_gen.formats.{module}"), function)


def exporter(name: str) -> ModuleType:
    """The module that writes a format."""
    return importlib.import_module(f"data_gen.formats.{EXPORTS[name]}")


def files_in(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or the files with such a suffix in the folder. Raises DataError without any."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"data={path}: no such file or folder")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
    if not found:
        raise DataError(f"data={path}: holds no file ending in {' or '.join(suffixes)}; name another")
    return found


def slices(sequences: int, sequence_bytes: int) -> Iterator[slice]:
    """The sequences in blocks that fit into memory."""
    size = max(1, _BLOCK_BYTES // max(1, sequence_bytes))
    for start in range(0, sequences, size):
        yield slice(start, min(start + size, sequences))


def check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise DataError unless the shapes fit together by the axes of the format (`n t k` and so on)."""
    sizes: dict[str, tuple[str, int]] = {axis: ("the format", int(axis)) for axis in "23"}
    sizes["c"] = ("the format", 3)
    for key, shape in shapes.items():
        axes = FIELDS[key].axes.split()
        if len(shape) != len(axes):
            raise DataError(f"{path}: {key} has {len(shape)} axes, must be {FIELDS[key].axes}; is it whole?")
        for axis, size in zip(axes, shape, strict=True):
            other, expected = sizes.setdefault(axis, (key, size))
            if size != expected:
                raise DataError(
                    f"{path}: {key} has {size} along {axis}, but {other} {expected}; make the file again"
                )
    if 0 in shapes["imgs"]:
        raise DataError(f"{path}: imgs has shape {shapes['imgs']}, so there are no frames in it")


def as_field(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """An array as the format's type for `key`; raises DataError where that would change its values."""
    dtype = np.dtype(FIELDS[key].dtype)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: {key} has type {array.dtype}, must hold numbers")
    if dtype.kind == "f":
        return array.astype(dtype)
    with np.errstate(invalid="ignore"):  # what is not finite differs afterwards
        converted = array.astype(dtype)
    if (converted != array).any():
        raise DataError(f"{path}: {key} holds values that are no {dtype}; the file is of another kind")
    return converted


@dataclass(frozen=True)
class Options:
    """configs/data_import.yaml, composed and checked."""

    format: str
    data: str
    out: str
    name: str | None = None
    split: str | None = None
    overwrite: bool = False
    canvas: int | None = None
    image_size: int | None = None
    crop: bool = True
    length: int | None = None
    stride: int | None = None
    val: float = 0.0
    test: float = 0.0

    def __post_init__(self) -> None:
        require_words(self, "format", "data", "out", *([] if self.name is None else ["name"]))
        require_choice("format", self.format, IMPORTS)
        require_flags(self, "overwrite", "crop")
        if self.split is not None:
            require_choice("split", self.split, SPLITS)
        for key in ("canvas", "image_size", "length", "stride"):
            if getattr(self, key) is not None:
                require_number(key, getattr(self, key), minimum=1, maximum=10**6, integer=True)
        for key in ("val", "test"):
            require_number(key, getattr(self, key), minimum=0, maximum=1)
        if self.val + self.test > 1:
            raise DataError(f"val={self.val} test={self.test}: more than all together; give shares")

    def said(self) -> dict[str, Any]:
        """What differs from the defaults, but for where the files go."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {key: value for key, value in said.items() if key not in ("out", "overwrite")}

    def split_of(self, path: Path) -> str:
        """The split that a file becomes: the one asked for, the one in its name, else train."""
        words = path.stem.lower().replace("-", "_").split("_")  # "billiards_test", "validation"
        named = (split for split in SPLITS if any(word.startswith(split) for word in words))
        return self.split or next(named, "train")


def as_bytes(path: Path, key: str, frames: np.ndarray) -> np.ndarray:
    """Bytes as they are, or numbers in [0, 1] as floor(255 x + 0.5); DataError for everything else."""
    if frames.dtype == np.uint8:
        return frames
    if frames.dtype.kind != "f":
        raise DataError(f"{path}: {key} has type {frames.dtype}, must be uint8, or numbers in [0, 1]")
    low, high = frames.min(), frames.max()
    if not (low >= 0 and high <= 1):  # not a number is neither
        raise DataError(f"{path}: {key} holds values from {low:g} to {high:g}, must be in [0, 1] or uint8")
    return np.floor(frames * 255.0 + 0.5).astype(np.uint8)


@contextmanager
def open_foreign(path: Path, *required: str) -> Iterator[h5py.File]:
    """A file with at least the datasets `required`. Raises DataError where it is damaged or another kind."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        kind = "is truncated" if "truncated" in str(error) else "is not a readable HDF5 file"
        raise DataError(f"{path}: {kind}; copy it again") from None
    with file, reading(path):
        for key in required:
            if not isinstance(file.get(key), h5py.Dataset):
                raise DataError(
                    f"{path}: holds {', '.join(file) or 'nothing'}, but no {key}; is it another format="
                )
        yield file


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of HDF5 inside the block, where data are damaged, into a DataError."""
    try:
        yield
    except OSError as error:
        problem = str(error).splitlines()[0]
        raise DataError(f"{path}: is damaged ({problem}); copy it again") from None


@contextmanager
def create_foreign(path: Path) -> Iterator[h5py.File]:
    """A new file that appears under its name when the block ends well. Raises DataError where it cannot."""
    with whole(path) as temporary:
        disk = PatientFile(temporary, "w+")
        with disk, h5py.File(disk, "w") as file:
            yield file
        disk.check()
