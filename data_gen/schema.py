"""The dataset file: one HDF5 file a split, with the keys of the G-SWM balls data (Lin et al. 2020).

    n sequence, t frame, k object, h w image, s source

A file is written under a temporary name and renamed when it is whole, so a file that exists is complete.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from data_gen.errors import DataError

FORMAT, FORMAT_VERSION = "seqvae-dataset", 1
ACTION_CONVENTION = "actions[:, t] acts between frame t and t + 1; the last entry led to frame 0"

_REMEDY = "make it with python -m data_gen"


class Field(NamedTuple):
    """One key of the file: its axes, its type (any width may be read), and whether it must be there."""

    axes: str
    dtype: type
    required: bool = False


FIELDS = {
    "imgs": Field("n t h w c", np.uint8, required=True),  # frames, RGB
    "positions": Field("n t k 2", np.float64),  # x right, y down, simulator units
    "velocities": Field("n t k 2", np.float64),  # simulator units per frame
    "sizes": Field("n t k", np.float32),  # radius in the units of positions
    "masses": Field("n t k", np.float32),
    "colors": Field("n t k 3", np.float32),  # RGB in [0, 1]
    "present": Field("n t k", np.bool_),  # exists
    "in_camera": Field("n t k", np.bool_),  # is visible in the frame
    "ids": Field("n t k", np.int64),  # 0: not visible; else a number that stays while it is visible
    "layers": Field("n t k", np.int64),  # drawing order, higher is nearer
    "shapes": Field("n t k", np.int64),  # index into the attribute shape_names
    "charges": Field("n k", np.float32),
    "edges": Field("n k k", np.int64),  # 1 spring or repulsion, -1 attraction, 0 nothing
    "masks": Field("n t h w", np.uint8),  # 0 background, k + 1 the object seen at that pixel
    "actions": Field("n t", np.int64),  # see ACTION_CONVENTION
    "rewards": Field("n t", np.float32),  # received on arriving at frame t
    "dones": Field("n t", np.bool_),
    "collisions": Field("n t", np.int64),  # contacts within the frame
    "sources": Field("n s", np.int64),  # which images or videos a sequence is made from; -1: none
}

# Root attributes, and how each is read.
_ATTRIBUTES = {
    "simulator": str,
    "config": json.loads,
    "seed": int,
    "dt": float,
    "coord_limit": float,
    "num_actions": int,
    "shape_names": lambda names: tuple(str(name) for name in names),
    "package_version": str,
}


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset file says about itself; positions lie in [0, coord_limit], dt is in frames."""

    path: Path
    sequences: int
    length: int
    height: int
    width: int
    num_objects: int | None  # None: without positions
    num_actions: int  # 0: without actions
    coord_limit: float
    dt: float
    simulator: str
    config: dict[str, Any]
    seed: int
    shape_names: tuple[str, ...]
    keys: tuple[str, ...]
    package_version: str


def open_dataset(path: str | Path) -> h5py.File:
    """Open a dataset for reading. Raises DataError for a file that is missing, damaged or of another kind."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; make one with python -m data_gen")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        kind = "is truncated" if "truncated" in str(error) else "is not a readable HDF5 file"
        raise DataError(f"{path}: {kind}; make it again with python -m data_gen overwrite=true") from None
    try:
        _validate(path, file)
    except DataError:
        file.close()
        raise
    return file


def read_info(path: str | Path) -> DatasetInfo:
    """Open, validate and describe a dataset file; raises DataError as open_dataset does."""
    with open_dataset(path) as file:
        n, t, h, w, _ = file["imgs"].shape
        return DatasetInfo(
            path=Path(path),
            sequences=n,
            length=t,
            height=h,
            width=w,
            num_objects=file["positions"].shape[2] if "positions" in file else None,
            keys=tuple(file),
            **_read_attributes(path, file),
        )


def _validate(path: Path, file: h5py.File) -> None:
    """Raise DataError at the first thing that the format does not allow."""
    if file.attrs.get("format") != FORMAT:
        raise DataError(f"{path}: an HDF5 file, but no {FORMAT} (root attribute format); {_REMEDY}")
    if file.attrs["format_version"] != FORMAT_VERSION:
        found = file.attrs["format_version"]
        raise DataError(f"{path}: has format version {found}, this program reads {FORMAT_VERSION}; {_REMEDY}")
    _read_attributes(path, file)
    sizes = {"2": 2, "3": 3, "c": 3}
    for key, field in FIELDS.items():
        if key not in file:
            if field.required:
                raise DataError(f"{path}: lacks the key {key}; {_REMEDY}")
            continue
        data, axes = file[key], field.axes.split()
        if not isinstance(data, h5py.Dataset) or data.ndim != len(axes):
            raise DataError(f"{path}: {key} must have the axes {field.axes}; {_REMEDY}")
        if data.dtype.kind != np.dtype(field.dtype).kind:
            raise DataError(
                f"{path}: {key} has type {data.dtype}, must be {np.dtype(field.dtype)}; {_REMEDY}"
            )
        for axis, size in zip(axes, data.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise DataError(
                    f"{path}: {key} has {size} along {axis} ({field.axes}), must be {sizes[axis]}; {_REMEDY}"
                )


def _read_attributes(path: str | Path, file: h5py.File) -> dict[str, Any]:
    found = {}
    for key, convert in _ATTRIBUTES.items():
        try:
            found[key] = convert(file.attrs[key])
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{path}: lacks a sound root attribute {key}; {_REMEDY}") from None
    return found
