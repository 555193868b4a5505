"""Bars that show on a terminal how far a command has come; libraries and log files see none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_SHOWN: ContextVar[bool] = ContextVar("shown", default=False)


@contextmanager
def show_progress() -> Iterator[None]:
    """Show the bars of every `track` inside the context, where stderr is a terminal."""
    token = _SHOWN.set(True)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, with a bar under a name while they last, inside `show_progress`.

    total: number of items, where they have no length
    """
    disable = None if _SHOWN.get() else True  # None: unless stderr is a terminal
    yield from tqdm(items, desc=name, total=total, disable=disable, leave=False)
