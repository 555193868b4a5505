"""The log of a training: files and running means."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from seqvae.errors import UserError
from seqvae.io import atomic_write, report_unwritable, unreadable
from seqvae.train.trackers import Trackers

# The record of a run: a JSON object per line in log.jsonl, and its trackers.

FILE = "log.jsonl"
_MOST_STEPS = 2**53


class Logbook:
    """Writes scalars, warnings and images of a run. Numbers that are not finite are stored as null."""

    def __init__(self, run: Path, step: int = 0, validated: int = 0, trackers: Trackers | None = None):
        """Open the run's log at `step`, whose last validation was at `validated`.

        Later lines of a killed process are dropped: the resumed one writes them again.

        trackers: they receive the same, and stay open when the log is closed
        """
        self.path = run / FILE
        _keep_until(self.path, step, validated)
        with report_unwritable(self.path):
            self.file = self.path.open("a", encoding="utf-8")
        self.trackers = Trackers() if trackers is None else trackers

    def scalars(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Write a line of the log, and curves named kind/name. kind: "train", "validation" or "slots"."""
        self._line({"kind": kind, "step": step, **{name: _finite(v) for name, v in values.items()}})
        self.trackers.scalars(kind, step, values)
        self._warn_of_trackers(step)

    def warning(self, step: int, text: str) -> None:
        """Write a warning."""
        self._line({"kind": "warning", "step": step, "text": text})
        self.trackers.text("warning", step, text)
        self._warn_of_trackers(step)

    def environment(self, step: int, versions: Mapping[str, str]) -> None:
        """Write the versions of packages and the device, unless the last such line has the same."""
        known = [line for line in read_log(self.path.parent) if line["kind"] == "environment"]
        if not known or {k: v for k, v in known[-1].items() if k not in ("kind", "step")} != versions:
            self._line({"kind": "environment", "step": step, **versions})

    def image(self, name: str, step: int, image: Float[Tensor, "c h w"]) -> None:
        """Give an image in [0, 1] to the trackers."""
        self.trackers.image(name, step, image)
        self._warn_of_trackers(step)

    def close(self) -> None:
        with report_unwritable(self.path):
            self.file.close()

    def _warn_of_trackers(self, step: int) -> None:
        """Write and show which trackers have failed, once."""
        while self.trackers.failures:
            text = self.trackers.failures.pop()
            self._line({"kind": "warning", "step": step, "text": text})
            tqdm.write(f"warning, step {step}: {text}", file=sys.stderr)

    def _line(self, content: dict[str, Any]) -> None:
        with report_unwritable(self.path):
            self.file.write(json.dumps(content) + "\n")
            self.file.flush()


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log, in order, without a half-written last line.

    Lines of JSON that are no lines of a log are left out.

    Raises:
        UserError: the system does not give the file.
    """
    path = Path(run) / FILE
    if not path.is_file():
        return []
    lines = []
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(str(unreadable(path, error))) from None
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            break
        if _is_line(line):
            lines.append(line)
    return lines


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
        return False
    return isinstance(line.get("step"), int) and 0 <= line["step"] < _MOST_STEPS


def _keep_until(path: Path, step: int, validated: int) -> None:
    if path.is_file():
        ends = {"validation": min(validated, step)}
        kept = [line for line in read_log(path.parent) if line["step"] <= ends.get(line["kind"], step)]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        atomic_write(path, lambda file: file.write(text.encode()))


def _finite(value: float) -> float | None:
    # JSON has no NaN
    return value if value == value and abs(value) != float("inf") else None


# Means of a training's numbers between log lines, kept on the device, and the first that is not finite.


@dataclass
class _Sums:
    """Sums over steps, on the device.

    names: names of the numbers, the same in every step
    count: number of steps
    total: sum per number
    bad: numbers of the first step that is not finite, valid from `bad_step` 0 on
    bad_step: number of that step; -1 for none
    """

    names: list[str]
    count: int
    total: Float[Tensor, " n"]
    bad: Float[Tensor, " n"]
    bad_step: Int[Tensor, ""]


class Meter:
    """Sums named scalars step by step without waiting for the device.

    The names must be the same in every step until `read`. The first step in which one of `watch` is not
    finite is kept with its numbers, since every later number may be NaN too.
    """

    def __init__(self, watch: tuple[str, ...] = ("loss", "gradient")):
        self.watch = watch
        self._sums: _Sums | None = None

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        """Add the scalars of one step."""
        row = torch.stack([value.detach().float() for value in values.values()])
        if self._sums is None:
            nothing = torch.full_like(row[0], -1, dtype=torch.long)
            self._sums = _Sums(list(values), 0, torch.zeros_like(row), row, nothing)
        sums = self._sums
        watched = torch.stack([values[name].detach().float() for name in self.watch])
        first_bad = (sums.bad_step < 0) & ~watched.isfinite().all()
        sums.bad_step = torch.where(first_bad, step, sums.bad_step)
        sums.bad = torch.where(first_bad, row, sums.bad)
        sums.total = sums.total + row
        sums.count += 1

    def first_not_finite(self) -> tuple[int, dict[str, float]] | None:
        """Return the first step since `read` in which a watched number is not finite, and its numbers.

        Waits for the device.
        """
        if self._sums is None or (step := int(self._sums.bad_step)) < 0:
            return None
        return step, dict(zip(self._sums.names, self._sums.bad.tolist(), strict=True))

    def read(self) -> dict[str, float]:
        """Return the means since the last read, and start again. Waits for the device."""
        if self._sums is None:
            return {}
        sums, self._sums = self._sums, None
        return dict(zip(sums.names, (sums.total / sums.count).tolist(), strict=True))
