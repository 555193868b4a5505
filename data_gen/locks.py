"""Locks on files. The system releases them when their holder ends, in whatever way.

So an unfinished file without a lock is that of a killed process, and a folder has one writer at a time.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from data_gen.ending import unfinished
from data_gen.errors import DataError

TEMPORARY = ".tmp-"  # begins the name of a file that is not complete

_LOCK = f"{TEMPORARY}lock"
_NAMES = re.compile(rf"{re.escape(TEMPORARY)}(\d+-.*|lock\w*)", re.DOTALL)
_PATIENCE = 2.0  # seconds in which the workers of a killed process end, which hold its lock as long


def take_lock(file: IO | int) -> bool | None:
    """Lock an open file; return False if another holder has it, None if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files of killed processes in `folder`."""
    for entry in folder.glob(f"{TEMPORARY}*"):
        if _NAMES.fullmatch(entry.name) and entry.is_file() and not entry.is_symlink():
            with suppress(OSError), entry.open("rb+") as file:  # made by someone else, or gone already
                if take_lock(file):
                    entry.unlink()


@contextmanager
def output_folder(folder: Path, key: str = "out", part: str = "") -> Iterator[None]:
    """Make a folder, if need be, and keep other commands from writing there inside the context.

    key: the option that names the folder, for messages
    part: keep out only those that write the same part

    Raises:
        DataError: another command is writing there, or the folder cannot be written.
    """
    path = folder / f"{_LOCK}{part}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _wait_for_lock(path)
    except OSError as error:
        reason = f"cannot be written ({error.strerror}); choose another folder"
        raise DataError(f"{key}={folder}: {reason}") from None
    if lock is None:
        raise DataError(
            f"{key}={folder}: another command is writing there; wait for it, or choose another folder"
        )
    with lock:
        unfinished.add(str(path))
        try:
            yield
        finally:
            with suppress(OSError):  # the folder may be gone
                path.unlink()
            unfinished.discard(str(path))


def _wait_for_lock(path: Path) -> IO | None:
    """Return the open lock file; None if another holder keeps it."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        file = path.open("ab")
        if take_lock(file) is not False and _is_at(file, path):
            return file
        file.close()
        time.sleep(0.05)
    return None


def _is_at(file: IO, path: Path) -> bool:
    """Return whether the file still has this name, which an earlier holder removes."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
