"""Ctrl-C and SIGTERM: the first asks the training to save and stop, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType


class Interrupt:
    """While entered, notes the first SIGINT or SIGTERM in `.signal` and leaves at the second."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may handle signals
        for number in self.SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            # no clean-up: whoever asks twice does not want to wait; files are whole at any moment anyway
            os._exit(128 + number)
        self.signal = number
        print("\nstopping: saving after this step (again: stop at once)", file=sys.stderr, flush=True)
