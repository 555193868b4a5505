"""Notes of an import, without repetitions."""

from __future__ import annotations

import re
from collections.abc import Iterable


def merge_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Return notes with one line for those that differ in names and numbers alone."""
    merged: dict[str, list[str]] = {}
    for note in notes:
        merged.setdefault(re.sub(r"\d+", "#", note.rpartition(": ")[2]), []).append(note)
    return tuple(
        group[0] if len(group) == 1 else f"{group[0]} (and {len(group) - 1} others alike)"
        for group in (list(dict.fromkeys(group)) for group in merged.values())
    )
