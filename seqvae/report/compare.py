"""The page and the tables of several runs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from seqvae.evaluate.by_sequence import MODEL
from seqvae.evaluate.figures import AXES
from seqvae.evaluate.markdown import table as markdown_table
from seqvae.evaluate.palette import OWN, row_styles
from seqvae.evaluate.scores import SHORT
from seqvae.report.evaluation import FrameCurve
from seqvae.report.figures import Axes, Figure, Line, Mark, is_wide, plot
from seqvae.report.groups import Group
from seqvae.report.page import render
from seqvae.report.pairs import (
    NATS,
    Difference,
    GroupNumbers,
    comparable,
    group_differences,
    group_numbers,
)
from seqvae.report.pictures import Picture, Video
from seqvae.report.tables import Cell, Table, cell, decimals, is_better, is_share, title_of
from seqvae.shipped import pretrained_folder
from seqvae.train.progress import clock

SCORES = 6  # figures of learning curves
FUTURES = ("best_of_", "mean_of_", "coverage_")
TABLES = ("position_error", "velocity_error", "pixel_mse")
LEARNING = (  # validation scores whose curves are shown, as far as a run has them
    "position_error_1_10",
    "pixel_mse_1_10",
    "pixel_mse_reconstruction",
    "fg_ari_at_10",
    "fg_ari_attention",
    "fg_ari_reconstruction",
    "count_accuracy",
    "found",
    "objective",
)
WORDS = {NATS: "bound or objective, nats per frame"}


@dataclass(frozen=True)
class Comparison:
    """Several runs, ready for a page or for tables.

    groups: groups of runs
    numbers: numbers of each group, over its runs that were evaluated alike; None without any
    against: place of the group that the others are compared with
    notes: lines on runs that were left out of a comparison
    alike: the groups with those runs alone that were evaluated alike, perhaps none
    """

    groups: tuple[Group, ...]
    numbers: tuple[GroupNumbers | None, ...]
    against: int
    notes: tuple[str, ...]
    alike: tuple[Group, ...]

    @property
    def columns(self) -> list[str]:
        """Columns that a group has."""
        return list(dict.fromkeys(name for x in self.numbers if x is not None for name in x.values))


@dataclass(frozen=True)
class ComparisonPage:
    """Content of the page of a comparison."""

    title: str
    made: str
    notes: tuple[str, ...]
    groups: Table
    tables: tuple[Table, ...]
    differences: tuple[Table, ...]
    against: str
    errors: tuple[Figure, ...]
    learning: tuple[Figure, ...]
    videos: tuple[Video, ...]
    strips: tuple[Picture, ...]
    without_pictures: str
    configs: Table | None
    command: str


def compare(groups: Sequence[Group], against: int = 0) -> Comparison:
    """Compare groups of runs, those that were evaluated alike."""
    runs = [run for group in groups for run in group.runs]
    kept, notes = comparable(runs)
    alike = tuple(
        Group(g.label, g.differences, tuple(run for run in g.runs if any(run is x for x in kept)))
        for g in groups
    )
    return Comparison(tuple(groups), tuple(map(group_numbers, alike)), against, tuple(notes), alike)


# Tables.


def group_table(comparison: Comparison) -> Table:
    """Return the runs of each group, and what its standard errors are over."""
    rows = []
    for group, numbers in zip(comparison.groups, comparison.numbers, strict=True):
        seconds = [run.log.seconds for run in group.runs if run.log is not None and run.log.seconds]
        steps = {run.checkpoint.step if run.checkpoint else 0 for run in group.runs}
        rows.append((
            group.label,
            (
                Cell(", ".join(run.name for run in group.runs)),
                Cell(", ".join(map(str, group.seeds))),
                Cell(" to ".join(f"{step:,}" for step in sorted({min(steps), max(steps)}))),
                Cell(clock(float(np.mean(seconds))) if seconds else "unknown"),
                Cell("not evaluated" if numbers is None else _over(comparison, group, numbers)),
            ),
        ))  # fmt: skip
    columns = ("runs", "seeds", "updates", "time of training", "standard errors")
    return Table("Runs", columns, tuple(rows), strong=comparison.groups[comparison.against].label)


def _over(comparison: Comparison, group: Group, numbers: GroupNumbers) -> str:
    kept = comparison.alike[comparison.groups.index(group)].runs
    if numbers.over == "seeds":
        return f"over {len(kept)} seeds"
    evaluation = kept[0].evaluation
    return f"over {evaluation.sequences if evaluation else 0} sequences"


def number_tables(comparison: Comparison) -> list[Table]:
    """Return a table per quantity: a row per group; bold is the best of a column."""
    columns = comparison.columns
    split = {quantity: [c for c in columns if c.startswith(f"{quantity}_")] for quantity in TABLES}
    futures = [c for c in columns if c.startswith(FUTURES)]
    rest = [c for c in columns if c not in futures and not any(c in found for found in split.values())]
    tables = []
    for quantity, found in split.items():
        if found:
            title = AXES.get(quantity, quantity)
            tables.append(_number_table(comparison, f"{title[0].upper()}{title[1:]}", found))
    if rest:
        tables.append(_number_table(comparison, "Shares, masks and bounds", rest))
    if futures:
        tables.append(_number_table(comparison, "Sampled futures", futures))
    return tables


def _number_table(comparison: Comparison, title: str, columns: Sequence[str]) -> Table:
    best = {column: _best(comparison, column) for column in columns}
    rows = []
    for place, (group, numbers) in enumerate(zip(comparison.groups, comparison.numbers, strict=True)):
        values = {} if numbers is None else numbers.values
        cells = [cell(values.get(c), best[c] == place, is_share(c)) for c in columns]
        rows.append((group.label, tuple(cells)))
    names = tuple(_short(title_of(column), title) for column in columns)
    about = "Mean and standard error, over seeds or over sequences as the table of runs says. Bold: the best."
    return Table(title, names, tuple(rows), about, comparison.groups[comparison.against].label)


def _short(name: str, title: str) -> str:
    """Return the name of a column without what the title of its table says."""
    start = title.partition(",")[0].lower()
    return name[len(start) :].lstrip(", ") if name.lower().startswith(f"{start},") else name


def _best(comparison: Comparison, column: str) -> int | None:
    """Return the place of the group that is best in a column, None for coverages and single groups."""
    values = [
        (place, x.values[column].mean)
        for place, x in enumerate(comparison.numbers)
        if x is not None and column in x.values and not math.isnan(x.values[column].mean)
    ]
    if len(values) < 2 or column.startswith(("coverage_", "context_swap")):
        return None
    best = values[0]
    for value in values[1:]:
        best = value if is_better(column, value[1], best[1]) else best
    return best[0] if sum(value == best[1] for _, value in values) == 1 else None


def difference_tables(comparison: Comparison) -> list[Table]:
    """Return a table per group: its differences from the group that it is compared with."""
    against = comparison.alike[comparison.against]
    if not against.runs:
        return []
    tables = []
    for place, group in enumerate(comparison.alike):
        if place == comparison.against or not group.runs:
            continue
        found = group_differences(group, against)
        if found:
            rows = tuple((_words(c), _difference_cells(c, x)) for c, x in found.items())
            title = f"{comparison.groups[place].label} minus {comparison.groups[comparison.against].label}"
            columns = ("difference", "over seeds", "in standard errors", "better")
            tables.append(Table(title, columns, rows, strong=""))
    return tables


def _words(column: str) -> str:
    return WORDS.get(column) or title_of(column)


def _difference_cells(column: str, found: Difference) -> tuple[Cell, ...]:
    value = found.by_sequence
    shown = cell(value)
    sign = "+" if value.mean > 0 else ""
    largest = np.nanmax([value.se, found.se_seeds]) if not math.isnan(value.se) else found.se_seeds
    ratio = abs(value.mean) / largest if largest and not math.isnan(largest) else float("nan")
    higher = is_better(column if column != NATS else "objective", 1.0, 0.0)
    verdict = ""
    if not math.isnan(ratio) and ratio >= 2:
        verdict = "this" if (value.mean > 0) == higher else "the other"
    return (
        Cell(f"{sign}{shown.text}", shown.se),
        Cell("" if math.isnan(found.se_seeds) else f"± {found.se_seeds:.{decimals(value)}f}"),
        Cell("" if math.isnan(ratio) else f"{ratio:.1f}"),
        Cell(verdict),
    )


def config_table(comparison: Comparison) -> Table | None:
    """Return the keys whose values differ between the groups."""
    keys = list(dict.fromkeys(key for group in comparison.groups for key in group.differences))
    if not keys:
        return None
    rows = tuple((key, tuple(Cell(group.differences[key]) for group in comparison.groups)) for key in keys)
    return Table("Keys that differ", tuple(group.label for group in comparison.groups), rows, strong="")


def as_markdown(comparison: Comparison) -> str:
    """Return the tables in Markdown, with the lines on runs left out."""
    parts = [*comparison.notes, *([""] if comparison.notes else [])]
    for table in (group_table(comparison), *number_tables(comparison), *difference_tables(comparison)):
        rows = {name: dict(zip(table.columns, map(str, cells), strict=True)) for name, cells in table.rows}
        parts += [*markdown_table(rows, table.title), ""]
    return "\n".join(parts)


def as_csv(comparison: Comparison) -> str:
    """Return a line per run and number, and a line per group and number with the runs that it is over."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "run", "seed", "column", "mean", "se", "n", "over"])
    for group, kept, numbers in zip(comparison.groups, comparison.alike, comparison.numbers, strict=True):
        for run in kept.runs:
            if run.evaluation is not None:
                for name, x in run.evaluation.numbers().items():
                    seed = run.config.get("seed", "")
                    writer.writerow([group.label, run.folder, seed, name, x.mean, x.se, x.n, "sequences"])
        if numbers is not None and numbers.over == "seeds":
            for name, x in numbers.values.items():
                writer.writerow([group.label, "", "", name, x.mean, x.se, x.n, "seeds"])
    return text.getvalue()


