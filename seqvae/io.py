"""Files that appear complete or not at all (see data_gen.io)."""

from __future__ import annotations

from data_gen.io import TEMPORARY, atomic_write

__all__ = ["TEMPORARY", "atomic_write"]
