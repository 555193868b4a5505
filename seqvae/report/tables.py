"""Tables of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from seqvae.evaluate.by_sequence import MODEL, SequenceScores
from seqvae.evaluate.figures import AXES
from seqvae.evaluate.markdown import column_title, explain_med, span_of
from seqvae.evaluate.quantities import QUANTITIES, is_higher_better
from seqvae.metrics import Estimate, estimate
from seqvae.report.evaluation import Evaluation, Row, estimates

SUM = "_sum"  # ends the name of a column that is ten times another one
HIGHER = ("found", "fg_ari", "ari", "mean_iou", "count_accuracy", "mota", "motp", "elbo", "iwae", "objective")
TRACKS = ("mota", "motp", "track_misses", "track_false_positives", "track_switches")
SHARES = ("found", "context_swap", "count_accuracy", *TRACKS)
WORDS = {
    "found": "all objects found",
    "context_swap": "slots swapped in the context",
    "reward_auc_1_10": "rewards foretold, area under the ROC curve",
    "count_accuracy": "frames counted right",
    "mota": "MOTA",
    "motp": "MOTP, mean IoU of matches",
    "track_misses": "misses per object",
    "track_false_positives": "false positives per object",
    "track_switches": "identity switches per object",
    "elbo": "ELBO, nats per frame",
    "iwae": "IWAE, nats per frame",
    "objective": "objective, nats per frame",
}

FUTURES = {
    "best_of_": "position error, best of {} samples",
    "mean_of_": "position error, mean over {} samples",
    "coverage_": "coverage of the {} % interval",
}


@dataclass(frozen=True)
class Cell:
    """A number of a table: its text, that of its standard error, and whether it is the best of its column."""

    text: str = ""
    se: str = ""
    best: bool = False

    def __str__(self) -> str:
        return f"{self.text} ± {self.se}" if self.se else self.text


@dataclass(frozen=True)
class Table:
    """A table with a title; a row is its name and its cells, and `strong` the name of a row to emphasise."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    caption: str = ""
    strong: str = MODEL


def cell(value: Estimate | None, best: bool = False, share: bool = False) -> Cell:
    """Return a mean and its standard error as texts; one that is not a number is called so.

    share: whether they are given in percent
    """
    if value is None:
        return Cell()
    if math.isnan(value.mean):
        return Cell("not finite")
    if share:
        return Cell(f"{value.mean:.1%}", "" if math.isnan(value.se) else f"{value.se:.1%}", best)
    digits = decimals(value)
    se = "" if math.isnan(value.se) else f"{value.se:.{digits}f}"
    return Cell(f"{value.mean:.{digits}f}", se, best)


def decimals(value: Estimate) -> int:
    """Return the decimals that show a number of this size, and two digits of its standard error."""
    size = abs(value.mean)
    least = 4 if size < 10 else 2 if size < 1000 else 1
    if math.isnan(value.se) or value.se <= 0 or size >= 10:
        return least
    return min(6, max(least, 1 - math.floor(math.log10(value.se))))


def is_share(column: str) -> bool:
    """Return whether a column is a share of sequences, frames or coordinates."""
    return column in SHARES or column.startswith("coverage_")


def title_of(column: str) -> str:
    """Return words for a column: "position_error_1_10" -> "position error, predicted 1-10"."""
    for quantity in AXES:
        if column.startswith(f"{quantity}_"):
            return f"{AXES[quantity].partition(',')[0]}, {column_title(column.removeprefix(f'{quantity}_'))}"
    if column in WORDS:
        return WORDS[column]
    for start, words in FUTURES.items():
        if column.startswith(start):
            number, _, span = column.removeprefix(start).partition("_")
            return f"{words.format(number)}, {column_title(span)}"
    try:
        span = span_of(column)
    except StopIteration:
        return column.replace("_", " ")
    return f"{column.removesuffix(f'_{span}').replace('_', ' ')}, {column_title(span)}"


def is_better(column: str, a: float, b: float) -> bool:
    """Return whether a is better than b: higher for shares and bounds, lower for errors."""
    return a > b if column.startswith(HIGHER) or is_higher_better(column) else a < b


def error_tables(evaluation: Evaluation) -> list[Table]:
    """Return a table per quantity: the model and the baselines, over the spans of frames."""
    table, found = evaluation.table, []
    for quantity, axis in AXES.items():
        start = f"{quantity}_"
        rows = {
            row: {c.removeprefix(start): v for c, v in columns.items() if _is_column(c, start)}
            for row, columns in table.items()
        }
        rows = {row: columns for row, columns in rows.items() if columns}
        if rows:
            name, _, unit = axis.partition(", ")
            title = f"{name[0].upper()}{name[1:]}" + (f" ({unit})" if unit else "")
            made = _table(title, rows, lower=not QUANTITIES[quantity].higher)
            if quantity == "med":
                about = explain_med(evaluation.numbers().get("found"))
                made = replace(made, caption=f"{made.caption} {about}.".strip())
            found.append(made)
    return found


