"""The log of a training, as series over updates, with its stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from seqvae.train.logging import read_log

POINTS = 1000  # of a series; longer ones are thinned
OTHER = ("lr", "gradient", "frames_per_second", "elapsed")  # numbers of an update that are no terms
NOTES = ("kind", "step")


@dataclass(frozen=True)
class Series:
    """Numbers of one name in a log; NaN where the log has none that is finite."""

    step: Int[np.ndarray, "t"]
    value: Float[np.ndarray, "t"]


@dataclass(frozen=True)
class StageSpan:
    """Updates of one stage: after `begin`, up to `end`."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Log:
    """The log of a training.

    train, validation, slots: name -> series
    stages: stages by their budgets, empty for a training of one stage or where minutes end a stage
    warnings: step and text
    environments: step -> versions of packages and the device
    """

    train: Mapping[str, Series]
    validation: Mapping[str, Series]
    slots: Mapping[str, Series]
    stages: tuple[StageSpan, ...]
    warnings: tuple[tuple[int, str], ...]
    environments: Mapping[int, Mapping[str, str]]

    @property
    def terms(self) -> dict[str, Series]:
        """The terms of the objective, as they were during the training."""
        return {n: s for n, s in self.train.items() if n not in (*OTHER, "loss", "bound")}

    @property
    def seconds(self) -> float | None:
        """Seconds of training, over all stages and resumes."""
        elapsed = self.train.get("elapsed")
        return None if elapsed is None else float(elapsed.value[-1])

    @property
    def last_step(self) -> int:
        """Number of the last update in the log."""
        return max((int(s.step[-1]) for s in (*self.train.values(), *self.validation.values())), default=0)


def read_training(folder: Path, config: Mapping[str, Any]) -> Log | None:
    """Read the log of a run; None where it has none. Lines that are no lines of a log are left out."""
    lines = read_log(folder)
    if not lines:
        return None
    series = {kind: _series(line for line in lines if line["kind"] == kind) for kind in SERIES}
    last = max(line["step"] for line in lines)
    return Log(
        **series,
        stages=find_stages(config, last),
        warnings=tuple((x["step"], str(x.get("text", ""))) for x in lines if x["kind"] == "warning"),
        environments={
            x["step"]: {str(k): str(v) for k, v in x.items() if k not in NOTES}
            for x in lines
            if x["kind"] == "environment"
        },
    )


SERIES = ("train", "validation", "slots")


def find_stages(config: Mapping[str, Any], last: int) -> tuple[StageSpan, ...]:
    """Return the stages that begin before update `last`, by the budgets in the config of a run."""
    stages, spans, begin = config.get("stages"), [], 0
    if not isinstance(stages, Mapping) or len(stages) < 2:
        return ()
    common = config.get("trainer") or {}
    for name, own in stages.items():
        trainer = {**common, **((own or {}).get("trainer") or {})}
        steps = trainer.get("steps")
        if trainer.get("minutes") is not None or not isinstance(steps, int):
            return ()
        if begin < last:
            spans.append(StageSpan(str(name), begin, min(begin + steps, last)))
        begin += steps
    return tuple(spans)


def _series(lines: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    points: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in NOTES and (value is None or isinstance(value, (int, float))):
                points.setdefault(name, []).append((line["step"], _number_or_nan(value)))
    return {name: _thinned(found) for name, found in points.items()}


def _number_or_nan(value: float | None) -> float:
    try:
        return np.nan if value is None else float(value)
    except OverflowError:  # of a whole number with hundreds of digits
        return np.nan


def _thinned(points: list[tuple[int, float]]) -> Series:
    """Return a series of at most POINTS numbers, evenly chosen, with the first and the last."""
    chosen = np.unique(np.linspace(0, len(points) - 1, POINTS).round().astype(int))
    steps, values = zip(*points, strict=True)
    return Series(np.array(steps)[chosen], np.array(values, dtype=np.float64)[chosen])
