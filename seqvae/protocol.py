"""The check that a part of a model has what its kind, a base class or a protocol, asks for."""

from __future__ import annotations

import inspect
from typing import Any

from seqvae.errors import UserError


def require_members(made: Any, kind: type, name: str) -> None:
    """Raise UserError unless an object has every method and attribute of its kind.

    A method has to take the arguments that the kind's has. A base class marks the methods without a default
    as abstract; of a protocol every member is needed.

    name: of the object, for messages
    """
    is_protocol = getattr(kind, "_is_protocol", False)
    if not is_protocol and not isinstance(made, kind):
        raise UserError(
            f"{name}: is registered as {_words(kind)}, so derive it from {kind.__module__}.{kind.__name__}"
        )
    for method, function in _methods(kind).items():
        own = getattr(type(made), method, None)
        if own is None or own is function and is_protocol or getattr(own, "__isabstractmethod__", False):
            raise UserError(f"{name} has no method {method}{_arguments(function)}: {_first_line(function)}")
        _require_arguments(getattr(made, method), function, f"{name}.{method}")
    for attribute in _attributes(kind):
        if not hasattr(made, attribute):
            raise UserError(
                f"{name} has no attribute {attribute}; set it in __init__ or in the class, as "
                f"{kind.__module__}.{kind.__name__} describes"
            )


def _methods(kind: type) -> dict[str, Any]:
    """Return the functions that the kind itself and its own base classes define."""
    found: dict[str, Any] = {}
    for base in _bases(kind):
        found |= {
            name: value
            for name, value in vars(base).items()
            if inspect.isfunction(value) and (not name.startswith("_") or name == "__call__")
        }
    return found


def _attributes(kind: type) -> list[str]:
    """Return the annotated names that have no default in the kind."""
    return [n for base in _bases(kind) for n in vars(base).get("__annotations__", {}) if not hasattr(kind, n)]


def _bases(kind: type) -> list[type]:
    return [base for base in reversed(kind.__mro__) if base.__module__ == kind.__module__]


def _require_arguments(own: Any, function: Any, name: str) -> None:
    """Raise UserError unless a method takes the arguments of the kind's, by position."""
    signature = inspect.signature(own)
    try:
        signature.bind(*[None] * (len(inspect.signature(function).parameters) - 1))
    except TypeError:
        got = f"({', '.join(signature.parameters)})"
        raise UserError(f"{name}: expected the arguments {_arguments(function)}, got {got}") from None


def _arguments(function: Any) -> str:
    names = list(inspect.signature(function).parameters)[1:]
    return f"({', '.join(names)})"


def _first_line(function: Any) -> str:
    return (inspect.getdoc(function) or "see its base class").partition("\n")[0]


def _words(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
