"""Writing a dataset file: how its arrays are cut into chunks, and compressed in whatever process.

HDF5 takes chunks that are compressed already. So the processes that make sequences also compress them, and
the one that writes the file has little left to do.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.io import PatientFile
from data_gen.schema import ACTION_CONVENTION, FIELDS, FORMAT, FORMAT_VERSION

LEVEL = 1  # of gzip; higher ones take longer and gain little

# A random clip of 16 frames then reads two chunks at most; h5py's own choice of chunks is 90 times slower.
_FRAMES, SEQUENCES = 16, 64


@dataclass(frozen=True)
class Packed:
    """An array "n ..." in compressed chunks, each with the index of its first element."""

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    chunks: list[tuple[tuple[int, ...], bytes]]


def chunk_shape(axes: str, shape: tuple[int, ...], sequences: int) -> tuple[int, ...]:
    """How an array of a dataset is cut: pictures into short clips, the rest into so many whole sequences."""
    if "h" in axes:
        return (1, min(_FRAMES, shape[1]), *shape[2:])
    return (sequences, *shape[1:])


def pack(array: np.ndarray, dtype: type, chunk: tuple[int, ...]) -> Packed:
    """Compress an array as chunks of shape `chunk`; those beyond its end are filled up with zeros."""
    strategy = None
    counts = [-(-size // step) for size, step in zip(array.shape, chunk, strict=True)]
    chunks = []
    for index in np.ndindex(*counts):
        first = tuple(i * step for i, step in zip(index, chunk, strict=True))
        piece = array[tuple(slice(i, i + step) for i, step in zip(first, chunk, strict=True))]
        whole = np.zeros(chunk, dtype)
        whole[tuple(slice(size) for size in piece.shape)] = piece
        strategy = _best_strategy(whole) if strategy is None else strategy
        chunks.append((first, _compress(whole, strategy)))
    return Packed(array.shape, chunk, chunks)


def _best_strategy(array: np.ndarray) -> int:
    """That of zlib for arrays like this one.

    Discs on black and masks are runs of equal bytes: to look for nothing else is faster by half, and yields
    smaller files. Coloured backgrounds repeat every third byte.
    """
    if array.dtype != np.uint8:
        return zlib.Z_DEFAULT_STRATEGY
    return min(zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY, key=lambda strategy: len(_compress(array, strategy)))


def _compress(array: np.ndarray, strategy: int) -> bytes:
    """What HDF5's gzip filter reads."""
    stream = zlib.compressobj(LEVEL, strategy=strategy)
    return stream.compress(array) + stream.flush()


class DatasetWriter:
    """Fills an open dataset file block by block; create_dataset makes it."""

    def __init__(self, file: h5py.File, disk: PatientFile, sequences: int) -> None:
        self.sequences, self.written = sequences, 0
        self._file, self._disk = file, disk

    def write(self, start: int, arrays: Mapping[str, np.ndarray | Packed]) -> None:
        """Store sequences start, start + 1, ... under their keys; the first call decides which keys exist.

        arrays: as they are, or packed into whole chunks of the file.
        """
        for key, array in arrays.items():
            if key not in self._file:
                self._create(key, array)
            data = self._file[key]
            if isinstance(array, Packed):
                for (first, *rest), content in array.chunks:
                    data.id.write_direct_chunk((start + first, *rest), content)
            else:
                data[start : start + len(array)] = array
            self._disk.check()
        self.written += arrays["imgs"].shape[0]

    def _create(self, key: str, array: np.ndarray | Packed) -> None:
        field, shape = FIELDS[key], (self.sequences, *array.shape[1:])
        if isinstance(array, Packed):
            chunks = array.chunk_shape
        else:
            chunks = chunk_shape(field.axes, shape, min(SEQUENCES, self.sequences))
        self._file.create_dataset(
            key, shape, field.dtype, chunks=chunks, compression="gzip", compression_opts=LEVEL
        )


@contextmanager
def create_dataset(
    path: str | Path, sequences: int, attributes: Mapping[str, Any]
) -> Iterator[DatasetWriter]:
    """Open a dataset file for writing: `with create_dataset(path, n, attributes) as writer: ...`.

    attributes: simulator (a name), config (JSON can hold it), seed, dt, coord_limit, num_actions and
        shape_names.
    The file appears under `path` when the block ends well; otherwise nothing is left behind. Raises
    DataError when the file cannot be written, or was not given all its sequences.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        disk = PatientFile(temporary, "w+")
        with disk, h5py.File(disk, "w") as file:
            file.attrs.update(
                {key: attributes[key] for key in ("simulator", "seed", "dt", "coord_limit", "num_actions")},
                config=json.dumps(attributes["config"], sort_keys=True),
                shape_names=list(attributes["shape_names"]),
                format=FORMAT,
                format_version=FORMAT_VERSION,
                action_convention=ACTION_CONVENTION,
                package_version=package_version(),
            )
            writer = DatasetWriter(file, disk, sequences)
            yield writer
        disk.check()
        if writer.written != sequences:
            raise DataError(f"{path}: given {writer.written} of {sequences} sequences; not kept")
        os.replace(temporary, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DataError(f"{path}: cannot be written ({reason}); choose another folder") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def package_version() -> str:
    """The version of the installed distribution; "unknown" when run from an uninstalled tree."""
    try:
        return version("seqvae")
    except PackageNotFoundError:
        return "unknown"
