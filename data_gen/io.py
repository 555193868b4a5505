"""Files that appear complete or not at all.

A file is written under a temporary name beside its place and renamed when it is complete, at whatever moment
the process is killed. What a killed process leaves is removed by the next one that writes in the folder.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from data_gen.ending import unfinished
from data_gen.errors import DataError
from data_gen.locks import TEMPORARY, open_locked, remove_leftovers

_FULL = (errno.ENOSPC, errno.EDQUOT)


class UnwritableError(DataError):
    """A file that cannot be written. fault: its name and the reason, without a remedy"""

    def __init__(self, path: Path, error: OSError):
        self.fault = f"{path}: cannot be written ({os.strerror(error.errno or errno.EIO)})"
        remedy = "make room, or choose another folder" if error.errno in _FULL else "choose another folder"
        super().__init__(f"{self.fault}; {remedy}")


@contextmanager
def scratch_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; the file there is empty, and removed at the end.

    Raises:
        UnwritableError: the system cannot write there.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    unfinished.add(str(temporary))
    try:
        with report_unwritable(path):
            remove_leftovers(path.parent)
            lock = open_locked(temporary)  # shows other processes that this one lives
            if lock is None:
                raise DataError(f"{path}: is being written in another thread; wait for it")
            with lock:
                yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()
        unfinished.discard(str(temporary))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; on success, rename it to `path`.

    An exception leaves `path` as it was, and no temporary file. On success the content and the new name
    survive a power cut.

    Raises:
        UnwritableError: the system cannot write there.
    """
    with scratch_path(path) as temporary:
        yield temporary
        _flush_file(temporary)
        os.replace(temporary, path)
        _flush_folder(path.parent)


def atomic_write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call write(binary file), so that afterwards `path` holds all of it, or is as it was before.

    Raises:
        UnwritableError: the system cannot write there.
    """
    with atomic_path(path) as temporary, ErrorKeepingFile(temporary, "w") as disk:
        file = io.BufferedWriter(disk)
        try:
            write(file)
            file.flush()
        except Exception:
            disk.check()  # what a failed write leads to, such as a RuntimeError of torch, tells nothing
            raise
        disk.check()


@contextmanager
def output_path(path: Path) -> Iterator[Path]:
    """Yield an atomic_path in a folder that is made if needed; raise UnwritableError if that cannot be."""
    with report_unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            yield temporary


@contextmanager
def report_unwritable(path: Path) -> Iterator[None]:
    """Turn an OSError of the system inside the block into an UnwritableError that names the file.

    An OSError without a number passes through: HDF5 raises it for a damaged file that is being read. So does
    a broken pipe, which is none of a file: the reader of the output is gone.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        raise UnwritableError(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error for a file that the system does not give: what it says, and no word of damage."""
    reason = os.strerror(error.errno or errno.EIO)
    denied = error.errno in (errno.EACCES, errno.EPERM)
    remedy = "ask its owner for permission" if denied else "the file itself may be sound: try again"
    return DataError(f"{path}: cannot be read ({reason}); {remedy}")


def is_refusal(error: BaseException) -> bool:
    """Return whether an error is the system's refusal of a file, and not one of its content.

    Damaged offsets make programs seek where nothing is, which is an invalid argument to the system.
    """
    return isinstance(error, OSError) and error.errno not in (None, 0, errno.EINVAL)


_LEVELS = 100  # of dicts and lists inside each other; those of sound files have fewer than 20


def is_nested_deeply(value: Any) -> bool:
    """Return whether dicts and lists lie in each other deeper than a recursion can follow."""
    level = [value]
    for _ in range(_LEVELS):
        level = [
            item
            for container in level
            if isinstance(container, (dict, list, tuple))
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return True


def parse_json(text: str | bytes) -> Any:
    """Return the content of JSON that may come from a stranger.

    Raises:
        ValueError: it is no JSON, or nested deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if is_nested_deeply(value):
        raise ValueError("nested too deeply")
    return value


def _flush_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Write the folder's entries to disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ErrorKeepingFile(io.FileIO):
    """A file that keeps the first error of a write for `check`, and then accepts all writes.

    HDF5 cannot close a file that it fails to write, and crashes the process when it tries again at exit, and
    torch raises errors of its own. Here they do not see the failure: the writer calls `check` and discards
    the file.
    """

    error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first failed write, if there is one."""
        if self.error is not None:
            raise self.error

    def write(self, data: Any) -> int:
        remaining = memoryview(data)
        while self.error is None and remaining:
            try:
                remaining = remaining[super().write(remaining) :]  # a nearly full disk accepts a part
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
