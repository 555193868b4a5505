"""Foreign formats, with what their modules share.

A format that can be imported has a reader `(path, options) -> iterator of ForeignSplit`, one that can be
exported a function `write(path, file, info)`. Both go through a file block by block, with at most
_BLOCK_BYTES of frames in memory, unless the format itself forbids it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data_gen.errors import DataError, require_choice, require_flags, require_number, require_words
from data_gen.frames import parse_layout
from data_gen.hdf5 import ArrayFile, open_hdf5
from data_gen.io import ErrorKeepingFile, output_path
from data_gen.schema import FIELDS
from data_gen.splits import SPLITS

AUTO = "auto"

# Module and function that read a format; imported late, as some need optional packages.
IMPORTS = {
    "arrays": "arrays.read",
    "npz": "arrays.read_videos",
    "images": "arrays.read_images",
    "pictures": "picture_files.read",
    "videos": "videos.read",
    "gswm": "gswm.read",
    "stove": "stove_files.read",
}
# Module that writes a format.
EXPORTS = {"gswm": "gswm", "stove": "stove_files", "images": "image_sets"}

BROKEN = ("refuse", "keep", "skip")  # what to do with a video that lacks frames

_BLOCK_BYTES = 64 * 2**20

_SPLIT_WORDS = {
    "train": ("train", "training", "trainset"),
    "val": ("val", "valid", "validation", "valset", "dev"),
    "test": ("test", "testing", "testset"),
}


@dataclass(frozen=True)
class ImportOptions:
    """Options of configs/data_import.yaml, composed and checked."""

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
    fps: float | None = None
    broken: str = "refuse"
    val: float = 0.0
    test: float = 0.0
    key: str | None = None
    layout: str | None = None
    scale: float | None = None
    masks: str | None = AUTO
    positions: str | None = AUTO
    coordinates: str | float | None = None
    actions: str | None = AUTO
    rewards: str | None = AUTO
    num_actions: int | None = None

    def __post_init__(self) -> None:
        names = ("name", "key", "layout", "masks", "positions", "actions", "rewards")
        given = [key for key in names if getattr(self, key) is not None]
        require_words(self, "format", "data", "out", *given)
        require_choice("format", self.format, (AUTO, *IMPORTS))
        self._check_arrays()
        require_flags(self, "overwrite", "crop")
        if self.split is not None:
            require_choice("split", self.split, SPLITS)
        for key in ("canvas", "image_size", "length", "stride"):
            if getattr(self, key) is not None:
                require_number(key, getattr(self, key), minimum=1, maximum=10**6, integer=True)
        if self.fps is not None:
            require_number("fps", self.fps, above=0, maximum=1000)
        require_choice("broken", self.broken, BROKEN)
        for key in ("val", "test"):
            require_number(key, getattr(self, key), minimum=0, maximum=1)
        if self.val + self.test > 1:
            raise DataError(f"val={self.val} test={self.test}: more than all together; give shares")

    def _check_arrays(self) -> None:
        """Check the options of arrays."""
        if self.layout is not None:
            parse_layout(self.layout)
        if self.scale is not None:
            require_number("scale", self.scale, above=0)
        if isinstance(self.coordinates, str):
            require_choice("coordinates", self.coordinates, ("pixels", "unit", "signed"))
        elif self.coordinates is not None:
            require_number("coordinates", self.coordinates, above=0)
        if self.num_actions is not None:
            require_number("num_actions", self.num_actions, minimum=1, integer=True)

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults and determine the arrays."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return {
            key: value
            for key, value in values.items()
            if value != defaults[key] and key not in ("out", "overwrite")
        }

    def split_of(self, path: Path) -> str:
        """Return the split that a file becomes: from the option, else from the file's name, else train."""
        return self.split or split_named(path.stem) or "train"


