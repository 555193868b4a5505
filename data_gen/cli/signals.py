"""Ctrl-C and SIGTERM: raised, or noted in an event that is checked between blocks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from data_gen.cli.command import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = "interrupted; the unfinished file is removed, finished ones stay"


class Interrupted(KeyboardInterrupt):
    """Request to end the process, by signal `number`."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def signals_raise() -> Iterator[None]:
    """Raise Interrupted at Ctrl-C and SIGTERM inside the context."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with handlers(leave):
        yield


@contextmanager
def files_or_nothing() -> Iterator[threading.Event]:
    """Set an event at Ctrl-C or SIGTERM inside the context, for checks between blocks; raise at the second.

    An exception from a signal handler is lost inside a destructor, and h5py has many.

    Raises:
        Stop: the block has ended with KeyboardInterrupt.
    """
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with handlers(note):
        try:
            yield stop
        except KeyboardInterrupt:
            raise Stop(INTERRUPTED, 128 + signal.SIGINT) from None


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
