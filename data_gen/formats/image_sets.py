"""Multi-object image sets in HDF5: `image` n h w c and `mask` n h w 1, labels with 0 for the background.

Multi-dSprites, CLEVR with masks, Objects Room and Tetrominoes (Kabra et al. 2019) usually come in this
layout. An image becomes a sequence of one frame. An import loses every other key (numbers and factors of
objects). An export keeps frames and masks alone, and not their order in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.formats import (
    ForeignSplit,
    ImportOptions,
    as_bytes,
    create_foreign,
    files_in,
    open_foreign,
    report_damage,
    slices,
)
from data_gen.schema import ArrayFile, DatasetInfo

SUFFIX = ".hdf5"


def read(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits in a file or folder; grey images become RGB, and masks may be missing."""
    for file_path in files_in(path, (SUFFIX, ".h5")):
        with open_foreign(file_path, "image") as file:
            yield _read_file(file_path, file, options)


def _read_file(path: Path, file: ArrayFile, options: ImportOptions) -> ForeignSplit:
    images, masks = file["image"], file["mask"] if file.has_array("mask") else None
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise DataError(f"{path}: image has shape {images.shape}, must be (n, h, w, 1) or (n, h, w, 3)")
    n, height, width, _ = images.shape
    if masks is not None:
        if masks.shape not in ((n, height, width, 1), (n, height, width)):
            raise DataError(f"{path}: mask has shape {masks.shape}, must be labels {(n, height, width, 1)}")
        if masks.dtype.kind not in "biu":
            raise DataError(f"{path}: mask has type {masks.dtype}, must be whole numbers, one per object")
    other_keys = sorted(set(file) - {"image", "mask"})
    notes = (f"{path}: left out {', '.join(other_keys)}",) if other_keys else ()
    attributes = {"coord_limit": float(width), "num_actions": 0, "shape_names": ()}
    return ForeignSplit(options.split_of(path), n, _read_blocks(path, images, masks), attributes, notes)


def _read_blocks(
    path: Path, images: h5py.Dataset, masks: h5py.Dataset | None
) -> Iterator[dict[str, np.ndarray]]:
    n, height, width, channels = images.shape
    for block in slices(n, height * width * channels * images.dtype.itemsize):
        with report_damage(path):
            frames = as_bytes(path, "image", images[block])
            labels = None if masks is None else masks[block]
        arrays = {"imgs": np.broadcast_to(frames, (*frames.shape[:3], 3))[:, None]}
        if labels is not None:
            if labels.min() < 0 or labels.max() > 255:
                raise DataError(f"{path}: mask holds labels up to {labels.max()}, must be 0 to 255")
            arrays["masks"] = labels.reshape(-1, 1, height, width).astype(np.uint8)
        yield arrays


def write(path: Path, file: ArrayFile, info: DatasetInfo) -> None:
    """Write every frame of a dataset, with its mask, as an image.

    Raises:
        DataError: the dataset has no masks.
    """
    if "masks" not in file:
        raise DataError(f"{info.path}: has no masks, which an image set needs; export another dataset")
    n, size = info.sequences * info.length, (info.height, info.width)
    with create_foreign(path) as out:
        for key, channels in (("image", 3), ("mask", 1)):
            shape, chunks = (n, *size, channels), (1, *size, channels)
            out.create_dataset(key, shape, np.uint8, chunks=chunks, compression="gzip", compression_opts=1)
        for block in slices(info.sequences, info.length * info.height * info.width * 3):
            target = slice(block.start * info.length, block.stop * info.length)
            out["image"][target] = file["imgs"][block].reshape(-1, *size, 3)
            out["mask"][target] = file["masks"][block].reshape(-1, *size, 1)
