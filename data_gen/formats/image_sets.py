"""Multi-object image sets in HDF5: `image` n h w c and `mask` n h w 1, labels with 0 for the background.

Multi-dSprites, CLEVR with masks, Objects Room and Tetrominoes (Kabra et al. 2019) usually come in this
layout; data_gen.formats.arrays reads it. An image is a sequence of one frame. An export keeps frames and
masks alone, and not their order in time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import create_foreign, slices
from data_gen.schema import DatasetFile, DatasetInfo

SUFFIX = ".hdf5"


def write(path: Path, file: DatasetFile, info: DatasetInfo) -> None:
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
