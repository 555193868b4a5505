"""The balls data of G-SWM (Lin et al. 2020, arXiv:2010.02054): train.hdf5, val.hdf5 and test.hdf5.

    imgs n t h w 3 (uint8), positions and velocities n t k 2, colors n t k 3 (RGB in [0, 1]),
    sizes masses present in_camera ids layers shapes n t k, all float64

Positions and velocities are in pixels, x right and y down; sizes are half extents in pixels. The size and the
position of an object off camera are 0. The world (canvas) may be larger than the picture (camera), which then
lies in its middle: positions count from the corner of the canvas.

An export loses positions and sizes of objects off camera. It adds keys that G-SWM does not know (actions,
rewards, masks, ...) under our names; G-SWM's loader ignores them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.formats import (
    ForeignSplit,
    ImportOptions,
    as_field,
    check_shapes,
    create_foreign,
    files_in,
    open_foreign,
    slices,
)
from data_gen.hdf5 import ArrayFile, as_texts, is_number
from data_gen.schema import FIELDS, DatasetFile, DatasetInfo

SUFFIX = ".hdf5"
SHAPES = ("circle", "star", "cross", "cross_rotate", "diamond")  # in the order of G-SWM's indices

_IN_PIXELS = ("positions", "velocities", "sizes")
_REQUIRED = ("imgs", "positions", "sizes", "ids", "in_camera")  # by G-SWM's loader


def read(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits in a file or folder; positions stay in pixels, and count from the picture's corner."""
    for file_path in files_in(path, (SUFFIX, ".h5")):
        with open_foreign(file_path, "imgs") as file:
            yield _read_file(file_path, file, options)


def _read_file(path: Path, file: ArrayFile, options: ImportOptions) -> ForeignSplit:
    datasets = {key: file[key] for key in FIELDS if file.has_array(key)}
    check_shapes(path, {key: dataset.shape for key, dataset in datasets.items()})
    imgs = datasets["imgs"]
    if imgs.dtype != np.uint8:
        raise DataError(f"{path}: imgs has type {imgs.dtype}, must be uint8")
    n, t, height, width, _ = imgs.shape
    if height != width and "positions" in datasets:
        raise DataError(f"{path}: frames are {width}x{height}; positions need square ones; crop them first")
    canvas = options.canvas or width
    if canvas < width:
        raise DataError(f"canvas={canvas}: the frames are {width} pixels wide, the world is no smaller")
    notes = ()
    if "in_camera" in datasets:
        off_camera = np.mean(datasets["in_camera"][:] == 0)
        if off_camera > 0:
            notes = (
                f"{path}: {off_camera:.1%} of the objects' states are off camera; positions and sizes are 0",
            )
    return ForeignSplit(
        options.split_of(path),
        n,
        _read_blocks(path, datasets, (canvas - width) / 2, t * height * width * 3),
        {
            "coord_limit": float(width),
            "num_actions": _num_actions(path, file),
            "shape_names": _shape_names(path, file),
        },
        notes,
    )


def _num_actions(path: Path, file: ArrayFile) -> int:
    """Return the attribute that our exports have and G-SWM's own files have not."""
    value = file.attribute("num_actions")
    if value is None:
        return 0
    if not is_number(value, 0, 10**6, whole=True):
        raise DataError(f"{path}: num_actions is {str(value):.40}, must be a whole number".replace("\n", " "))
    return int(value)


def _shape_names(path: Path, file: ArrayFile) -> tuple[str, ...]:
    value = file.attribute("shape_names")
    try:
        return SHAPES if value is None else as_texts(value)
    except ValueError:
        raise DataError(f"{path}: shape_names is no list of texts; copy the file again") from None


def _read_blocks(
    path: Path, datasets: Mapping[str, h5py.Dataset], margin: float, sequence_bytes: int
) -> Iterator[dict[str, np.ndarray]]:
    """Read block by block. margin: between the corners of the canvas and the picture, in pixels."""
    for block in slices(len(datasets["imgs"]), sequence_bytes):
        arrays = {key: as_field(path, key, dataset[block]) for key, dataset in datasets.items()}
        if margin and "positions" in arrays:
            visible = arrays.get("in_camera", np.ones(arrays["positions"].shape[:-1], bool))
            arrays["positions"][visible] -= margin
        yield arrays


def write(path: Path, file: DatasetFile, info: DatasetInfo) -> None:
    """Write a dataset as a file of G-SWM.

    Raises:
        DataError: it lacks a key that G-SWM's loader reads.
    """
    missing = [key for key in _REQUIRED if key not in file]
    if missing:
        raise DataError(f"{info.path}: has no {', '.join(missing)}, which G-SWM reads; take other data")
    scale = info.width / info.coord_limit
    with create_foreign(path) as out:
        out.attrs.update(shape_names=list(info.shape_names), num_actions=info.num_actions)
        for key in (key for key in FIELDS if key in file):
            keeps_type = key in ("imgs", "masks", "actions")
            shape, dtype = file[key].shape, file[key].dtype if keeps_type else np.float64
            chunks = (1, min(16, shape[1]), *shape[2:])
            out.create_dataset(key, shape, dtype, chunks=chunks, compression="gzip", compression_opts=1)
        for block in slices(info.sequences, info.length * info.height * info.width * 3):
            visible = file["in_camera"][block]
            for key in map(str, out):
                array = file[key][block]
                if key in _IN_PIXELS:
                    array = array * scale
                if key in ("positions", "sizes"):
                    array[~visible] = 0
                out[key][block] = array
