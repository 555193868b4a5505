"""Foreign HDF5 files: opened, read and written with faults told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from data_gen.disk import PatientFile, whole
from data_gen.errors import DataError


@contextmanager
def open_foreign(path: Path, *required: str) -> Iterator[h5py.File]:
    """A file with at least the datasets `required`. Raises DataError where it is damaged or another kind."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        kind = "is truncated" if "truncated" in str(error) else "is not a readable HDF5 file"
        raise DataError(f"{path}: {kind}; copy it again") from None
    with file, reading(path):
        for key in required:
            if not isinstance(file.get(key), h5py.Dataset):
                raise DataError(
                    f"{path}: holds {', '.join(file) or 'nothing'}, but no {key}; is it another format="
                )
        yield file


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of HDF5 inside the block, where data are damaged, into a DataError."""
    try:
        yield
    except OSError as error:
        problem = str(error).splitlines()[0]
        raise DataError(f"{path}: is damaged ({problem}); copy it again") from None


@contextmanager
def create_foreign(path: Path) -> Iterator[h5py.File]:
    """A new file that appears under its name when the block ends well. Raises DataError where it cannot."""
    with whole(path) as temporary:
        disk = PatientFile(temporary, "w+")
        with disk, h5py.File(disk, "w") as file:
            yield file
        disk.check()