def mask_tables(evaluation: Evaluation) -> list[Table]:
    """Return a table per span of frames: scores of masks of the model and of the baselines."""
    rows = {row: estimates(scores) for row, scores in evaluation.mapping("segmentation").items()}
    spans = dict.fromkeys(span_of(name) for columns in rows.values() for name in columns)
    tables = []
    for span in spans:
        of_span = {
            row: {
                n.removesuffix(f"_{span}").replace("_", " "): x
                for n, x in columns.items()
                if span_of(n) == span
            }
            for row, columns in rows.items()
        }
        of_span = {row: columns for row, columns in of_span.items() if columns}
        tables.append(_table(f"Masks, {column_title(span)}", of_span, lower=False))
    return tables


def value_table(evaluation: Evaluation) -> Table | None:
    """Return the table of single values: shares, bounds and sampled futures."""
    masks = {name for columns in evaluation.mapping("segmentation").values() for name in columns}
    in_tables = {column for columns in evaluation.table.values() for column in columns}
    values = {n: v for n, v in evaluation.numbers().items() if n not in masks | in_tables}
    if not values:
        return None
    rows = tuple((title_of(name), (cell(value, share=is_share(name)),)) for name, value in values.items())
    return Table("Shares, bounds and sampled futures", ("value",), rows, strong="")


def count_table(evaluation: Evaluation) -> Table | None:
    """Return the confusion matrix of counts, of a model that counts."""
    counts = evaluation.metrics.get("counts")
    if not isinstance(counts, list) or not counts:
        return None
    columns = tuple(f"counted {number}" for number in range(len(counts[0])))
    rows = tuple(
        (f"{true} objects", tuple(Cell(f"{n:,}", best=i == true) for i, n in enumerate(row)))
        for true, row in enumerate(counts)
    )
    return Table("Objects in a frame", columns, rows, "Frames of the context; bold: counted right.", "")


def long_table(evaluation: Evaluation) -> Table | None:
    """Return the table of long rollouts."""
    rows = {
        f"predicted frame {int(frame):,}": estimates(values)
        for frame, values in evaluation.mapping("long").items()
    }
    return _table("Long rollouts", rows, lower=None) if rows else None


def difference_tables(evaluation: Evaluation) -> list[Table]:
    """Return the model minus each baseline on the same sequences, a table per quantity.

    Empty without scores of sequences.
    """
    scores = evaluation.scores
    if scores is None or MODEL not in scores.rows:
        return []
    ours, found = scores.rows[MODEL], []
    for quantity, axis in AXES.items():
        rows: dict[str, Row] = {}
        for row, theirs in scores.rows.items():
            shared = [c for c in theirs if c in ours and c.startswith(f"{quantity}_") and row != MODEL]
            if shared:
                rows[row] = {
                    c.removeprefix(f"{quantity}_"): difference(theirs[c], ours[c], scores.sources)
                    for c in shared
                }
        if rows:
            name = axis.partition(",")[0]
            found.append(_table(f"{name[0].upper()}{name[1:]}, model minus baseline", rows, lower=None))
    return found


def difference(
    a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"], sources: Int[np.ndarray, "n s"] | None = None
) -> Estimate:
    """Return the mean of b - a over the sequences where one of the two is defined.

    A score that is NaN in only one of them is not finite there, and the mean is NaN.
    """
    kept = ~(np.isnan(a) & np.isnan(b))
    if not kept.any():
        return Estimate(float("nan"), float("nan"), 0)
    return estimate((b - a)[kept], None if sources is None else sources[kept])


def sequence_means(scores: Sequence[SequenceScores], column: str) -> Float[np.ndarray, "n"] | None:
    """Return the mean over trainings of a score of each sequence; None where one of them lacks it."""
    found = [s.rows.get(MODEL, {}).get(column) for s in scores]
    known = [x for x in found if x is not None]
    if not known or len(known) < len(found) or len({len(x) for x in known}) > 1:
        return None
    return np.mean(known, axis=0)


def _is_column(name: str, start: str) -> bool:
    return name.startswith(start) and not name.endswith(SUM)


def _table(title: str, rows: Mapping[str, Row], lower: bool | None) -> Table:
    """Make a table; lower: whether the least number of a column is the best, None: none is."""
    names = tuple(dict.fromkeys(name for columns in rows.values() for name in columns))
    best = {}
    for name in names:
        values = {row: x[name].mean for row, x in rows.items() if name in x and not math.isnan(x[name].mean)}
        if lower is not None and len(values) > 1:
            row = (min if lower else max)(values, key=lambda row, values=values: values[row])
            best[name] = row if list(values.values()).count(values[row]) == 1 else None
    cells = tuple(
        (row, tuple(cell(columns.get(n), best.get(n) == row) for n in names)) for row, columns in rows.items()
    )
    titles = tuple(column_title(n) if n.startswith("1_") else n for n in names)
    return Table(title, titles, cells, "Bold: the best of a column." if best else "")
