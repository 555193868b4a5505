"""The chunks of a dataset file: how its arrays are cut, and compressed in whatever process.

HDF5 takes chunks that are compressed already. So the processes that make sequences also compress them, and
the one that writes the file has little left to do.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

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
