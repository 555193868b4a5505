"""Records of tensors (dataclasses, dicts): mapped, joined, and shown by their shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

LINE = 60  # characters of any other value


def short_repr(record: Any) -> str:
    """Show a dataclass in one line, as thousands of numbers tell nobody anything.

    Tensors appear by type and shape, records in it by name, and fields that are None not at all. To be set as
    `__repr__` in the body of a dataclass.
    """
    values = [(field.name, getattr(record, field.name)) for field in fields(record)]
    told = ", ".join(f"{name}={_short(value)}" for name, value in values if value is not None)
    return f"{type(record).__name__}({told})"


def _short(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        shape = ", ".join(map(str, value.shape))
        return f"{str(value.dtype).removeprefix('torch.')}[{shape}]"
    if is_dataclass(value):
        return f"{type(value).__name__}(...)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_short(item)}" for key, item in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= LINE else f"{text[:LINE]}..."


def map_record(fn: Callable[[Tensor], Tensor], record: Any) -> Any:
    """Apply fn to every tensor of a record (dataclasses, dicts, tensors; anything else stays as it is)."""
    if isinstance(record, Tensor):
        return fn(record)
    if isinstance(record, dict):
        return {key: map_record(fn, value) for key, value in record.items()}
    if is_dataclass(record):
        return type(record)(**{f.name: map_record(fn, getattr(record, f.name)) for f in fields(record)})
    return record


def join_records(join: Callable[[list[Tensor]], Tensor], records: list[Any]) -> Any:
    """One record from several equal ones (dataclasses, dicts, tensors), tensor by tensor.

    Anything else (None, a network) they have in common.
    """
    first = records[0]
    if isinstance(first, Tensor):
        return join(records)
    if isinstance(first, dict):
        return {key: join_records(join, [r[key] for r in records]) for key in first}
    if not is_dataclass(first):
        return first
    return type(first)(
        **{f.name: join_records(join, [getattr(r, f.name) for r in records]) for f in fields(first)}
    )


def stack_frames(steps: list[Any]) -> Any:
    """Records of single frames "b ..." as one record "b t ..."."""
    return join_records(lambda tensors: torch.stack(tensors, 1), steps)


def concat_batch(parts: list[Any]) -> Any:
    """Records "b ..." of several batches as one."""
    return join_records(lambda tensors: torch.cat(tensors, 0), parts)


def concat_frames(parts: list[Any]) -> Any:
    """Records "b t ..." one after the other in time."""
    return join_records(lambda tensors: torch.cat(tensors, 1), parts)
