"""Files of an evaluation, as records."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from seqvae.errors import UserError
from seqvae.evaluate import by_sequence
from seqvae.evaluate.report import METRICS, SCHEMA
from seqvae.io import parse_json, unreadable
from seqvae.metrics import Estimate

CURVES, TABLE, BOUNDS = "curves.csv", "table.md", "bounds.csv"
Row = dict[str, Estimate]


@dataclass(frozen=True)
class FrameCurve:
    """Error of one row at each frame.

    frame: numbers of frames, from 1
    mean, se: over sequences; NaN where there is none
    """

    frame: Int[np.ndarray, "t"]
    mean: Float[np.ndarray, "t"]
    se: Float[np.ndarray, "t"]


@dataclass(frozen=True)
class Evaluation:
    """The files of an evaluation; what older ones do not have is empty or None.

    folder: folder of the files
    metrics: content of metrics.json
    curves: quantity -> row (the model, a baseline) -> curve
    scores: scores of each sequence
    nats: n, bound or objective of each of the first sequences, nats per frame
    videos: comparison videos, in order
    """

    folder: Path
    metrics: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, FrameCurve]] = field(default_factory=dict)
    scores: by_sequence.SequenceScores | None = None
    nats: Float[np.ndarray, "n"] | None = None
    videos: tuple[Path, ...] = ()

    @property
    def schema(self) -> int | None:
        """Version of the meaning of the keys in metrics.json."""
        version = self.metrics.get("schema_version")
        return version if isinstance(version, int) else None

    @property
    def is_current(self) -> bool:
        """True if this version of the code gives the keys the same meaning."""
        return self.schema == SCHEMA

    @property
    def context(self) -> int:
        """Number of frames given."""
        return self._count("context")

    @property
    def horizon(self) -> int:
        """Number of frames predicted."""
        return self._count("horizon")

    @property
    def is_of_images(self) -> bool:
        """Whether the data are single images."""
        return self.context == 1 and self.horizon == 0

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return self._count("sequences")

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the command that made it."""
        return self.mapping("config")

    @property
    def data(self) -> str | None:
        """Path of the data, as the command had it."""
        path = self.options.get("data")
        return path if isinstance(path, str) else None

    @property
    def table(self) -> dict[str, Row]:
        """Row -> column -> value; numbers that are not finite are NaN."""
        rows = self.mapping("table").items()
        return {row: estimates(columns) for row, columns in rows if isinstance(columns, Mapping)}

    @property
    def data_key(self) -> tuple[Any, ...]:
        """Identity of the test sequences and of the lengths: evaluations with equal keys can be paired.

        The data of an evaluation without a checksum are known by their path alone.
        """
        digest = self.metrics.get("data_sha256") or f"path {self.data}"
        return digest, self.sequences, self.context, self.horizon

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a mapping of metrics.json, empty where there is none."""
        found = self.metrics.get(key)
        return found if isinstance(found, Mapping) else {}

    def numbers(self) -> Row:
        """Return the numbers of the model: errors, shares, masks, bounds and sampled futures."""
        found = dict(self.table.get("model", {}))
        for key in ("shares", "uncertainty"):
            found |= estimates(self.mapping(key))
        bound = self.mapping("bound")
        names = ("elbo", "iwae") if bound.get("elbo") else ("objective",)
        return found | {name: value for name, value in estimates(bound).items() if name in names}

    def _count(self, key: str) -> int:
        value = self.metrics.get(key)
        return value if isinstance(value, int) else 0


def read_evaluation(folder: Path) -> Evaluation | None:
    """Read the files of an evaluation; None where there is none.

    Raises:
        UserError: a file of it is damaged.
    """
    if not (folder / METRICS).is_file():
        return None
    metrics = _read_metrics(folder / METRICS)
    curves, scores, nats = folder / CURVES, folder / by_sequence.FILE, folder / BOUNDS
    return Evaluation(
        folder,
        metrics,
        _read_curves(curves) if curves.is_file() else {},
        by_sequence.read_sequence_scores(scores) if scores.is_file() else None,
        _read_nats(nats) if nats.is_file() else None,
        tuple(sorted(folder.glob("comparison_*.mp4"), key=_number)),
    )


def estimates(values: Mapping[str, Any]) -> Row:
    """Return the entries of plain data that are means with standard errors; null is NaN."""
    found = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and {"mean", "se", "n"} <= value.keys():
            mean, se, n = (_number_or_nan(value[key]) for key in ("mean", "se", "n"))
            found[name] = Estimate(mean, se, int(n) if math.isfinite(n) else 0)
    return found


def _number_or_nan(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else float("nan")
    except OverflowError:  # of a whole number with hundreds of digits
        return float("nan")


def _read_metrics(path: Path) -> Mapping[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(str(unreadable(path, error))) from None
    except ValueError:
        raise UserError(f"{path}: is damaged; evaluate the run again") from None
    if not isinstance(content, dict) or "table" not in content:
        raise UserError(f"{path}: holds no evaluation; evaluate the run again")
    return content


def _read_curves(path: Path) -> dict[str, dict[str, FrameCurve]]:
    points: dict[str, dict[str, list[tuple[int, float, float]]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                rows = points.setdefault(line["quantity"], {})
                point = int(line["frame"]), float(line["mean"]), float(line["se"])
                rows.setdefault(line["row"], []).append(point)
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is damaged; evaluate the run again") from None
    return {
        quantity: {row: FrameCurve(*map(np.array, zip(*curve, strict=True))) for row, curve in rows.items()}
        for quantity, rows in points.items()
    }


def _read_nats(path: Path) -> Float[np.ndarray, "n"]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return np.array([float(line["nats_a_frame"]) for line in csv.DictReader(file)])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is damaged; evaluate the run again") from None


def _number(path: Path) -> tuple[int, str]:
    """Sort "comparison_10" behind "comparison_2"."""
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0, path.name
