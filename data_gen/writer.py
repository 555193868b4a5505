"""Writing a dataset file: its division into chunks, their compression, and the writer that stores them.

HDF5 accepts chunks that are already compressed. The processes that make sequences compress them as well, so
that little is left for the one process that writes the file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen import __version__
from data_gen.errors import DataError
from data_gen.hdf5 import ArrayFile
from data_gen.io import ErrorKeepingFile, atomic_path
from data_gen.schema import ACTION_CONVENTION, FIELDS, FORMAT, FORMAT_VERSION

SEQUENCES = 64  # per chunk, of arrays without pictures

# A random clip of 16 frames then reads at most two chunks; with h5py's own choice it takes 90 times as long.
_FRAMES = 16  # per chunk, of pictures

_LEVEL = 1  # of gzip; higher ones take longer and gain little


@dataclass(frozen=True)
class Packed:
    """An array "n ..." in compressed chunks.

    shape: of the whole array
    chunk_shape: of each chunk
    chunks: index of the first element, and bytes, per chunk
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    chunks: list[tuple[tuple[int, ...], bytes]]


def chunk_shape(axes: str, shape: tuple[int, ...], sequences: int) -> tuple[int, ...]:
    """Return the shape of a chunk: a short clip of pictures, or `sequences` sequences of anything else."""
    if "h" in axes:
        return (1, min(_FRAMES, shape[1]), *shape[2:])
    return (sequences, *shape[1:])


def pack(array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> Packed:
    """Compress an array in chunks of the given shape; chunks at its end are padded with zeros."""
    strategy = None
    counts = [-(-size // step) for size, step in zip(array.shape, shape, strict=True)]
    chunks = []
    for index in np.ndindex(*counts):
        first = tuple(i * step for i, step in zip(index, shape, strict=True))
        part = array[tuple(slice(i, i + step) for i, step in zip(first, shape, strict=True))]
        chunk = np.zeros(shape, dtype)
        chunk[tuple(slice(size) for size in part.shape)] = part
        strategy = _best_strategy(chunk) if strategy is None else strategy
        chunks.append((first, _compress(chunk, strategy)))
    return Packed(array.shape, shape, chunks)


def _best_strategy(chunk: np.ndarray) -> int:
    """Return the strategy of zlib that makes this chunk, and those like it, smallest.

    Discs on black and masks are runs of equal bytes: a search for runs alone takes half the time and yields
    smaller files. Coloured backgrounds repeat every third byte.
    """
    if chunk.dtype != np.uint8:
        return zlib.Z_DEFAULT_STRATEGY
    return min(zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY, key=lambda strategy: len(_compress(chunk, strategy)))


def _compress(chunk: np.ndarray, strategy: int) -> bytes:
    """Compress a contiguous chunk to the bytes that HDF5's gzip filter reads."""
    stream = zlib.compressobj(_LEVEL, strategy=strategy)
    return stream.compress(chunk.data) + stream.flush()


class DatasetWriter:
    """Writer of an open dataset file, block by block; create_dataset makes it."""

    def __init__(self, file: ArrayFile, disk: ErrorKeepingFile, sequences: int) -> None:
        self.sequences, self.written = sequences, 0
        self._file, self._disk = file, disk

    def write(self, start: int, arrays: Mapping[str, np.ndarray | Packed]) -> None:
        """Store sequences start, start + 1, ... under their keys; the first call decides which keys exist.

        arrays: plain, or packed in whole chunks of the file.
        """
        for key, array in arrays.items():
            if key not in self._file:
                self._create(key, array)
            stored = self._file[key]
            if isinstance(array, Packed):
                for (first, *others), content in array.chunks:
                    stored.id.write_direct_chunk((start + first, *others), content)
            else:
                stored[start : start + len(array)] = array
            self._disk.check()
        self.written += arrays["imgs"].shape[0]

    def _create(self, key: str, array: np.ndarray | Packed) -> None:
        field, shape = FIELDS[key], (self.sequences, *array.shape[1:])
        if isinstance(array, Packed):
            chunks = array.chunk_shape
        else:
            chunks = chunk_shape(field.axes, shape, min(SEQUENCES, self.sequences))
        self._file.create_dataset(
            key, shape, field.dtype, chunks=chunks, compression="gzip", compression_opts=_LEVEL
        )


@contextmanager
def create_dataset(
    path: str | Path, sequences: int, attributes: Mapping[str, Any]
) -> Iterator[DatasetWriter]:
    """Open a dataset file for writing: `with create_dataset(path, n, attributes) as writer: ...`.

    The file appears under `path` when the block ends without an error; otherwise nothing is left behind.

    attributes: simulator (a name), config (serialisable as JSON), seed, dt, coord_limit, num_actions and
        shape_names; and, of actions of numbers, their limits action_low and action_high.

    Raises:
        DataError: the file cannot be written, or was not given all its sequences.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        disk = ErrorKeepingFile(temporary, "w+")
        with disk, ArrayFile(disk, "w") as file:
            file.attrs.update(
                {key: attributes[key] for key in ("simulator", "seed", "dt", "coord_limit", "num_actions")},
                config=json.dumps(attributes["config"], sort_keys=True),
                shape_names=list(attributes["shape_names"]),
                format=FORMAT,
                format_version=FORMAT_VERSION,
                action_convention=ACTION_CONVENTION,
                package_version=__version__,
            )
            limits = {key: attributes.get(key, ()) for key in ("action_low", "action_high")}
            file.attrs.update({key: np.array(x, np.float64) for key, x in limits.items() if len(x)})
            writer = DatasetWriter(file, disk, sequences)
            yield writer
        disk.check()
        if writer.written != sequences:
            raise DataError(f"{path}: given {writer.written} of {sequences} sequences; not kept")
