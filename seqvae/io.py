"""Files that appear complete or not at all (data_gen/io.py), and progress bars (data_gen/progress.py)."""

from __future__ import annotations

from data_gen.io import TEMPORARY, atomic_write
from data_gen.progress import show_progress, track

__all__ = ["TEMPORARY", "atomic_write", "show_progress", "track"]
