"""Make the tables of README.md from runs/results: python benchmarks/readme.py [--write]

Print the block between the marks "results: begin" and "results: end" of README.md, or write it there with
--write: the headline rows of results.py and family.py, each with the strongest baseline of its world, and a
list of the numbers in which a baseline is better.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import family
import results
from tables import (
    QUANTITIES,
    RECALLED,
    Result,
    Row,
    average,
    markdown,
    minutes,
    number,
    strongest,
    strongest_masks,
    won_by_baselines,
)

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
INTRODUCTION = (
    "300 unseen test sequences, 8 frames given, position error in half-widths of the image, predicted frames"
    " 1-10; training on one thread of a CPU. `make results` regenerates the tables; all numbers, seeds and"
    " baselines: [docs/results.md](docs/results.md). The paper's numbers are recalled, not checked."
)
WORLDS = {"billiards": "billiards, STOVE", "gravity": "gravity, STOVE", "billiards6": "six balls, STOVE"}
MEASURES = {  # name of a row of the family -> the numbers it is judged by: path in metrics.json, words
    "AIR": ((("shares", "count_accuracy"), "frames counted right"),),
    "MONet": (
        (("shares", "fg_ari_attention"), "FG-ARI of the encoder's masks"),
        (("shares", "fg_ari_reconstruction"), "FG-ARI of the decoder's masks"),
    ),
    "sequential MONet": (
        (("shares", "fg_ari_at_10"), "FG-ARI of predicted frame 10"),
        (("table", "model", "pixel_mse_1_10"), "pixel MSE of predicted frames 1-10"),
        (("table", "model", "position_error_1_10"), "position error of predicted frames 1-10"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    block = "\n\n".join(part for part in tables() if part)
    if parser.parse_args().write:
        README.write_text(replaced(README.read_text(encoding="utf-8"), block), encoding="utf-8")
    print(block)


def replaced(text: str, block: str) -> str:
    """Return the text with `block` between the marks."""
    inside = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    return inside.sub(lambda _: f"{block}\n", text)


def tables() -> Iterator[str]:
    """Yield the parts of the block."""
    rows = {row.sim: row for row in results.ROWS if row.name == "ours" and row.done()}
    others = [row for row in family.ROWS if row.name in MEASURES and row.done()]
    yield INTRODUCTION
    yield "\n".join(headlines(rows))
    yield "\n".join(measures(others))
    sentences = [
        f"- {WORLDS.get(row.sim, row.name)}: {text}."
        for row in (*rows.values(), *others)
        for text in won_by_baselines(row.results()[0])
    ]
    if sentences:
        yield "\n".join(["Where a baseline is better (seed 0):", "", *sentences])


def headlines(rows: dict[str, Row]) -> Iterator[str]:
    """Yield a table of STOVE per world: the model, and the baseline of least error."""
    head = ["", "reconstruction", "predicted 1-10", "paper (recalled)", "pixel MSE 1-10", "balls found"]
    head, lines = [*head, "training"], []
    for sim, row in rows.items():
        evaluations = row.results()
        near = [r["table"]["model"]["position_error_1_10"] for r in evaluations]
        recalled = RECALLED.get((sim, "position_error"), {}).get("STOVE", "")
        lines.append(
            [
                f"{WORLDS[sim]}, {_seeds(row)}",
                average([r["table"]["model"].get("position_error_reconstruction") for r in evaluations]),
                f"**{average(near)}**{_each([number(x) for x in near])}",
                f"{recalled}",
                average([r["table"]["model"].get("pixel_mse_1_10") for r in evaluations]),
                average([r["shares"].get("found") for r in evaluations], 0, 100, " %"),
                _minutes(row),
            ]
        )
        lines.append([f"{sim}, strongest baseline", "", *_strongest(evaluations[0]), *[""] * 2])
    yield from markdown(head, lines)


def measures(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of the other models, by the numbers that they are judged by."""
    lines = []
    for row in rows:
        for path, words in MEASURES[row.name]:
            each = [family.at(result, path) for result in row.results()]
            values = [f"{x['mean']:.4f}" if path[0] == "table" else f"{x['mean']:.3f}" for x in each if x]
            if values:
                shown = f"{mean(x['mean'] for x in each if x):.{len(values[0].partition('.')[2])}f}"
                lines.append([f"{row.name}, {_seeds(row)}", words, f"**{shown}**{_each(values)}",
                              _beside(row.results()[0], path), _minutes(row)])  # fmt: skip
    if lines:
        yield from markdown(["", "measured by", "", "strongest baseline", "training"], lines)


def _beside(result: Result, path: tuple[str, ...]) -> str:
    """Return the strongest baseline for the number at a path, with its value."""
    key = path[-1]
    if path[0] == "table":
        quantity = next(q for q in QUANTITIES if key.startswith(q))
        name = strongest(result, quantity, key.removeprefix(f"{quantity}_"))
        return f"{name}: {number(result['table'][name][key])}" if name else ""
    name = strongest_masks(result, key)
    return f"{name}: {result['segmentation'][name][key]['mean']:.3f}" if name else ""


def _strongest(result: Result) -> list[str]:
    """Return the cells of the strongest baselines: predicted 1-10, paper, pixels."""
    cells = []
    for quantity in QUANTITIES:
        name = strongest(result, quantity, "1_10")
        cells.append(f"{number(result['table'][name][f'{quantity}_1_10'])} ({name})" if name else "")
    return [cells[0], "", cells[1]]


def _seeds(row: Row) -> str:
    last = len(row.done()) - 1
    return "seed 0" if last == 0 else f"seeds 0-{last}"


def _each(values: Sequence[str]) -> str:
    return f" ({', '.join(values)})" if len(values) > 1 else ""


def _minutes(row: Row) -> str:
    took = sorted({round(minutes(row.run(seed))) for seed in row.done()})
    return f"{took[0]} min" if len(took) == 1 else f"{took[0]} to {took[-1]} min"


if __name__ == "__main__":
    main()
