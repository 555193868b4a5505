"""Memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

# the parameters of mallopt in glibc's malloc.h
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed, instead of returning it and asking for it anew each step.

    Tensors of some MB otherwise come as fresh pages, which the system has to clear one by one: a third of
    a step on the CPU. Where the C library is not glibc, nothing happens and the answer is False.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
