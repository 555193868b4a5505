"""The one exception that bad input raises in data_gen, and checks of options."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


class DataError(ValueError):
    """Bad input: a single line that names the file or key and says what to do about it."""


def require_number(
    key: str,
    value: object,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    integer: bool = False,
) -> None:
    """Raise DataError unless `value` is a finite number in the range given."""
    kind = Integral if integer else Real
    wanted = "a whole number" if integer else "a number"
    if minimum is not None:
        wanted += f" of at least {minimum}"
    if above is not None:
        wanted += f" above {above}"
    if maximum is not None:
        wanted += f" and at most {maximum}"
    good = isinstance(value, kind) and not isinstance(value, bool) and abs(value) < float("inf")
    if good:
        good = (minimum is None or value >= minimum) and (above is None or value > above)
        good = good and (maximum is None or value <= maximum)
    if not good:
        raise DataError(f"{key}={value}: must be {wanted}")


def require_range(key: str, value: object, **bounds: Any) -> tuple:
    """The pair [low, high] as a tuple; DataError unless it is two numbers in order.

    bounds: of both numbers, as in require_number.
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise DataError(f"{key}={value}: must be two numbers, [lowest, highest]")
    for number in value:
        require_number(key, number, **bounds)
    if value[0] > value[1]:
        raise DataError(f"{key}={list(value)}: the lowest comes first")
    return tuple(value)


def require_words(options: object, *keys: str) -> None:
    """Raise DataError unless each of the attributes is a text that says something."""
    for key in keys:
        value = getattr(options, key)
        if value in (None, "???", ""):
            raise DataError(f"{key}: is missing; say {key}=...")
        if not isinstance(value, str):
            raise DataError(f"{key}={value}: must be a word")


def require_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raise DataError unless the value is one of the choices."""
    if value not in choices:
        raise DataError(f"{key}={value}: must be one of {', '.join(choices)}")


def require_flags(options: object, *keys: str) -> None:
    """Raise DataError unless each of the attributes is true or false."""
    for key in keys:
        if not isinstance(getattr(options, key), bool):
            raise DataError(f"{key}={getattr(options, key)}: must be true or false")
