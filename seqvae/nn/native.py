"""C code beside the Python code, compiled by the system's compiler when it is first needed.

Everything written in C is defined in torch as well. That definition runs where the C code cannot: without a
compiler, on other devices and dtypes, under torch.compile, or if SEQVAE_NATIVE=0.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FLAGS = (
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-tree-loop-distribute-patterns",
    "-Wno-psabi",
    "-fPIC",
    "-shared",
)
HEADERS = Path(__file__).parent
COMPILERS = ("cc", "gcc", "clang")
SECONDS = 120  # after which a compiler has failed
LOG = logging.getLogger(__name__)


def usable(source: Path, *tensors: Tensor) -> bool:
    """Return whether there is compiled code that may read the tensors: float32 on the CPU, in eager mode."""
    return not torch.compiler.is_compiling() and all(map(_plain, tensors)) and library(source) is not None


def _plain(x: Tensor) -> bool:
    return type(x) in (Tensor, nn.Parameter) and x.device.type == "cpu" and x.dtype == torch.float32


def call(source: Path, function: str, *arguments: Tensor | ctypes.Structure | float | None) -> None:
    """Call a function of a C file, which gets tensors, contiguous ones, and records by pointers.

    Raises:
        MemoryError: it returned something else than 0.
    """
    code = library(source)
    assert code is not None, "`usable` tells whether there is compiled code"
    if getattr(code, function)(*map(_as_argument, arguments)):
        raise MemoryError(f"{source.name}: no memory for {function}")


def call_in_parts(
    source: Path, function: str, count: int, arguments: Callable[[slice], Iterable[Any]], least: int
) -> None:
    """Call a C function on parts of a batch of `count`, in as many threads as torch has.

    arguments: returns those of a part
    least: size of a part that is worth a thread
    """
    parts = max(1, min(torch.get_num_threads(), count // least))
    bounds = [count * i // parts for i in range(parts + 1)]
    slices = [slice(*pair) for pair in pairwise(bounds)]
    if parts == 1:
        call(source, function, *arguments(slices[0]))
        return
    with ThreadPoolExecutor(parts) as pool:  # the C code runs without Python's lock
        list(pool.map(lambda part: call(source, function, *arguments(part)), slices))


def _as_argument(x: Tensor | ctypes.Structure | float | None) -> Any:
    if isinstance(x, Tensor):
        return ctypes.c_void_p(x.data_ptr())
    if isinstance(x, ctypes.Structure):
        return ctypes.byref(x)
    return ctypes.c_float(x) if isinstance(x, float) else x


@functools.cache
def library(source: Path) -> ctypes.CDLL | None:
    """Return the compiled C file, or None without a compiler that understands it, or where it is off.

    It is kept for later processes in a folder of this user among temporary files. Its name says what it was
    made from and for which processor. A process that is killed while it compiles leaves a file that the next
    one replaces.
    """
    if os.environ.get("SEQVAE_NATIVE") == "0":
        return None
    compiler = shlex.split(os.environ.get("CC", "")) or [c for c in COMPILERS if shutil.which(c)][:1]
    if not compiler:
        LOG.info("no C compiler: %s is computed by torch", source.stem)
        return None
    sources = sorted({*source.parent.glob("*.[ch]"), *HEADERS.glob("*.h")})
    made_from = [*(file.read_bytes() for file in sources), " ".join(FLAGS).encode(), _processor().encode()]
    key = hashlib.sha256(b"\0".join([*made_from, " ".join(compiler).encode()])).hexdigest()
    try:
        folder = _own_folder()
        path = folder / f"{source.stem}-{key[:16]}.so"
        if not path.exists():
            _compile(compiler, source, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        LOG.warning("%s is computed by torch, since its C code cannot be compiled: %s", source.stem, error)
        return None


def _own_folder() -> Path:
    """Return the folder for compiled code, which nobody else can write."""
    folder = Path(tempfile.gettempdir()) / f"seqvae_native_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:  # others could put a library there
        raise PermissionError(f"{folder} belongs to someone else, or can be written by others")
    return folder


def _compile(compiler: list[str], source: Path, path: Path) -> None:
    """Compile to `path`, which appears when it is complete; wait for a process that compiles already."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        command = [*compiler, *FLAGS, f"-I{HEADERS}", str(source), "-o", str(unfinished), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no reason given"]
            raise OSError(f"{compiler[0]}: {lines[0]}")
        unfinished.replace(path)


def _processor() -> str:
    """Return what tells processors apart for which code is compiled."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(features))])
