"""The exception that bad input raises, and the checks of options that raise it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

KINDS = {int: "a whole number", bool: "true or false", str: "a text"}


class UserError(ValueError):
    """Bad input, told in one line that names the file, key or option and the remedy."""


def did_you_mean(name: str, known: Iterable[str], n: int = 3) -> str:
    """The end of a message about an unknown name: near matches if there are any, else all that is known."""
    known = sorted(known)
    by_lower = {word.lower(): word for word in known}
    near = get_close_matches(name.lower(), by_lower, n=n, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(by_lower[word] for word in near) + "?"
    return "known: " + ", ".join(known) if known else "none is accepted here"


def require(config: Mapping[str, Any], **types: tuple[type, ...]) -> None:
    """Raise UserError unless each key has a value of one of the types."""
    for key, kinds in types.items():
        value = config[key]
        if value is None or value == "???":
            raise UserError(f"{key}: is missing; say {key}=...")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{key}={value}: expected {' or '.join(KINDS[kind] for kind in kinds)}")


def require_at_least(config: Mapping[str, Any], **least: int) -> None:
    """Raise UserError unless each key holds a whole number that is not smaller."""
    for key, bound in least.items():
        require(config, **{key: (int,)})
        if config[key] < bound:
            raise UserError(f"{key}={config[key]}: expected at least {bound}")
