"""The exception that bad input raises, and the checks of options that raise it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_gen.errors import MissingWorld, checked_fields, did_you_mean

__all__ = ["MissingPart", "MissingWorld", "UserError", "checked_fields", "did_you_mean", "require_at_least"]


class UserError(ValueError):
    """Bad input, told in one line that names the file, key or option and the remedy."""


class MissingPart(UserError):
    """A part that nobody has registered. target: its dotted name"""

    def __init__(self, message: str, target: str):
        super().__init__(message)
        self.target = target


def require_at_least(values: Mapping[str, Any], **least: int) -> None:
    """Raise UserError unless each key holds a number that is not smaller, or None."""
    for key, bound in least.items():
        if values[key] is not None and values[key] < bound:
            raise UserError(f"{key}={values[key]}: expected at least {bound}")
