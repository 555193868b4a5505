"""Scores of each sequence, in a file, so that two evaluations can be compared on the same sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float, Int

from seqvae.errors import UserError
from seqvae.evaluate.scores import Scores

FILE = "sequences.npz"
MODEL = "model"


@dataclass(frozen=True)
class SequenceScores:
    """Scores of each sequence.

    rows: row (the model, a baseline) -> column -> n; NaN where a score is undefined or not finite
    sources: n s, sources of the sequences (metrics.statistics), None where they are independent
    """

    rows: Mapping[str, Mapping[str, Float[np.ndarray, "n"]]]
    sources: Int[np.ndarray, "n s"] | None = None


def write_sequence_scores(scores: Scores, file: BinaryIO) -> None:
    """Write an .npz: `values` "m n", with names in `rows` and `columns`, and `sources` if there are any."""
    named = [
        (row, column, x) for row, columns in scores.by_sequence().items() for column, x in columns.items()
    ]
    arrays: dict[str, np.ndarray] = {
        "rows": np.array([row for row, _, _ in named], dtype=str),
        "columns": np.array([column for _, column, _ in named], dtype=str),
        "values": np.array([x for _, _, x in named], dtype=np.float64).reshape(len(named), scores.n),
    }
    if scores.source_names is not None:
        arrays["sources"] = scores.source_names
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_sequence_scores(path: Path) -> SequenceScores:
    """Read the file of `write_sequence_scores`.

    Raises:
        UserError: it is damaged, or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = zip(arrays["rows"].tolist(), arrays["columns"].tolist(), strict=True)
            values = np.asarray(arrays["values"], dtype=np.float64)
            rows: dict[str, dict[str, np.ndarray]] = {}
            for (row, column), x in zip(names, values, strict=True):
                rows.setdefault(row, {})[column] = x
            return SequenceScores(rows, arrays.get("sources"))
    except Exception:  # NumPy may fail in any way on bytes that it did not write
        raise UserError(f"{path}: is no file of scores, or is damaged; evaluate the run again") from None