# Figures.


def learning_figures(comparison: Comparison) -> list[Figure]:
    """Return a figure per validation score, a line per run in the colour of its group."""
    figures = []
    for name in LEARNING:
        lines = []
        for number, group in enumerate(comparison.groups):
            for run in group.runs:
                series = None if run.log is None else run.log.validation.get(name)
                if series is not None and not np.isnan(series.value).all():
                    colour = _colour(number)
                    lines.append(Line(group.label, series.step, series.value, colour=colour, group=number))
        if lines and len(figures) < SCORES:
            limits = (-0.02, 1.02) if is_share(name) else (None, None)
            axes = Axes("update", _words(name), "update", name.startswith(TABLES) and is_wide(lines), limits)
            about = "On the validation sequences, a line per run."
            figures.append(plot(f"learning-{name}", f"Validation: {_words(name)}", about, lines, axes))
    return figures


def error_figures(comparison: Comparison) -> list[Figure]:
    """Return a figure per quantity: the error of each group at each frame, and baselines from true states."""
    evaluations = [run.evaluation for group in comparison.alike for run in group.runs if run.evaluation]
    figures = []
    for quantity in TABLES:
        lines = []
        for number, group in enumerate(comparison.alike):
            curves = [r.evaluation.curves.get(quantity, {}).get(MODEL) for r in group.runs if r.evaluation]
            known = [curve for curve in curves if curve is not None]
            if known and len(known) == len(curves) and len(known[0].frame) > 1:
                mean, se = _mean_curve(known)
                lines.append(
                    Line(group.label, known[0].frame, mean, se, colour=_colour(number), group=number)
                )
        if not lines:
            continue
        baselines = evaluations[0].curves.get(quantity, {})
        shared = [row for row in baselines if row != MODEL and ("true states" in row or row == "mean frame")]
        for place, (row, (colour, dashed)) in enumerate(row_styles(shared).items(), len(comparison.groups)):
            x = baselines[row]
            lines.append(
                Line(row, x.frame, x.mean, x.se, shown=False, colour=colour, dashed=dashed, group=place)
            )
        context, horizon = evaluations[0].context, evaluations[0].horizon
        zooms = {"all frames": (1.0, context + horizon + 0.5)}
        if horizon > SHORT:
            zooms[f"predicted 1-{SHORT}"] = (context + 0.5, context + SHORT + 0.5)
        title = AXES.get(quantity, quantity).partition(",")[0]
        about = (
            "Mean and a band of one standard error, over seeds, or over sequences for a single run. "
            f"The models have seen {context} frames (dotted). Baselines are in the legend."
        )
        axes = Axes("frame", AXES.get(quantity, quantity), "frame", limits=(0.0, None))
        marks = [Mark(context + 0.5)]
        heading = f"{title[0].upper()}{title[1:]} over time"
        figures.append(plot(f"errors-{quantity}", heading, about, lines, axes, marks, zooms))
    return figures


