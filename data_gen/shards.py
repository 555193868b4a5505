"""A dataset in shards: the files `train-00000-of-00064.h5`, ... that together are what `train.h5` names.

Each shard is a dataset file of its own, so that as many jobs write them (data_gen.generate), and no file has
to hold everything. Readers name `train.h5` and see the sequences of all shards, one shard after the other.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_gen.errors import DataError

if TYPE_CHECKING:
    from data_gen.hdf5 import ArrayFile

MOST_SHARDS = 100_000  # five digits
SUFFIXES = (".h5", ".hdf5")

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<shards>\d{5})")
_OPEN_FILES = 128  # of the 1,024 that a process may usually have
_NAMED = 4  # files in a message

# ---- names


def shard_path(path: Path, number: int, shards: int) -> Path:
    """Return the file of a shard of the dataset `path`: train-00003-of-00064.h5 of train.h5."""
    return path.with_name(f"{path.stem}-{number:05d}-of-{shards:05d}{path.suffix}")


def shard_files(path: Path) -> dict[tuple[int, int], Path]:
    """Return the files that are shards of the dataset `path`, complete or not, by (shards, number)."""
    if not path.parent.is_dir():
        return {}
    named = [(file, _parse(file)) for file in path.parent.iterdir()]
    found = {(shards, i): file for file, (whole, i, shards) in named if whole == path and shards}
    return dict(sorted(found.items()))


def _parse(file: Path) -> tuple[Path, int, int]:
    """Return the dataset that a file is a shard of, its number and their count; (file, 0, 0) for no shard."""
    name = _SHARD.fullmatch(file.stem)
    if name is None or not int(name["number"]) < int(name["shards"]):
        return file, 0, 0
    return file.with_name(name["stem"] + file.suffix), int(name["number"]), int(name["shards"])


def find_shards(path: Path) -> tuple[Path, ...]:
    """Return the shards of the dataset `path` in order; none if it is a single file, or is not here.

    Raises:
        DataError: some are missing, or files of several datasets lie under this name.
    """
    found = shard_files(path)
    if not found:
        return ()
    if path.exists():
        raise DataError(
            f"{path}: lies beside shards of the same name ({_names([*found.values()])}); remove one"
        )
    counts = sorted({shards for shards, _ in found})
    if len(counts) > 1:
        examples = [next(file for (shards, _), file in found.items() if shards == count) for count in counts]
        raise DataError(
            f"{path}: shards of {' and '.join(map(str, counts))} lie together ({_names(examples)}); "
            "remove those of one set"
        )
    if missing := missing_shards(path):
        raise DataError(
            f"{path}: lacks {len(missing)} of its {counts[0]} shards ({_names(missing)}); make or copy them"
        )
    return tuple(found.values())


def missing_shards(path: Path) -> list[Path]:
    """Return the shards of the dataset `path` that are not here, by the count in the name of the first."""
    found = shard_files(path)
    count = min((shards for shards, _ in found), default=0)
    return [shard_path(path, i, count) for i in range(count) if (count, i) not in found]


def is_dataset(path: Path) -> bool:
    """Return whether there is a file of this name, or a shard of it."""
    return path.is_file() or bool(shard_files(path))


def datasets_in(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the datasets in a folder, sorted; those in shards once, under their common name."""
    return sorted({_parse(file)[0] for file in folder.iterdir() if file.suffix.lower() in suffixes})


def _names(files: Sequence[Path]) -> str:
    shown = ", ".join(file.name for file in files[:_NAMED])
    return shown if len(files) <= _NAMED else f"{shown} and {len(files) - _NAMED} more"


# ---- arrays


class ShardedFile(Mapping[str, "ShardedArray"]):
    """Arrays of all shards of a dataset by key, as ArrayFile has those of one file.

    It knows where each shard begins, opens the files that are read from, and keeps the latest of them open.

    paths: shards in order
    sizes: number of sequences in each
    open_file: function that opens a shard
    """

    def __init__(
        self, paths: Sequence[Path], sizes: Sequence[int], open_file: Callable[[Path], ArrayFile]
    ) -> None:
        self.paths, self.ends = tuple(paths), [*accumulate(sizes)]
        self._open_file = open_file
        self._files: OrderedDict[int, ArrayFile] = OrderedDict()  # the latest last

    @property
    def sequences(self) -> int:
        """Number of sequences in all shards."""
        return self.ends[-1]

    def __contains__(self, key: object) -> bool:
        return key in self.shard(0)

    def __iter__(self) -> Iterator[str]:
        return map(str, self.shard(0))

    def __len__(self) -> int:
        return len(self.shard(0))

    def __getitem__(self, key: str) -> ShardedArray:
        if key not in self:
            raise KeyError(key)
        return ShardedArray(self, key)

    def shard(self, number: int) -> ArrayFile:
        """Return the open file of a shard."""
        if number not in self._files:
            if len(self._files) == _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            self._files[number] = self._open_file(self.paths[number])
        self._files.move_to_end(number)
        return self._files[number]

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.popitem()[1].close()

    def __enter__(self) -> ShardedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ShardedArray:
    """An array "n ..." of all shards together, read by `array[i, ...]` and `array[i:j, ...]`."""

    def __init__(self, file: ShardedFile, key: str) -> None:
        self.file, self.key = file, key

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return (len(self), *self.file.shard(0)[self.key].shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the first shard's array."""
        return self.file.shard(0)[self.key].dtype

    def __len__(self) -> int:
        return self.file.sequences

    def __getitem__(self, index: Any) -> Any:
        """Read one sequence, or a range of them; the other axes are indexed as h5py does.

        Raises:
            IndexError: there is no such sequence.
            TypeError: the first index is neither a number nor a slice of step 1.
        """
        rows, *others = index if isinstance(index, tuple) else (index,)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                raise TypeError(f"{self.key}[{rows}]: sequences are read in steps of 1")
            return self._range(start, max(start, stop), tuple(others))
        row = range(len(self))[rows]  # a negative number counts from the end
        shard = bisect_right(self.file.ends, row)
        return self.file.shard(shard)[self.key][(row - self._begin(shard), *others)]

    def _range(self, start: int, stop: int, others: tuple[Any, ...]) -> np.ndarray:
        first, last = bisect_right(self.file.ends, start), bisect_left(self.file.ends, stop)
        result = None
        for shard in range(min(first, last), last + 1):
            begin = self._begin(shard)
            inside = slice(max(start - begin, 0), max(min(stop, self.file.ends[shard]) - begin, 0))
            part = self.file.shard(shard)[self.key][(inside, *others)]
            if len(part) == stop - start:
                return part
            if result is None:  # filled in place, so that nothing is held twice
                result = np.empty((stop - start, *part.shape[1:]), part.dtype)
            result[begin + inside.start - start : begin + inside.stop - start] = part
        assert result is not None
        return result

    def _begin(self, shard: int) -> int:
        return self.file.ends[shard - 1] if shard else 0
