"""Tables of what `python -m seqvae evaluate` found, over the seeds of a row; see results.py and family.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

ROOT = Path("runs/results")
SPANS = {"1_10": "predicted 1-10", "1_50": "1-50", "1_92": "1-92"}
QUANTITIES = {"position_error": "position error", "pixel_mse": "pixel MSE"}
SHARES = ("found", "context_swap")
# Kossen et al. 2020 (arXiv 1910.02425), mean over predicted 1-10; recalled, not checked against the paper
RECALLED = {
    ("billiards", "position_error"): {"STOVE": 0.042},
    ("billiards", "pixel_mse"): {"STOVE": 0.024, "VRNN": 0.053},
    ("gravity", "position_error"): {"STOVE": 0.014},
    ("gravity", "pixel_mse"): {"STOVE": 0.004},
}
Result = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One model on one world: what is said to `train`, and beside that to `evaluate`.

    sim: the world, or the name of the folder in data/ where `make` says how it is made. late: goes on from
    another row, so it waits for all those that do not. asked: only trained where it is asked for by name.
    """

    name: str
    sim: str
    train: tuple[str, ...]
    seeds: int = 3
    evaluate: tuple[str, ...] = ("videos=1", "iwae=0")
    make: tuple[str, ...] = ()
    late: bool = False
    asked: bool = False

    @property
    def data(self) -> str:
        return f"data/{self.sim}"

    def run(self, seed: int) -> Path:
        slug = "".join(c if c.isalnum() else "_" for c in self.name.lower())
        return ROOT / f"{self.sim}-{slug}-{seed}"

    def metrics(self, seed: int) -> Path:
        return self.run(seed) / "evaluation" / "metrics.json"

    def done(self) -> list[int]:
        """The seeds that are trained and evaluated."""
        return [seed for seed in range(self.seeds) if self.metrics(seed).is_file()]

    def results(self) -> list[Result]:
        """What `evaluate` found, seed by seed."""
        return [json.loads(self.metrics(seed).read_text(encoding="utf-8")) for seed in self.done()]


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table."""
    for cells in (head, ["---"] * len(head), *lines):
        yield "| " + " | ".join(cells) + " |"


def error_table(sim: str, quantity: str, rows: Sequence[Row]) -> Iterator[str]:
    """The errors of all models of a world, of the baselines, and of the paper where it is recalled.

    Means over seeds; spread: their standard deviation; se: the standard error over test sequences of the
    first seed. The baselines are those of the first row's first seed; the strongest of each column is bold.
    """
    found = [(row, row.results()) for row in rows if row.sim == sim]
    found = [(row, r) for row, r in found if r and _cell(r[0], "model", quantity, "1_10")]
    if not found:
        return
    head = [f"{sim}: {QUANTITIES[quantity]}", "seeds", "reconstruction", *SPANS.values(), "each seed, 1-10"]
    head += ["spread", "se", "found", "swaps", "minutes", "checkpoint by"]
    lines = [_model_line(row, results, quantity) for row, results in found]
    first = found[0][1][0]
    best = {span: strongest(first, quantity, span) for span in SPANS}
    for name in baselines(first, quantity):
        values = {span: _cell(first, name, quantity, span) for span in SPANS}
        cells = [_bold(number(x), best[span] == name) for span, x in values.items()]
        lines.append([name, "", "", *cells, *[""] * 7])
    for name, value in RECALLED.get((sim, quantity), {}).items():
        lines.append([f"{name} in its paper (recalled, not checked)", "", "", f"{value}", *[""] * 9])
    yield from markdown(head, lines)


def _model_line(row: Row, results: list[Result], quantity: str) -> list[str]:
    near = [value for r in results if (value := _cell(r, "model", quantity, "1_10"))]
    each = [x["mean"] for x in near]
    return [
        row.name,
        str(len(results)),
        average([_cell(r, "model", quantity, "reconstruction") for r in results]),
        *(average([_cell(r, "model", quantity, span) for r in results]) for span in SPANS),
        " ".join(f"{x:.4f}" for x in each) if len(each) > 1 else "",
        f"{stdev(each):.4f}" if len(each) > 1 else "",
        f"{near[0]['se']:.4f}" if near[0]["se"] is not None else "",
        *(average([r["shares"].get(key) for r in results], 1, 100, " %") for key in SHARES),
        " ".join(f"{minutes(row.run(seed)):.1f}" for seed in row.done()),
        chosen_by(results),
    ]


def long_table(rows: Sequence[Row]) -> Iterator[str]:
    """Long rollouts: the energy over the filter's and over the true one, and what is left of the objects."""
    lines = []
    for row in rows:
        results = row.results()
        for frame in results[0]["long"] if results else ():
            at_frame = [r["long"].get(frame, {}) for r in results]
            names = ("energy_ratio", "energy_over_truth", "in_box", "distinct_objects")
            cells = [average([x.get(name) for x in at_frame], 3) for name in names]
            lines.append([f"{row.sim}, {row.name}", f"{int(frame):,}", *cells])
    if lines:
        head = ["long rollouts", "predicted frame", "energy over the filter's", "over the true one"]
        yield from markdown([*head, "in the box", "distinct objects"], lines)


