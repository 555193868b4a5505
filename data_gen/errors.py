"""The exception that bad input raises in data_gen, and the checks of options that raise it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints


class DataError(ValueError):
    """Bad input: one line that names the file, key or option and the remedy."""


class MissingWorld(DataError):
    """A simulator that nobody has registered. target: its dotted name"""

    def __init__(self, message: str, target: str):
        super().__init__(message)
        self.target = target


def did_you_mean(name: str, known: Iterable[str], n: int = 3) -> str:
    """Return the end of a message about an unknown name: near matches if there are any, else all names."""
    known = sorted(known)
    by_lower = {word.lower(): word for word in known}
    near = get_close_matches(name.lower(), by_lower, n=n, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(by_lower[word] for word in near) + "?"
    return "known: " + ", ".join(known) if known else "none is accepted here"


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list",
    NoneType: "null",
}


def checked_fields(
    kind: type, values: Mapping[str, Any], error: type[Exception] = DataError, prefix: str = ""
) -> dict[str, Any]:
    """Return `values` for the fields of the dataclass `kind`, all known and each of its field's type.

    Fields are annotated with plain types or their unions. Whole numbers stand for floats, lists for tuples.
    prefix: what comes before a key in messages.

    Raises:
        error: a key is unknown, or a value is missing or of another type.
    """
    hints = {f.name: hint for f in fields(kind) for hint in [get_type_hints(kind)[f.name]] if f.init}
    for key in values:
        if key not in hints:
            raise error(f"{prefix}{key}: no such key; {did_you_mean(key, hints)}")
    return {key: _typed(f"{prefix}{key}", value, hints[key], error) for key, value in values.items()}


def _typed(key: str, value: Any, hint: Any, error: type[Exception]) -> Any:
    members = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = [get_origin(member) or member for member in members]
    if value == "???" or (value is None and NoneType not in kinds):
        raise error(f"{key}: is missing; say {key}=...")
    if Any in kinds or type(value) in kinds:
        return value
    if type(value) is int and float in kinds:
        return float(value)
    if isinstance(value, list) and tuple in kinds:
        return tuple(value)
    if isinstance(value, Mapping) and Mapping in kinds:
        return value
    wanted = " or ".join(_KINDS.get(kind, "a mapping") for kind in kinds)
    raise error(f"{key}={value}: expected {wanted}")


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


def require_names(key: str, names: Any, known: Iterable[str], alternative: str = "") -> None:
    """Raise DataError unless the value is a list of different names, all of them known.

    alternative: what else the value may be, for the message.
    """
    known = tuple(known)
    good = isinstance(names, list | tuple) and names and all(name in known for name in names)
    if not good or len(set(names)) < len(names):
        raise DataError(
            f"{key}={names}: must be {alternative}a list of different names from {', '.join(known)}"
        )


def require_flags(options: object, *keys: str) -> None:
    """Raise DataError unless each of the attributes is true or false."""
    for key in keys:
        if not isinstance(getattr(options, key), bool):
            raise DataError(f"{key}={getattr(options, key)}: must be true or false")
