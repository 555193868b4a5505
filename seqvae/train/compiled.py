"""torch.compile: the folder for its libraries, and one line for its failures.

torch writes a library under its final name and takes what is there for complete: after a kill in between,
every later process fails. So each process has a folder of its own, and first removes what a killed one left.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from seqvae.errors import UserError
from seqvae.io import take_lock

FOLDER = "TORCHINDUCTOR_CACHE_DIR"  # torch's environment variable
BUILDING = "_CxxBuild"  # end of the name of torch's folder beside a library while this is built


@functools.cache
def own_folder() -> Path:
    """Let torch write to a folder that no other living process has; keep it until the end of this process.

    It is one of those for earlier processes, so that their libraries are found.

    Raises:
        UserError: it cannot be made, or belongs to someone else.
    """
    default = Path(tempfile.gettempdir()) / f"seqvae_compiled_{os.getuid()}"
    base = Path(os.environ.get(FOLDER) or default)
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base == default and base.lstat().st_uid != os.getuid():  # who could put libraries there
            raise PermissionError(errno.EPERM, "it belongs to someone else")
        folder = next(folder for number in count() if _take(folder := base / f"seqvae-{number}"))
        _remove_unfinished(folder)
    except OSError as error:
        reason = f"compile=true: {base}: cannot be written ({error.strerror})"
        raise UserError(f"{reason}; name another folder by {FOLDER}=FOLDER") from None
    os.environ[FOLDER] = str(folder)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        # it chooses a folder among temporary files, whatever the variable says, for precompiled headers
        import torch._inductor.codecache  # noqa: F401
    finally:
        tempfile.tempdir = before
    return folder


def _take(folder: Path) -> bool:
    """Lock a folder until the end of this process; return False if another one has it."""
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if take_lock(lock) is not False:
        return True
    os.close(lock)
    return False


def _remove_unfinished(folder: Path) -> None:
    """Delete the libraries at which a killed process was building."""
    for building in folder.rglob(f"*{BUILDING}"):
        stem = building.name.removesuffix(BUILDING)
        for file in building.parent.iterdir():
            if file.is_file() and file.name.startswith(stem):
                file.unlink()
        shutil.rmtree(building)


def report_failure(compiled: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiled function that raises a UserError, in one line, where torch cannot compile it.

    plain: the function itself, which becomes part of a larger one that is compiled
    """

    @functools.wraps(plain)
    def call(*arguments: Any, **options: Any) -> Any:
        if torch.compiler.is_compiling():
            return plain(*arguments, **options)
        try:
            return compiled(*arguments, **options)
        except TorchDynamoException as error:
            if os.environ.get("SEQVAE_FULL_ERROR") == "1":
                raise
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = next((line for line in lines if not line.endswith("raised:")), type(error).__name__)
            raise UserError(
                f"compile=true: torch cannot compile the model ({reason[:200]}); remove "
                f"{os.environ.get(FOLDER)}, or leave compile out (SEQVAE_FULL_ERROR=1 shows more)"
            ) from None

    return call
