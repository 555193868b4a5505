"""The exception that bad input raises, and the checks of options that raise it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_gen.errors import checked_fields, did_you_mean

__all__ = ["UserError", "checked_fields", "did_you_mean", "require", "require_at_least"]

KINDS = {int: "a whole number", bool: "true or false", str: "a text"}


class UserError(ValueError):
    """Bad input, told in one line that names the file, key or option and the remedy."""


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
