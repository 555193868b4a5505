"""Files of an evaluation: metrics.json, curves.csv, bounds.csv, table.md, sequences.npz, plots of errors."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from data_gen import __version__
from seqvae.evaluate import by_sequence
from seqvae.evaluate.bounds import NO_BOUND, Bound
from seqvae.evaluate.figures import write_errors
from seqvae.evaluate.markdown import explain_under_encoder, render
from seqvae.evaluate.scores import Scores
from seqvae.io import atomic_write, report_unwritable
from seqvae.metrics import Estimate
from seqvae.provenance import git_commit, versions

METRICS = "metrics.json"
SCHEMA = 2  # raise when a key of metrics.json changes its meaning


@dataclass(frozen=True)
class Report:
    """Results of an evaluation, with the model and data that it was done on.

    scores: errors, shares and masks
    about: config and names, added to metrics.json as they are
    bound: bound of whole sequences, or of later frames for models without a normalised one
    uncertainty: errors and coverages of sampled futures
    long: predicted frame -> values of long rollouts
    under_encoder: bound of later frames, given the encoder's states of the first ones
    calibration: span of predicted frames -> level -> coverage of the central interval of sampled futures
    """

    scores: Scores
    about: dict[str, Any]
    bound: Bound | None = None
    uncertainty: dict[str, Estimate] = field(default_factory=dict)
    long: dict[int, dict[str, Estimate]] = field(default_factory=dict)
    under_encoder: Bound | None = None
    calibration: dict[str, dict[float, Estimate]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: every number with its standard error and n."""
        return {
            "schema_version": SCHEMA,
            "package_version": __version__,
            "git_commit": git_commit(),
            "versions": versions(),
            **self.about,
            "sequences": self.scores.n,
            "sources": self.scores.sources,
            "context": self.scores.context,
            "horizon": self.scores.horizon,
            "table": _plain(self.scores.table()),
            "shares": _plain(self.scores.shares),
            "segmentation": _plain(self.scores.segmentation),
            "tracked": self.scores.tracked,
            "counts": None if self.scores.counts is None else self.scores.counts.tolist(),
            "bound": _plain_bound(self.bound),
            "under_encoder": _plain_bound(self.under_encoder),
            "uncertainty": _plain(self.uncertainty),
            "calibration": _plain(self.calibration),
            "long": _plain(self.long),
        }

    def markdown(self) -> str:
        """Return the tables for people."""
        bounds = [bound for bound in (self.bound, self.under_encoder) if bound is not None]
        return render(self.scores, bounds, self.uncertainty, self.long)


def write_report(report: Report, out: Path) -> list[Path]:
    """Write the files of an evaluation, with a bound bounds.csv, with errors over time their plot.

    metrics.json comes last, and an older one is removed first, so that a folder with it holds all files of
    one evaluation. Returns the paths.
    """
    out.mkdir(parents=True, exist_ok=True)
    remove_metrics(out)
    text = {"curves.csv": _curves_csv(report.scores), "table.md": report.markdown()}
    if report.bound is not None:
        text["bounds.csv"] = _bounds_csv(report.bound)
    for name, content in text.items():
        _write_text(out / name, content)
    scores = report.scores
    atomic_write(out / by_sequence.FILE, lambda file: by_sequence.write_sequence_scores(scores, file))
    plots = write_errors(scores, out / "errors")
    _write_text(out / METRICS, json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n")
    return [*(out / name for name in (METRICS, *text, by_sequence.FILE)), *plots]


def remove_metrics(out: Path) -> None:
    """Remove the metrics.json of an older evaluation, before other files of it are replaced."""
    with report_unwritable(out / METRICS):
        (out / METRICS).unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    atomic_write(path, lambda file: file.write(text.encode()))


# Plain data for JSON.


def _plain_bound(bound: Bound | None) -> dict[str, Any] | None:
    if bound is None:
        return None
    about = {}
    if bound.elbo is None:
        about = {"about": f"{NO_BOUND}: {', '.join(bound.unnormalised)}"}
    elif not bound.whole:
        about = {"about": explain_under_encoder(bound)}
    arrays = ("by_sequence", "sources")
    return about | {key: x for key, x in _plain(bound).items() if key not in arrays}


def _plain(value: Any) -> Any:
    """Return dataclasses and mappings as dicts; numbers that are not finite as None, which JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# Tables for programs.


def _bounds_csv(bound: Bound) -> str:
    """Return nats per frame by sequence, so that two models can be compared on the same ones."""
    lines = [f"{i},{nats}" for i, nats in enumerate(bound.by_sequence)]
    if bound.sources is None:
        return "\n".join(["sequence,nats_a_frame", *lines, ""])
    sources = (" ".join(map(str, row)) for row in bound.sources)
    rows = (f"{line},{names}" for line, names in zip(lines, sources, strict=True))
    return "\n".join(["sequence,nats_a_frame,sources", *rows, ""])


def _curves_csv(scores: Scores) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "quantity", "frame", "predicted", "mean", "se", "n"])
    for row, quantities in scores.curves.items():
        for quantity, curve in quantities.items():
            for frame, value in curve.by_frame().items():
                predicted = max(0, frame - scores.context)
                writer.writerow([row, quantity, frame, predicted, value.mean, value.se, value.n])
    return text.getvalue()
