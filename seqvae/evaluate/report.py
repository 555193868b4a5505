"""Files of an evaluation: metrics.json, curves.csv, bounds.csv, table.md, errors.png."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from data_gen import __version__
from seqvae.evaluate.bounds import NO_BOUND, Bound
from seqvae.evaluate.commit import git_commit
from seqvae.evaluate.curves import draw_errors
from seqvae.evaluate.scores import SHORT, Scores
from seqvae.io import write_whole
from seqvae.metrics import Estimate

# Tables of an evaluation for people, in Markdown.

SPANS = ("reconstruction", "attention", f"at_{SHORT}", f"1_{SHORT}")  # of scores of masks


def number(value: Estimate) -> str:
    """A mean with its standard error, if it has one."""
    if math.isnan(value.se):
        return f"{value.mean:.4g}"
    return f"{value.mean:.4f} ± {value.se:.4f}"


def values(estimates: dict[str, Estimate]) -> dict[str, str]:
    """The same of every name."""
    return {name: number(value) for name, value in estimates.items()}


def span_of(name: str) -> str:
    """The frames that a score of masks is taken from: "fg_ari_at_10" -> "at_10"."""
    return next(span for span in SPANS if name.endswith(f"_{span}"))


def column(name: str) -> str:
    """The words for a span: "1_10" -> "predicted 1-10"."""
    if name in ("reconstruction", "attention"):
        return name
    if name.startswith("at_"):
        return f"predicted {name.removeprefix('at_')}"
    span = name.removesuffix("_sum").replace("_", "-")
    return f"sum of {span}" if name.endswith("_sum") else f"predicted {span}"


def table(rows: dict[str, dict[str, str]], title: str = "") -> list[str]:
    """Lines of a markdown table, padded so that it also reads as plain text; missing cells stay empty."""
    columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    lines = [[title, *columns], *([row, *(cells.get(c, "") for c in columns)] for row, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]


SCHEMA = 2  # raise when a key of metrics.json changes its meaning


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation found, with what it was done on (config, names)."""

    scores: Scores
    about: dict[str, Any]
    bound: Bound | None = None
    uncertainty: dict[str, Estimate] = field(default_factory=dict)
    long: dict[int, dict[str, Estimate]] = field(default_factory=dict)
    under_encoder: Bound | None = None  # of later frames, given the encoder's states of the first ones

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every number with its standard error and n."""
        return {
            "schema_version": SCHEMA,
            "package_version": __version__,
            "git_commit": git_commit(),
            **self.about,
            "sequences": self.scores.n,
            "sources": self.scores.sources,
            "context": self.scores.context,
            "horizon": self.scores.horizon,
            "table": _plain(self.scores.table()),
            "shares": _plain(self.scores.shares),
            "segmentation": _plain(self.scores.segmentation),
            "counts": None if self.scores.counts is None else self.scores.counts.tolist(),
            "bound": self._bound(self.bound),
            "under_encoder": self._bound(self.under_encoder),
            "uncertainty": _plain(self.uncertainty),
            "long": _plain(self.long),
        }

    @staticmethod
    def _bound(bound: Bound | None) -> dict[str, Any] | None:
        if bound is None:
            return None
        about = {}
        if bound.elbo is None:
            about = {"about": f"{NO_BOUND}: {', '.join(bound.unnormalised)}"}
        elif not bound.whole:
            about = {"about": _under_encoder(bound)}
        arrays = ("by_sequence", "sources")
        return about | {key: x for key, x in _plain(bound).items() if key not in arrays}

    def markdown(self) -> str:
        """The table for people."""
        scores = self.scores
        of = "" if scores.sources is None else f" made from {scores.sources} sources, which are the samples"
        lines = [
            f"{scores.n} sequences{of}, context of {scores.context} frames, horizon {scores.horizon}. "
            "Mean and standard error; positions and velocities in half-widths.\n"
        ]
        for quantity in dict.fromkeys(q for curves in scores.curves.values() for q in curves):
            lines += [*table(self._rows(quantity), quantity.replace("_", " ")), ""]
            lines += self._strongest(quantity) + self._left_out(quantity)
        spans = (span_of(name) for of_row in scores.segmentation.values() for name in of_row)
        for span in dict.fromkeys(spans):
            lines += [*table(self._mask_rows(span), f"masks, {column(span)}"), ""]
        masks = scores.segmentation.get("model", {})
        shares = {name: x for name, x in scores.shares.items() if name not in masks}
        shares = values(shares) | values(self.uncertainty)
        bounds = [bound for bound in (self.bound, self.under_encoder) if bound is not None]
        for bound in bounds:
            shares |= self._bound_values(bound)
        if shares:
            lines += [*table({name: {"value": value} for name, value in shares.items()}), ""]
        lines += [f"{_under_encoder(x)}.\n" for x in bounds if x.elbo is not None and not x.whole]
        if scores.counts is not None:
            frames = [[str(frames) for frames in row] for row in scores.counts]
            rows = {f"{n}": {f"counted {m}": x for m, x in enumerate(row)} for n, row in enumerate(frames)}
            lines += [*table(rows, "objects in a frame"), ""]
        if self.long:
            by_frame = {f"predicted frame {frame:,}": values(v) for frame, v in self.long.items()}
            lines += [*table(by_frame), ""]
        return "\n".join(lines)

    def _rows(self, quantity: str) -> dict[str, dict[str, str]]:
        """Row -> cells of one error, under short column names: "1_10" as "predicted 1-10"."""
        start = f"{quantity}_"
        rows = {}
        for row, columns in self.scores.table().items():
            cells = {c.removeprefix(start): number(v) for c, v in columns.items() if c.startswith(start)}
            if cells:
                rows[row] = {column(name): value for name, value in cells.items()}
        return rows

    def _strongest(self, quantity: str) -> list[str]:
        """A line that names the baselines with the least error, over predicted 1-10 and over all."""
        last = self.scores.horizon
        spans = dict.fromkeys(f"1_{length}" for length in (min(SHORT, last), last))
        found = {span: self.scores.strongest(f"{quantity}_{span}") for span in spans}
        told = [f"{row} ({column(span)})" for span, row in found.items() if row]
        return [f"Strongest baseline: {'; '.join(told)}.", ""] if told else []

    def _left_out(self, quantity: str) -> list[str]:
        """A line that says in how many of the model's frames there is no such error, if in any."""
        curve = self.scores.curves["model"].get(quantity)
        share = 0.0 if curve is None else curve.left_out
        return [f"Without objects, and left out: {share:.2%} of the frames.", ""] if share else []

    def _mask_rows(self, span: str) -> dict[str, dict[str, str]]:
        """Row -> cells of one span's scores of masks, under their short names."""
        found = {
            row: {name.removesuffix(f"_{span}").replace("_", " "): number(x) for name, x in scores.items()
                  if span_of(name) == span}
            for row, scores in self.scores.segmentation.items()
        }  # fmt: skip
        return {row: cells for row, cells in found.items() if cells}

    @staticmethod
    def _bound_values(bound: Bound) -> dict[str, str]:
        frames = f"nats a frame, frames {bound.first}-{bound.last}"
        if bound.elbo is None:
            return {"ELBO": NO_BOUND, f"objective, {frames}": number(bound.objective)}
        given = "" if bound.whole else f" under q(z_{_span(1, bound.first - 1)} | x)"
        return {
            f"ELBO, {frames}{given}": number(bound.elbo),
            f"IWAE-{bound.samples}, {frames}{given}": number(bound.iwae),
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


def _under_encoder(bound: Bound) -> str:
    """What the numbers of later frames bound, and what not."""
    before, after = _span(1, bound.first - 1), _span(bound.first, bound.last)
    return (
        f"The numbers of frames {bound.first}-{bound.last} bound log E[p(x_{after} | z_{before})] under the "
        f"encoder's q(z_{before} | x_{before}), which can exceed log p(x_{after} | x_{before}) by any amount"
    )


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}:{last}"


def _bounds_csv(bound: Bound) -> str:
    """Sequence by sequence, so that two models can be compared on the same ones; with their sources."""
    lines = [f"{i},{nats}" for i, nats in enumerate(bound.by_sequence)]
    if bound.sources is None:
        return "\n".join(["sequence,nats_a_frame", *lines, ""])
    named = (" ".join(map(str, of)) for of in bound.sources)
    rows = (f"{line},{of}" for line, of in zip(lines, named, strict=True))
    return "\n".join(["sequence,nats_a_frame,sources", *rows, ""])


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
