"""The exception that bad input raises in data_gen, and the checks of options that raise it."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


class DataError(ValueError):
    """Bad input: one line that names the file, key or option and the remedy."""


def require_number(
    key: str,
    value: Any,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    integer: bool = False,
) -> None:
    """Raise DataError unless `value` is a finite number in the given range."""
    is_number = isinstance(value, Integral if integer else Real) and not isinstance(value, bool)
    if is_number and _is_within(value, minimum, above, maximum):
        return
    expected = "a whole number" if integer else "a number"
    if minimum is not None:
        expected += f" of at least {minimum}"
    if above is not None:
        expected += f" above {above}"
    if maximum is not None:
        expected += f" and at most {maximum}"
    raise DataError(f"{key}={value}: must be {expected}")


def _is_within(value: Any, minimum: float | None, above: float | None, maximum: float | None) -> bool:
    return (
        abs(value) < float("inf")
        and (minimum is None or value >= minimum)
        and (above is None or value > above)
        and (maximum is None or value <= maximum)
    )


def require_range(key: str, value: Any, **limits: Any) -> tuple[Any, Any]:
    """Return the pair [lowest, highest] as a tuple.

    limits: of both numbers, as in require_number.

    Raises:
        DataError: the value is not a pair of such numbers in rising order.
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise DataError(f"{key}={value}: must be two numbers, [lowest, highest]")
    low, high = value
    for number in (low, high):
        require_number(key, number, **limits)
    if low > high:
        raise DataError(f"{key}={list(value)}: the lowest comes first")
    return low, high


def require_words(options: object, *keys: str) -> None:
    """Raise DataError unless each of the attributes is a text that is not empty."""
    for key in keys:
        value = getattr(options, key)
        if value in (None, "???", ""):
            raise DataError(f"{key}: is missing; say {key}=...")
        if not isinstance(value, str):
            raise DataError(f"{key}={value}: must be a word")


def require_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raise DataError unless the value is one of the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise DataError(f"{key}={value}: must be one of {', '.join(choices)}")


def require_flags(options: object, *keys: str) -> None:
    """Raise DataError unless each of the attributes is true or false."""
    for key in keys:
        if not isinstance(getattr(options, key), bool):
            raise DataError(f"{key}={getattr(options, key)}: must be true or false")