def sample_table(rows: Sequence[Row]) -> Iterator[str]:
    """Sampled futures: their errors beside that of the mean path, and the coverage of their intervals."""
    lines, names = [], []
    for row in rows:
        results = row.results()
        if results and results[0]["uncertainty"]:
            names = names or list(results[0]["uncertainty"])
            cells = [average([r["uncertainty"].get(name) for r in results]) for name in names]
            path = average([_cell(r, "model", "position_error", "1_10") for r in results])
            lines.append([f"{row.sim}, {row.name}", path, *cells])
    if lines:
        head = ["sampled futures", "mean path, 1-10", *(name.replace("_", " ") for name in names)]
        yield from markdown(head, lines)


def baselines(result: Result, quantity: str) -> list[str]:
    """The rows of an evaluation that need no dynamics of the model, where they have the error."""
    return [name for name in result["table"] if name != "model" and _cell(result, name, quantity, "1_10")]


def strongest(result: Result, quantity: str, span: str) -> str | None:
    """The baseline with the least error over a span."""
    values = {name: _cell(result, name, quantity, span) for name in baselines(result, quantity)}
    return min((n for n, x in values.items() if x), key=lambda n: values[n]["mean"], default=None)


def strongest_masks(result: Result, key: str) -> str | None:
    """The baseline whose masks have the largest score."""
    masks = {name: x[key]["mean"] for name, x in (result.get("segmentation") or {}).items() if key in x}
    return max((name for name in masks if name != "model"), key=masks.__getitem__, default=None)


def lost(result: Result) -> Iterator[str]:
    """A sentence for each number of an evaluation in which a baseline is better than the model."""
    for quantity, words in QUANTITIES.items():
        for span in SPANS:
            own, name = _cell(result, "model", quantity, span), strongest(result, quantity, span)
            other = name and _cell(result, name, quantity, span)
            if own and other and other["mean"] < own["mean"]:
                yield f"{words}, {span_words(span)}: {name} {number(other)}, the model {number(own)}"
    masks = result.get("segmentation") or {}
    for key in ("fg_ari_1_10", "fg_ari_at_10"):
        best, own = strongest_masks(result, key), masks.get("model", {}).get(key)
        if best and own and masks[best][key]["mean"] > own["mean"]:
            of = "predicted 1-10" if key.endswith("1_10") else "predicted frame 10"
            yield f"FG-ARI, {of}: {best} {masks[best][key]['mean']:.3f}, the model {own['mean']:.3f}"


def chosen_by(results: list[Result]) -> str:
    """What chose the checkpoints, as the evaluations tell; once, where it was the same in all stages."""
    told = [part for result in results for part in str(result.get("chosen_by", "unknown")).split("; ")]
    plain = {part.partition(" (")[0] for part in told}
    return plain.pop() if len(plain) == 1 else "; ".join(dict.fromkeys(told))


def average(values: Sequence[dict | None], digits: int = 4, factor: float = 1, unit: str = "") -> str:
    """The mean of the estimates there are; empty without any."""
    known = [factor * x["mean"] for x in values if x and x["mean"] is not None]
    return f"{mean(known):.{digits}f}{unit}" if known else ""


def number(value: dict | None) -> str:
    return f"{value['mean']:.4f}" if value else ""


def minutes(run: Path) -> float:
    """Wall time of a training, validation included, as its log has it."""
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return max(x["elapsed"] for x in lines if "elapsed" in x) / 60


def span_words(span: str) -> str:
    """A span by itself in words."""
    return SPANS[span] if span == "1_10" else f"predicted {SPANS[span]}"


def _cell(result: Result, row: str, quantity: str, span: str) -> dict[str, float] | None:
    value = result["table"].get(row, {}).get(f"{quantity}_{span}")
    return value if value and value["mean"] is not None else None


def _bold(text: str, yes: bool) -> str:
    return f"**{text}**" if yes and text else text