def split_named(name: str) -> str | None:
    """Return the split that a name says, such as billiards_test or Validation; None if it says none."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((split for split in SPLITS if any(word in _SPLIT_WORDS[split] for word in words)), None)


@dataclass(frozen=True)
class ForeignSplit:
    """One split of foreign data.

    split: train, val or test
    sequences: their number
    blocks: arrays of successive sequences, by their keys in the dataset
    attributes: coord_limit, num_actions, shape_names, and others that differ from an import's defaults
    notes: a line for each thing that was lost or changed
    """

    split: str
    sequences: int
    blocks: Iterator[dict[str, np.ndarray]]
    attributes: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def reader(name: str) -> Callable[[Path, ImportOptions], Iterator[ForeignSplit]]:
    """Return the function that reads a format."""
    module, _, function = IMPORTS[name].partition(".")
    return getattr(importlib.import_module(f"data_gen.formats.{module}"), function)


def exporter(name: str) -> ModuleType:
    """Return the module that writes a format, with SUFFIX and `write`."""
    return importlib.import_module(f"data_gen.formats.{EXPORTS[name]}")


def files_in(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the file itself, or the files of a folder with such a suffix, sorted.

    Raises:
        DataError: there is no such file.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"data={path}: no such file or folder")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
    if not files:
        raise DataError(f"data={path}: holds no file ending in {' or '.join(suffixes)}; name another")
    return files


def slices(sequences: int, sequence_bytes: int) -> Iterator[slice]:
    """Yield the sequences in blocks that fit into memory."""
    size = max(1, _BLOCK_BYTES // max(1, sequence_bytes))
    for start in range(0, sequences, size):
        yield slice(start, min(start + size, sequences))


# ---- arrays


def check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise DataError unless the shapes agree along the axes of the dataset (`n t k` and so on)."""
    sizes: dict[str, tuple[str, int]] = {axis: ("the format", int(axis)) for axis in "23"}
    sizes["c"] = ("the format", 3)
    for key, shape in shapes.items():
        axes = FIELDS[key].axes.split()
        if len(shape) != len(axes):
            raise DataError(f"{path}: {key} has {len(shape)} axes, must be {FIELDS[key].axes}; is it whole?")
        for axis, size in zip(axes, shape, strict=True):
            other_key, expected = sizes.setdefault(axis, (key, size))
            if size != expected:
                raise DataError(
                    f"{path}: {key} has {size} along {axis}, but {other_key} {expected}; make the file again"
                )
    if 0 in shapes["imgs"]:
        raise DataError(f"{path}: imgs has shape {shapes['imgs']}, so there are no frames in it")


def as_field(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """Convert an array to the dataset's type for `key`.

    Raises:
        DataError: the conversion would change its values.
    """
    dtype = np.dtype(FIELDS[key].dtype)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: {key} has type {array.dtype}, must hold numbers")
    if dtype.kind == "f":
        return array.astype(dtype)
    with np.errstate(invalid="ignore"):  # numbers that are not finite differ after the conversion
        converted = array.astype(dtype)
    if (converted != array).any():
        raise DataError(f"{path}: {key} holds values that are no {dtype}; the file is of another kind")
    return converted


def as_bytes(path: Path, key: str, frames: np.ndarray) -> np.ndarray:
    """Convert frames in [0, 1] to uint8 as floor(255 x + 0.5), and leave uint8 as it is.

    Raises:
        DataError: the frames are neither.
    """
    if frames.dtype == np.uint8:
        return frames
    if frames.dtype.kind != "f":
        raise DataError(f"{path}: {key} has type {frames.dtype}, must be uint8, or numbers in [0, 1]")
    low, high = frames.min(), frames.max()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise DataError(f"{path}: {key} holds values from {low:g} to {high:g}, must be in [0, 1] or uint8")
    return np.floor(frames * 255.0 + 0.5).astype(np.uint8)


# ---- HDF5 files


@contextmanager
def open_foreign(path: Path, *required: str) -> Iterator[ArrayFile]:
    """Open a file that holds at least the arrays `required`.

    Raises:
        DataError: the file is damaged or of another kind.
    """
    with open_hdf5(path, "copy it again") as file:
        for key in FIELDS:
            if target := file.broken_link(key):
                raise DataError(f"{path}: {key} is a link to {target}, where nothing is; copy that as well")
        for key in required:
            if not file.has_array(key):
                found = ", ".join(file.keys_of_arrays()) or "nothing"
                raise DataError(f"{path}: holds {found}, but no {key}; is it another format=")
        yield file


@contextmanager
def create_foreign(path: Path) -> Iterator[ArrayFile]:
    """Open a new file that appears under its name when the block ends without an error.

    Raises:
        DataError: the file cannot be written.
    """
    with output_path(path) as temporary:
        disk = ErrorKeepingFile(temporary, "w+")
        with disk, ArrayFile(disk, "w") as file:
            yield file
        disk.check()
