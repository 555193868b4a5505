"""Arrays that are read from their file in blocks, with their axes in the order of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_BLOCK_BYTES = 16 * 2**20  # that are read at a time


class LazyArray:
    """An array on disk with named axes, read as "n t ..." in the order `target`; missing axes have size 1.

    Neighbouring sequences are read together, if they are small, and kept until others are asked for.

    path: for messages
    source: what is sliced: an array of NumPy, h5py or zarr
    axes: of the source
    target: of what is returned, first n and t
    convert: function of each block that was read
    sizes: by axis
    sequence_bytes: of a sequence in the file
    """

    def __init__(
        self,
        path: Path,
        source: Any,
        axes: tuple[str, ...],
        target: tuple[str, ...],
        convert: Callable[[np.ndarray], np.ndarray] = lambda block: block,
    ) -> None:
        self.path, self.source, self.axes, self.target, self.convert = path, source, axes, target, convert
        self.sizes = dict.fromkeys(target, 1) | dict(zip(axes, source.shape, strict=True))
        self.sequence_bytes = int(np.prod(source.shape)) * source.dtype.itemsize // self.sizes["n"]
        self._first, self._kept = 0, np.empty(0)

    def with_convert(self, convert: Callable[[np.ndarray], np.ndarray]) -> LazyArray:
        """Return the same array with another conversion."""
        return LazyArray(self.path, self.source, self.axes, self.target, convert)

    def read(self, rows: slice, frames: slice) -> np.ndarray:
        """Read the frames of the sequences `rows`, "n t ...".

        Raises:
            DataError: the file is damaged.
        """
        ranges = {"n": rows, "t": frames}
        index = tuple(ranges.get(axis, slice(None)) for axis in self.axes)
        block = np.asarray(self.source[index])
        order = [self.axes.index(axis) for axis in self.target if axis in self.axes]
        block = block.transpose(order)
        missing = [i for i, axis in enumerate(self.target) if axis not in self.axes]
        return self.convert(np.expand_dims(block, missing))

    def sequence(self, row: int, start: int, stop: int) -> np.ndarray:
        """Read frames start ... stop - 1 of a sequence, "t ..."."""
        rows = _BLOCK_BYTES // max(1, self.sequence_bytes)
        if rows < 1 or "n" not in self.axes:
            return self.read(slice(row, row + 1), slice(start, stop))[0]
        if not self._first <= row < self._first + len(self._kept):
            self._kept = np.empty(0)  # frees it before the next block is read
            self._kept, self._first = self.read(slice(row, row + rows), slice(None)), row
        return self._kept[row - self._first, start:stop]

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all of it, block by block."""
        n, t = self.sizes["n"], self.sizes["t"]
        rows = min(n, max(1, _BLOCK_BYTES // max(1, self.sequence_bytes)))
        frames = min(t, max(1, _BLOCK_BYTES * t // max(1, rows * self.sequence_bytes)))
        for row in range(0, n, rows):
            for frame in range(0, t, frames):
                yield self.read(slice(row, min(row + rows, n)), slice(frame, min(frame + frames, t)))


@dataclass(frozen=True)
class View:
    """Frames start ... stop - 1 of a sequence, sliced by frame.

    shape: of the whole, if it is needed
    finish: function of each slice "t ..." that was read
    """

    array: LazyArray
    row: int
    start: int
    stop: int
    finish: Callable[[np.ndarray], np.ndarray] = field(default=lambda block: block)
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, time: slice) -> np.ndarray:
        first, last, _ = time.indices(len(self))
        return self.finish(self.array.sequence(self.row, self.start + first, self.start + last))
