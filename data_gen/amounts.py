"""A quantity of each disc: one number for all, a list with one a disc, or a range from which it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data_gen.errors import DataError, require_number

# Uniform(min, max) for each disc of each sequence, where it is a mapping.
Amount = float | Sequence[float] | Mapping[str, float]


def is_drawn(amount: Amount) -> bool:
    """Whether the amount differs between sequences."""
    return isinstance(amount, Mapping)


def bounds(amount: Amount, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest that the amount of each of k discs can be, "k" each."""
    low, high = (amount["min"], amount["max"]) if is_drawn(amount) else (amount, amount)
    return np.full(k, low, dtype=np.float64), np.full(k, high, dtype=np.float64)


def require_amount(key: str, amount: object, k: int) -> None:
    """Raise DataError unless `amount` is an Amount of k discs, with positive numbers."""
    if is_drawn(amount):
        if set(amount) != {"min", "max"}:
            raise DataError(f"{key}={dict(amount)}: a range is written {{min: 1, max: 2}}")
        require_number(f"{key}.min", amount["min"], above=0)
        require_number(f"{key}.max", amount["max"], minimum=amount["min"])
    elif isinstance(amount, Sequence) and not isinstance(amount, str):
        if len(amount) != k:
            raise DataError(f"{key}={list(amount)}: must have {k} numbers, one a ball, or be a single one")
        for value in amount:
            require_number(key, value, above=0)
    else:
        require_number(key, amount, above=0)
