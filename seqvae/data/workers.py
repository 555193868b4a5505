"""Processes that read or make data ahead of the training, and end with it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from seqvae.types import UserError


class ReadAhead:
    """The items of a dataset in order, made by worker processes before they are asked for.

    options: of torch's DataLoader. Workers end with the training, also with one that is killed.
    """

    def __init__(self, dataset: Dataset, workers: int, **options: Any) -> None:
        # a generator of its own: else a loader that starts anew would draw from that of the training
        own = torch.Generator()
        loader = DataLoader(dataset, num_workers=workers, worker_init_fn=_begin, generator=own, **options)
        self._items: Iterator[Any] = iter(loader)
        atexit.register(self.close)  # else the exit would wait for workers that wait for work

    def __iter__(self) -> "ReadAhead":
        return self

    def __next__(self) -> Any:
        """The next item. Raises UserError in the one line in which a worker raised it."""
        try:
            return next(self._items)
        except UserError as error:
            # torch puts the worker's whole traceback into the message; what was said is its last line
            last = str(error).strip().splitlines()[-1]
            raise UserError(last.removeprefix(f"{UserError.__module__}.UserError: ")) from None

    def close(self) -> None:
        """End the workers."""
        items, self._items = self._items, iter(())
        # torch would do so when nobody holds the iterator any more, but an exception out of it may
        if hasattr(items, "_shutdown_workers"):
            items._shutdown_workers()
        atexit.unregister(self.close)


def is_death_of_worker(error: RuntimeError) -> bool:
    """Whether torch says with `error` that a worker process was killed; it may say so at any moment."""
    return "DataLoader worker" in str(error)


def _begin(worker: int) -> None:
    """Called in each worker at its start."""
    # Ctrl-C reaches every process of a terminal. The training saves first, and then ends its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # torch notices the death of the parent too, but then waits for ever to hand over what it holds
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # torch still has a thread that hands over what nobody wants; the interpreter's end would abort in it
    Finalize(None, os._exit, args=(0,), exitpriority=-1000)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
