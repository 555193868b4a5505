"""Ctrl-C and SIGTERM: raised, or noted in an event that is looked at between blocks."""

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
    """The process was asked to end by signal `number`."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def signals_raise() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM raise Interrupted."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with handlers(leave):
        yield


@contextmanager
def files_or_nothing() -> Iterator[threading.Event]:
    """Inside, Ctrl-C and SIGTERM set an event, which is looked at between blocks; a second one raises.

    An exception out of a signal handler is lost where it hits a destructor, and h5py has many.

    Raises:
        Stop: the block ended by KeyboardInterrupt.
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
    """Inside, the handler receives Ctrl-C and SIGTERM; in threads other than the main one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
