"""Multi-object image sets in HDF5: `image` n h w c and `mask` n h w 1, labels with 0 for the background.

The layout into which Multi-dSprites, CLEVR with masks, Objects Room and Tetrominoes (Kabra et al. 2019) are
usually brought. An image becomes a sequence of one frame. Lost: every other key (numbers and factors of
objects) on the way in; on the way out everything but frames and masks, and which frames follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.formats import (
    Options,
    Source,
    as_bytes,
    create_foreign,
    files_in,
    open_foreign,
    reading,
    slices,
)
from data_gen.schema import DatasetInfo

SUFFIX = ".hdf5"


def read(path: Path, options: Options) -> Iterator[Source]:
    """The splits in a file or folder; grey images become RGB. Images without masks are fine."""
    for file_path in files_in(path, (SUFFIX, ".h5")):
        with open_foreign(file_path, "image") as file:
            yield _source(file_path, file, options)


def _source(path: Path, file: h5py.File, options: Options) -> Source:
    images, masks = file["image"], file.get("mask")
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise DataError(f"{path}: image has shape {images.shape}, must be (n, h, w, 1) or (n, h, w, 3)")
    n, height, width, _ = images.shape
    if masks is not None:
        if masks.shape not in ((n, height, width, 1), (n, height, width)):
            raise DataError(f"{path}: mask has shape {masks.shape}, must be labels {(n, height, width, 1)}")
        if masks.dtype.kind not in "biu":
            raise DataError(f"{path}: mask has type {masks.dtype}, must be whole numbers, one an object")
    others = sorted(set(file) - {"image", "mask"})
    notes = (f"{path}: left out {', '.join(others)}",) if others else ()
    attributes = {"coord_limit": float(width), "num_actions": 0, "shape_names": ()}
    return Source(options.split_of(path), n, _blocks(path, images, masks), attributes, notes)


def _blocks(path: Path, images: h5py.Dataset, masks: h5py.Dataset | None) -> Iterator[dict[str, np.ndarray]]:
    n, height, width, channels = images.shape
    for part in slices(n, height * width * channels * images.dtype.itemsize):
        with reading(path):
            frames = as_bytes(path, "image", images[part])
            labels = None if masks is None else masks[part]
        arrays = {"imgs": np.broadcast_to(frames, (*frames.shape[:3], 3))[:, None]}
        if labels is not None:
            if labels.min() < 0 or labels.max() > 255:
                raise DataError(f"{path}: mask holds labels up to {labels.max()}, must be 0 to 255")
            arrays["masks"] = labels.reshape(-1, 1, height, width).astype(np.uint8)
        yield arrays


def write(path: Path, file: h5py.File, info: DatasetInfo) -> None:
    """Write every frame of our dataset, and its mask, as an image; raises DataError without masks."""
    if "masks" not in file:
        raise DataError(f"{info.path}: has no masks, which an image set needs; export another dataset")
    n, size = info.sequences * info.length, (info.height, info.width)
    with create_foreign(path) as out:
        options = {"compression": "gzip", "compression_opts": 1}
        out.create_dataset("image", (n, *size, 3), np.uint8, chunks=(1, *size, 3), **options)
        out.create_dataset("mask", (n, *size, 1), np.uint8, chunks=(1, *size, 1), **options)
        for part in slices(info.sequences, info.length * info.height * info.width * 3):
            target = slice(part.start * info.length, part.stop * info.length)
            out["image"][target] = file["imgs"][part].reshape(-1, *size, 3)
            out["mask"][target] = file["masks"][part].reshape(-1, *size, 1)
