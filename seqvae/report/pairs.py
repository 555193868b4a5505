"""Numbers of groups of runs: means over seeds, and differences on the same test sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqvae.metrics import Estimate, estimate
from seqvae.report.evaluation import Evaluation
from seqvae.report.groups import Group
from seqvae.report.read import RunRecord
from seqvae.report.tables import SUM, difference, sequence_means

NATS = "nats"  # column of the bound, or objective, per frame


@dataclass(frozen=True)
class GroupNumbers:
    """Numbers of a group.

    values: column -> mean over its runs; the standard error is over seeds, of a single run over sequences
    over: "seeds" or "sequences"
    """

    values: Mapping[str, Estimate]
    over: str


@dataclass(frozen=True)
class Difference:
    """A group minus the one it is compared with, on the same sequences.

    by_sequence: mean and its standard error over sequences, each a mean over seeds
    se_seeds: standard error over seeds, NaN for single runs
    """

    by_sequence: Estimate
    se_seeds: float


def comparable(runs: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Return the runs that were evaluated alike, and lines on the others.

    Alike are runs with the data, lengths and schema version that most of them have.
    """
    lines = []
    without = [run.name for run in runs if run.evaluation is None]
    if without:
        lines.append(
            f"{_names(without)}: not evaluated; python -m seqvae evaluate run=DIR data=FILE does that."
        )
    evaluated = [(run, run.evaluation) for run in runs if run.evaluation is not None]
    older = [run.name for run, evaluation in evaluated if not evaluation.is_current]
    if older:
        lines.append(
            f"{_names(older)}: evaluated by another schema version, so compared with no run; evaluate again."
        )
    current = [(run, evaluation) for run, evaluation in evaluated if evaluation.is_current]
    if not current:
        return [], lines
    keys = _keys([evaluation for _, evaluation in current])
    ((common, _),) = Counter(keys).most_common(1)
    others = [(run, e) for (run, e), key in zip(current, keys, strict=True) if key != common]
    if others:
        where = "; ".join(f"{run.name} on {_describe(e)}" for run, e in others)
        kept = next(e for (_, e), key in zip(current, keys, strict=True) if key == common)
        lines.append(
            f"Evaluated on other data, so compared with no other run: {where}; the rest on {_describe(kept)}."
        )
    return [run for (run, _), key in zip(current, keys, strict=True) if key == common], lines


def _keys(evaluations: Sequence[Evaluation]) -> list[tuple[Any, ...]]:
    """Return the identity of each evaluation's data; one without a checksum takes that of its path."""
    digests = {e.data: e.data_key[0] for e in evaluations if e.metrics.get("data_sha256")}
    return [(digests.get(e.data, e.data_key[0]) if not e.metrics.get("data_sha256") else e.data_key[0],
             *e.data_key[1:]) for e in evaluations]  # fmt: skip


def group_numbers(group: Group) -> GroupNumbers | None:
    """Return the numbers of a group's evaluated runs, None without any."""
    rows = [run.evaluation.numbers() for run in group.runs if run.evaluation is not None]
    if not rows:
        return None
    shared = [name for name in rows[0] if all(name in row for row in rows) and not name.endswith(SUM)]
    if len(rows) == 1:
        return GroupNumbers({name: rows[0][name] for name in shared}, "sequences")
    values = {name: estimate(np.array([row[name].mean for row in rows])) for name in shared}
    return GroupNumbers(values, "seeds")


def group_differences(group: Group, against: Group) -> dict[str, Difference]:
    """Return column -> group minus against; columns without scores of sequences are left out."""
    found = {}
    ours, theirs = (_columns(g) for g in (group, against))
    for column in (name for name in ours if name in theirs):
        a, b = theirs[column], ours[column]
        if len(a[0]) == len(b[0]):
            sources = _sources(group)
            sources = sources if sources is not None and len(sources) == len(a[0]) else None
            found[column] = Difference(difference(a[0], b[0], sources), _se_of_two(a[1], b[1]))
    return found


def _columns(group: Group) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return column -> scores "n" as means over runs, and the mean of each run."""
    evaluations = [run.evaluation for run in group.runs if run.evaluation is not None]
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    scores = [e.scores for e in evaluations if e.scores is not None]
    if scores and len(scores) == len(evaluations):
        for column in scores[0].rows.get("model", {}):
            mean = sequence_means(scores, column)
            if mean is not None:
                runs = [
                    np.nanmean(x) if not np.isnan(x := s.rows["model"][column]).all() else np.nan
                    for s in scores
                ]
                columns[column] = mean, np.array(runs)
    nats = [e.nats for e in evaluations if e.nats is not None]
    if nats and len(nats) == len(evaluations) and len({len(x) for x in nats}) == 1:
        columns[NATS] = np.mean(nats, axis=0), np.array([x.mean() for x in nats])
    return columns


def _sources(group: Group) -> np.ndarray | None:
    evaluation = group.runs[0].evaluation
    return None if evaluation is None or evaluation.scores is None else evaluation.scores.sources


def _se_of_two(a: np.ndarray, b: np.ndarray) -> float:
    """Return the standard error of the difference of two means over independent trainings."""
    if len(a) < 2 or len(b) < 2:
        return float("nan")
    return float(np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))


def _describe(evaluation: Evaluation) -> str:
    context, horizon = evaluation.context, evaluation.horizon
    return f"{evaluation.data} ({evaluation.sequences} sequences, {context}+{horizon} frames)"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
