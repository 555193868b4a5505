"""Foreign formats, one a file, and what they have in common.

A format that can be imported has `read(path, options) -> iterator of Source`, one that can be exported
`write(path, file, info)`. Both go through a file block by block, and never hold more of the frames than
_BLOCK_BYTES, unless the format itself forces it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.schema import FIELDS

IMPORTS = ("gswm", "stove", "images", "npz", "videos")
EXPORTS = ("gswm", "stove", "images")

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


def format_module(name: str) -> ModuleType:
    """The module of a format; imported late, for some need optional packages."""
    return importlib.import_module(f"data_gen.formats.{name}")


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
