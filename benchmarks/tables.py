"""Markdown tables of evaluations over seeds, for results.py, family.py and readme.py."""

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
    """One model on one world, trained with several seeds.

    name: title of the row
    sim: simulator, or the name of the folder in data/ if `make` is given
    train: options of `seqvae train`
    seeds: number of trainings, with seeds 0, 1, ..
    evaluate: options of `seqvae evaluate`
    make: options of `data_gen`; by default sim=SIM
    late: whether the training starts from a run of another row, and so waits for all rows that do not
    asked: whether the row is only trained if --only names it
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
        """Return the seeds that are trained and evaluated."""
        return [seed for seed in range(self.seeds) if self.metrics(seed).is_file()]

    def results(self) -> list[Result]:
        """Return the metrics.json of every evaluated seed."""
        return [json.loads(self.metrics(seed).read_text(encoding="utf-8")) for seed in self.done()]


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    for cells in (head, ["---"] * len(head), *lines):
        yield "| " + " | ".join(cells) + " |"


def error_table(sim: str, quantity: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of the errors of a world's models, of the baselines, and of the paper if recalled.

    Numbers are means over seeds, `spread` is their standard deviation, and `se` the standard error over test
    sequences of the first seed. The baselines are those of the first seed of the first row; the strongest of
    each column is bold.
    """
    of_world = [(row, row.results()) for row in rows if row.sim == sim]
    of_world = [(row, r) for row, r in of_world if r and _cell(r[0], "model", quantity, "1_10")]
    if not of_world:
        return
    head = [f"{sim}: {QUANTITIES[quantity]}", "seeds", "reconstruction", *SPANS.values(), "each seed, 1-10"]
    head += ["spread", "se", "found", "swaps", "minutes", "checkpoint by"]
    lines = [_model_line(row, results, quantity) for row, results in of_world]
    first = of_world[0][1][0]
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
    """Yield a table of long rollouts: energy over the filter's and over the true one, objects that remain."""
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
    """Yield a table of sampled futures: errors beside that of the mean path, coverage of intervals."""
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
    """Return the rows of an evaluation that have the error and do not use the model's dynamics."""
    return [name for name in result["table"] if name != "model" and _cell(result, name, quantity, "1_10")]


def strongest(result: Result, quantity: str, span: str) -> str | None:
    """Return the baseline with the least error over a span."""
    values = {name: _cell(result, name, quantity, span) for name in baselines(result, quantity)}
    means = {name: value["mean"] for name, value in values.items() if value}
    return min(means, key=means.__getitem__, default=None)


def strongest_masks(result: Result, key: str) -> str | None:
    """Return the baseline whose masks have the largest score."""
    masks = {name: x[key]["mean"] for name, x in (result.get("segmentation") or {}).items() if key in x}
    return max((name for name in masks if name != "model"), key=masks.__getitem__, default=None)


def won_by_baselines(result: Result) -> Iterator[str]:
    """Yield one phrase per number of an evaluation in which a baseline is better than the model."""
    for quantity, words in QUANTITIES.items():
        for span in SPANS:
            of_model, name = _cell(result, "model", quantity, span), strongest(result, quantity, span)
            other = name and _cell(result, name, quantity, span)
            if of_model and other and other["mean"] < of_model["mean"]:
                yield f"{words}, {span_words(span)}: {name} {number(other)}, the model {number(of_model)}"
    masks = result.get("segmentation") or {}
    for key in ("fg_ari_1_10", "fg_ari_at_10"):
        best, of_model = strongest_masks(result, key), masks.get("model", {}).get(key)
        if best and of_model and masks[best][key]["mean"] > of_model["mean"]:
            span = "predicted 1-10" if key.endswith("1_10") else "predicted frame 10"
            yield f"FG-ARI, {span}: {best} {masks[best][key]['mean']:.3f}, the model {of_model['mean']:.3f}"


def chosen_by(results: list[Result]) -> str:
    """Return the criteria that chose the checkpoints, or a single one if all stages have the same."""
    criteria = [part for result in results for part in str(result.get("chosen_by", "unknown")).split("; ")]
    plain = {part.partition(" (")[0] for part in criteria}
    return plain.pop() if len(plain) == 1 else "; ".join(dict.fromkeys(criteria))


def average(values: Sequence[dict | None], digits: int = 4, factor: float = 1, unit: str = "") -> str:
    """Format the mean of the estimates that exist; return an empty text if there is none."""
    means = [factor * x["mean"] for x in values if x and x["mean"] is not None]
    return f"{mean(means):.{digits}f}{unit}" if means else ""


def number(value: dict | None) -> str:
    return f"{value['mean']:.4f}" if value else ""


def minutes(run: Path) -> float:
    """Return the wall time of a training, including validation, from its log."""
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return max(x["elapsed"] for x in lines if "elapsed" in x) / 60


def span_words(span: str) -> str:
    """Return a span in words that stand alone."""
    return SPANS[span] if span == "1_10" else f"predicted {SPANS[span]}"


def _cell(result: Result, row: str, quantity: str, span: str) -> dict[str, float] | None:
    value = result["table"].get(row, {}).get(f"{quantity}_{span}")
    return value if value and value["mean"] is not None else None


def _bold(text: str, yes: bool) -> str:
    return f"**{text}**" if yes and text else text