def _colour(group: int) -> str:
    """Return the colour of a group, which no baseline has."""
    return OWN[group % len(OWN)]


def _mean_curve(curves: Sequence[FrameCurve]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over runs, and its standard error over runs; of a single run that over sequences."""
    if len(curves) == 1:
        return curves[0].mean, curves[0].se
    values = np.stack([curve.mean for curve in curves])
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


# The page.


def make_comparison(
    comparison: Comparison,
    title: str,
    command: str,
    videos: Sequence[Video] = (),
    strips: Sequence[Picture] = (),
    without_pictures: str = "",
) -> str:
    """Return the page of a comparison as HTML.

    without_pictures: why there are no sequences side by side
    """
    page = ComparisonPage(
        title=title,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
        notes=comparison.notes,
        groups=group_table(comparison),
        tables=tuple(number_tables(comparison)),
        differences=tuple(difference_tables(comparison)),
        against=comparison.groups[comparison.against].label,
        errors=tuple(error_figures(comparison)),
        learning=tuple(learning_figures(comparison)),
        videos=tuple(videos),
        strips=tuple(strips),
        without_pictures=without_pictures,
        configs=config_table(comparison),
        command=command,
    )
    return render("compare.html.jinja", {"page": page})


def find_group(groups: Sequence[Group], folder: str) -> int | None:
    """Return the place of the group with the run in `folder`, None where none has it."""
    wanted = (pretrained_folder(folder) or Path(folder)).resolve()
    places = (i for i, group in enumerate(groups) for run in group.runs if run.folder.resolve() == wanted)
    return next(places, None)
