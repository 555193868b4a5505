"""Files that appear complete or not at all (data_gen/io.py), and progress bars (data_gen/progress.py)."""

from __future__ import annotations

from data_gen.ending import SIGNALS, last_words, leave, let_speak, speaks, tell_at_signal
from data_gen.io import (
    TEMPORARY,
    UnwritableError,
    atomic_write,
    is_nested_deeply,
    is_refusal,
    parse_json,
    report_unwritable,
    scratch_path,
    unreadable,
)
from data_gen.locks import output_folder, take_lock
from data_gen.progress import show_progress, track

__all__ = [
    "SIGNALS",
    "TEMPORARY",
    "UnwritableError",
    "atomic_write",
    "is_nested_deeply",
    "is_refusal",
    "last_words",
    "leave",
    "let_speak",
    "output_folder",
    "parse_json",
    "report_unwritable",
    "scratch_path",
    "show_progress",
    "speaks",
    "take_lock",
    "tell_at_signal",
    "track",
    "unreadable",
]
