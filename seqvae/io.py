"""Files that appear complete or not at all (see data_gen.io)."""

from __future__ import annotations

from data_gen.io import TEMPORARY
from data_gen.io import atomic_write as write_whole

__all__ = ["TEMPORARY", "write_whole"]
