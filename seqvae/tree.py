"""Functions on records of tensors: map, join, stack, concatenate, and show by shape.

A record is a dataclass or a dict, nested to any depth. Anything in it that is neither a record nor a tensor
(None, a number, a network) stays as it is. `join_records` takes records of NumPy arrays as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

MAX_LENGTH = 60  # characters that are shown of any other value


def short_repr(self: Any) -> str:
    """Show a dataclass in one line, for use as its `__repr__`.

    Tensors appear by type and shape, nested records by name; fields that are None are left out.
    """
    values = [(field.name, getattr(self, field.name)) for field in fields(self)]
    shown = ", ".join(f"{name}={_short(value)}" for name, value in values if value is not None)
    return f"{type(self).__name__}({shown})"


def _short(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        shape = ", ".join(map(str, value.shape))
        return f"{str(value.dtype).removeprefix('torch.')}[{shape}]"
    if is_dataclass(value):
        return f"{type(value).__name__}(...)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_short(item)}" for key, item in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}..."


def map_record(fn: Callable[[Tensor], Tensor], record: Any) -> Any:
    """Apply fn to every tensor of a record."""
    if isinstance(record, Tensor):
        return fn(record)
    if isinstance(record, dict):
        return {key: map_record(fn, value) for key, value in record.items()}
    if is_dataclass(record):
        return type(record)(**{f.name: map_record(fn, getattr(record, f.name)) for f in fields(record)})
    return record


def join_records(join: Callable[[list[Any]], Any], records: list[Any]) -> Any:
    """Join records of one structure into one, tensor by tensor, or array by array.

    Values that are neither records nor tensors are those of the first.
    """
    first = records[0]
    if isinstance(first, Tensor | np.ndarray):
        return join(records)
    if isinstance(first, dict):
        return {key: join_records(join, [r[key] for r in records]) for key in first}
    if not is_dataclass(first):
        return first
    return type(first)(
        **{f.name: join_records(join, [getattr(r, f.name) for r in records]) for f in fields(first)}
    )


def stack_frames(steps: list[Any]) -> Any:
    """Stack records of single frames "b ..." to a record "b t ..."."""
    return join_records(lambda tensors: torch.stack(tensors, 1), steps)


def concat_batch(parts: list[Any]) -> Any:
    """Concatenate records "b ..." along the batch."""
    return join_records(lambda tensors: torch.cat(tensors, 0), parts)


def concat_frames(parts: list[Any]) -> Any:
    """Concatenate records "b t ..." along time."""
    return join_records(lambda tensors: torch.cat(tensors, 1), parts)


def slice_frames(x: Tensor | None, frames: slice) -> Tensor | None:
    """Return some frames of a tensor "b t ...", such as actions; None for None."""
    return None if x is None else x[:, frames]


def sum_tensors(tensors: Iterable[Tensor]) -> Tensor:
    """Return the sum of at least one tensor, added in their order."""
    return cast(Tensor, sum(tensors))
