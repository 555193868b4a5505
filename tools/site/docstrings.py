"""Griffe extension: the lists in this project's docstrings, as sections of Google style.

A docstring here lists attributes and arguments one per line, `name: shape, unit, meaning`, without a title
above them. The reference shows such a list as a section. A name that the object does not have is a warning.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Class, Extension, Function, Object, get_logger

logger = get_logger(__name__)
ITEM = re.compile(r"^(?P<names>\w+(?:, \w+)*): \S")  # a continuation is indented


class Lists(Extension):
    """Give the lists of parameters and attributes the titles that griffe knows."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a function or class. griffe calls this when a package has been read."""
        if obj.docstring is None or not isinstance(obj, Function | Class):
            return
        parameters = {p.name.lstrip("*") for p in obj.parameters}
        attributes = _attributes(obj) if isinstance(obj, Class) else set()
        parts = obj.docstring.value.split("\n\n")
        obj.docstring.value = "\n\n".join(
            _with_title(part, parameters, attributes, obj.path) for part in parts
        )


def _attributes(cls: Class) -> set[str]:
    """Return the names of a class's attributes and of its arguments, also those of its bases here."""
    names: set[str] = set()
    for kind in (cls, *cls.mro()):
        names |= set(kind.members) | set(re.findall(r"\bself\.(\w+)", kind.source))
        names |= {p.name for p in kind.parameters}
    return names


def _with_title(part: str, parameters: set[str], attributes: set[str], path: str) -> str:
    """Return a paragraph with a title and indented, if it is a list of names that the object has."""
    lines = part.split("\n")
    matches = [ITEM.match(line) for line in lines if not line.startswith(" ")]
    if not all(matches):
        return part
    names = {name for match in matches if match for name in match["names"].split(", ")}
    if not names & (parameters | attributes):
        return part
    for name in sorted(names - parameters - attributes):
        logger.warning(f"{path}: the docstring names {name!r}, which is no part of it")
    title = "Attributes" if names - parameters and attributes else "Args"
    items = [item for line in lines for item in _one_per_name(line)]
    return "\n".join([f"{title}:", *(f"    {item}" for item in items)])


def _one_per_name(line: str) -> list[str]:
    """Return an item for each name of `height, width: pixels`; other lines as they are."""
    match = ITEM.match(line)
    if match is None:
        return [line]
    meaning = line[match.end("names") :]
    return [f"{name}{meaning}" for name in match["names"].split(", ")]
