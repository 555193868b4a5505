"""Ctrl-C and SIGTERM in a process that is not a command's own, such as a notebook or a worker of a sweep."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from data_gen.ending import SIGNALS


class Interrupted(KeyboardInterrupt):
    """Request to end the process, by signal `number`."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def signals_raise() -> Iterator[None]:
    """Raise Interrupted at Ctrl-C and SIGTERM inside the context, unless the process handles them already."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    with handlers(leave):
        yield


@contextmanager
def handlers(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM inside the context; without effect in other threads than the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
