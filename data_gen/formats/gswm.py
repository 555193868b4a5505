"""The balls data of G-SWM (Lin et al. 2020, arXiv:2010.02054): train.hdf5, val.hdf5 and test.hdf5.

    imgs n t h w 3 (uint8), positions and velocities n t k 2, colors n t k 3 (RGB in [0, 1]),
    sizes masses present in_camera ids layers shapes n t k, all float64

Positions and velocities are in pixels, x right and y down, sizes are half extents in pixels. Where an object
is off camera its size and position are 0. The world (canvas) may be larger than the picture (camera) in its
middle: positions then count from the canvas' corner.

What is lost on the way out: positions and sizes of objects off camera. Keys that G-SWM does not know
(actions, rewards, masks, ...) come along under our names; its loader passes over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.formats import (
    Options,
    Source,
    as_field,
    check_shapes,
    create_foreign,
    files_in,
    open_foreign,
    reading,
    slices,
)
from data_gen.schema import FIELDS, DatasetInfo

SUFFIX = ".hdf5"
SHAPES = ("circle", "star", "cross", "cross_rotate", "diamond")  # G-SWM's, in the order of its indices

_LENGTHS = ("positions", "velocities", "sizes")  # what is in pixels
_NEEDED = ("imgs", "positions", "sizes", "ids", "in_camera")  # what its loader reads


def read(path: Path, options: Options) -> Iterator[Source]:
    """The splits in a file or folder; positions stay in pixels, of the picture."""
    for file_path in files_in(path, (SUFFIX, ".h5")):
        with open_foreign(file_path, "imgs") as file:
            yield _source(file_path, file, options)


def _source(path: Path, file: h5py.File, options: Options) -> Source:
    found = {key: file[key] for key in FIELDS if key in file}
    check_shapes(path, {key: data.shape for key, data in found.items()})
    if found["imgs"].dtype != np.uint8:
        raise DataError(f"{path}: imgs has type {found['imgs'].dtype}, must be uint8")
    n, t, height, width, _ = found["imgs"].shape
    if height != width and "positions" in found:
        raise DataError(f"{path}: frames are {width}x{height}; positions need square ones; crop them first")
    canvas = options.canvas or width
    if canvas < width:
        raise DataError(f"canvas={canvas}: the frames are {width} pixels wide, the world is no smaller")
    notes = ()
    if "in_camera" in found:
        share = np.mean(found["in_camera"][:] == 0)
        if share > 0:
            notes = (f"{path}: {share:.1%} of the objects' states are off camera; positions and sizes are 0",)
    return Source(
        options.split_of(path),
        n,
        _blocks(path, found, (canvas - width) / 2, t * height * width * 3),
        {
            "coord_limit": float(width),
            "num_actions": int(file.attrs.get("num_actions", 0)),
            "shape_names": tuple(file.attrs.get("shape_names", SHAPES)),
        },
        notes,
    )


def _blocks(
    path: Path, found: Mapping[str, h5py.Dataset], margin: float, sequence_bytes: int
) -> Iterator[dict[str, np.ndarray]]:
    """margin: from the canvas' corner to the picture's, in pixels."""
    for part in slices(len(found["imgs"]), sequence_bytes):
        with reading(path):
            arrays = {key: as_field(path, key, data[part]) for key, data in found.items()}
        if margin and "positions" in arrays:
            seen = arrays.get("in_camera", np.ones(arrays["positions"].shape[:-1], bool))
            arrays["positions"][seen] -= margin
        yield arrays


def write(path: Path, file: h5py.File, info: DatasetInfo) -> None:
    """Write our dataset as a file of G-SWM. Raises DataError where it lacks what G-SWM's loader reads."""
    missing = [key for key in _NEEDED if key not in file]
    if missing:
        raise DataError(f"{info.path}: has no {', '.join(missing)}, which G-SWM reads; take other data")
    scale = info.width / info.coord_limit
    with create_foreign(path) as out:
        out.attrs.update(shape_names=list(info.shape_names), num_actions=info.num_actions)
        for key in (key for key in FIELDS if key in file):
            kept = key in ("imgs", "masks", "actions")
            shape, dtype = file[key].shape, file[key].dtype if kept else np.float64
            chunks = (1, min(16, shape[1]), *shape[2:])
            out.create_dataset(key, shape, dtype, chunks=chunks, compression="gzip", compression_opts=1)
        for part in slices(info.sequences, info.length * info.height * info.width * 3):
            seen = file["in_camera"][part]
            for key in out:
                array = file[key][part]
                if key in _LENGTHS:
                    array = array * scale
                if key in ("positions", "sizes"):
                    array[~seen] = 0
                out[key][part] = array
