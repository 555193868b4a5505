"""Files of an evaluation: metrics.json, curves.csv, bounds.csv, table.md, errors.png."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seqvae.disk import write_whole
from seqvae.evaluate.bounds import NO_BOUND, Bound
from seqvae.evaluate.plot import draw_errors
from seqvae.evaluate.scores import Scores
from seqvae.metrics import Estimate

SCHEMA = 1  # raise when a key of metrics.json changes its meaning


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation found, with what it was done on (config, names)."""

    scores: Scores
    about: dict[str, Any]
    bound: Bound | None = None
    uncertainty: dict[str, Estimate] = field(default_factory=dict)
    long: dict[int, dict[str, Estimate]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every number with its standard error and n."""
        return {
            "schema_version": SCHEMA,
            "package_version": package_version(),
            "git_commit": git_commit(),
            **self.about,
            "sequences": self.scores.n,
            "context": self.scores.context,
            "horizon": self.scores.horizon,
            "table": _plain(self.scores.table()),
            "shares": _plain(self.scores.shares),
            "counts": None if self.scores.counts is None else self.scores.counts.tolist(),
            "bound": self._bound(),
            "uncertainty": _plain(self.uncertainty),
            "long": _plain(self.long),
        }

    def _bound(self) -> dict[str, Any] | None:
        if self.bound is None:
            return None
        about = {} if self.bound.elbo else {"about": f"{NO_BOUND}: {', '.join(self.bound.unnormalised)}"}
        return about | {key: x for key, x in _plain(self.bound).items() if key != "by_sequence"}

    def markdown(self) -> str:
        """The table for people."""
        scores = self.scores
        lines = [
            f"{scores.n} sequences, context of {scores.context} frames, horizon {scores.horizon}. "
            "Mean and standard error; positions and velocities in half-widths.\n"
        ]
        for quantity in dict.fromkeys(q for curves in scores.curves.values() for q in curves):
            lines += [*_table(self._rows(quantity), quantity.replace("_", " ")), ""]
        shares = _values(scores.shares) | _values(self.uncertainty)
        if self.bound is not None:
            shares |= self._bound_values(self.bound)
        if shares:
            lines += [*_table({name: {"value": value} for name, value in shares.items()}), ""]
        if scores.counts is not None:
            frames = [[str(frames) for frames in row] for row in scores.counts]
            rows = {f"{n}": {f"counted {m}": x for m, x in enumerate(row)} for n, row in enumerate(frames)}
            lines += [*_table(rows, "objects in a frame"), ""]
        if self.long:
            by_frame = {f"predicted frame {frame:,}": _values(v) for frame, v in self.long.items()}
            lines += [*_table(by_frame), ""]
        return "\n".join(lines)

    def _rows(self, quantity: str) -> dict[str, dict[str, str]]:
        """Row -> cells of one error, under short column names: "1_10" as "predicted 1-10"."""
        start = f"{quantity}_"
        rows = {}
        for row, columns in self.scores.table().items():
            cells = {c.removeprefix(start): _number(v) for c, v in columns.items() if c.startswith(start)}
            if cells:
                rows[row] = {_column(name): value for name, value in cells.items()}
        return rows

    @staticmethod
    def _bound_values(bound: Bound) -> dict[str, str]:
        frames = f"frames {bound.first}-{bound.last}"
        if bound.elbo is None:
            return {"ELBO": NO_BOUND, f"objective, nats a frame, {frames}": _number(bound.objective)}
        return {
            f"ELBO, nats a frame, {frames}": _number(bound.elbo),
            f"IWAE-{bound.samples}, nats a frame, {frames}": _number(bound.iwae),
        }


def write_report(report: Report, out: Path) -> list[Path]:
    """Write metrics.json, curves.csv, table.md, errors.png, with a bound bounds.csv; returns the paths."""
    out.mkdir(parents=True, exist_ok=True)
    text = {
        "metrics.json": json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n",
        "curves.csv": _curves_csv(report.scores),
        "table.md": report.markdown(),
    }
    if report.bound is not None:
        text["bounds.csv"] = _bounds_csv(report.bound)
    for name, content in text.items():
        write_whole(out / name, lambda file, content=content: file.write(content.encode()))
    write_whole(out / "errors.png", lambda file: draw_errors(report.scores, file))
    return [out / name for name in (*text, "errors.png")]


def _bounds_csv(bound: Bound) -> str:
    """Sequence by sequence, so that two models can be compared on the same ones."""
    lines = [f"{i},{nats}" for i, nats in enumerate(bound.by_sequence)]
    return "\n".join(["sequence,nats_a_frame", *lines, ""])


def package_version() -> str:
    """Version of the installed package; "unknown" in a tree that is not installed."""
    try:
        return version("seqvae")
    except PackageNotFoundError:
        return "unknown"


def git_commit() -> str | None:
    """The commit of the code's checkout, with "+changes" where tracked files differ; None outside of git."""
    folder = Path(__file__).parent

    def git(*command: str) -> str:
        options = {"cwd": folder, "capture_output": True, "text": True, "timeout": 10, "check": True}
        return subprocess.run(["git", *command], **options).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # installed inside a foreign repository
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _plain(value: Any) -> Any:
    """Dataclasses and mappings as dicts; numbers that are not finite as None, which JSON can hold."""
    if is_dataclass(value):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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


def _number(value: Estimate) -> str:
    if math.isnan(value.se):
        return f"{value.mean:.4g}"
    return f"{value.mean:.4f} ± {value.se:.4f}"


def _values(estimates: dict[str, Estimate]) -> dict[str, str]:
    return {name: _number(value) for name, value in estimates.items()}


def _column(name: str) -> str:
    if name == "reconstruction":
        return name
    span = name.removesuffix("_sum").replace("_", "-")
    return f"sum of {span}" if name.endswith("_sum") else f"predicted {span}"


def _table(rows: dict[str, dict[str, str]], title: str = "") -> list[str]:
    """Lines of a markdown table, padded so that it also reads as plain text; missing cells stay empty."""
    columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    lines = [[title, *columns], *([row, *(cells.get(c, "") for c in columns)] for row, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
