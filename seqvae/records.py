"""How records of tensors are shown: by shapes, since thousands of numbers tell nobody anything."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

LINE = 60  # characters of any other value


def short_repr(record: Any) -> str:
    """Show a dataclass in one line: tensors by type and shape, records in it by name, no field that is None.

    To be set as `__repr__` in the body of a dataclass.
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
