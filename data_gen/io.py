"""Files that appear whole or not at all, and one under HDF5 that survives a full disk."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_gen.errors import DataError


class PatientFile(io.FileIO):
    """A file that keeps the first error of a write for `check`, and takes whatever comes after it.

    HDF5 cannot close a file that it fails to write, and crashes the process when it tries again at exit.
    Here it never learns of the failure: whoever writes asks `check`, and throws the file away.
    """

    error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if one did."""
        if self.error is not None:
            raise self.error

    def write(self, data) -> int:
        rest = memoryview(data)
        while self.error is None and rest:
            try:
                rest = rest[super().write(rest) :]  # a nearly full disk takes a part
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its suffix, which says the format; renamed to `path` on success.

    Makes the folder. Raises DataError where the system cannot write there. After an exception nothing is
    left behind.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:  # of HDF5 or ffmpeg, which tell it in their own words
            raise
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
