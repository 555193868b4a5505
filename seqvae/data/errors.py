"""Faults of files, told as the user's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_gen.errors import DataError
from seqvae.types import UserError


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong with a dataset file inside the block into a UserError that names it."""
    try:
        yield
    except DataError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        problem = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read ({problem}); copy it or make it again") from None
