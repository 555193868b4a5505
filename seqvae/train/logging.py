"""The log of a training: files, running means, a progress bar."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from seqvae.io import atomic_write
from seqvae.train.stages import BEGIN, Budget, StageStart

# The record of a run: a JSON object per line in log.jsonl, and TensorBoard where it is installed.

FILE = "log.jsonl"


class Logbook:
    """Writes scalars, warnings and images of a run. Numbers that are not finite are stored as null."""

    def __init__(self, run: Path, step: int = 0, validated: int = 0):
        """Open the run's log at `step`, whose last validation was at `validated`.

        Later lines of a killed process are dropped: the resumed one writes them again.
        """
        self.path = run / FILE
        _keep_until(self.path, step, validated)
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _tensorboard(run / "tensorboard", step)

    def scalars(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Write a line of the log, and curves named kind/name. kind: "train", "validation" or "slots"."""
        self._line({"kind": kind, "step": step, **{name: _finite(v) for name, v in values.items()}})
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def warning(self, step: int, text: str) -> None:
        """Write a warning."""
        self._line({"kind": "warning", "step": step, "text": text})
        if self.board is not None:
            self.board.add_text("warning", text, step)

    def environment(self, step: int, versions: Mapping[str, str]) -> None:
        """Write the versions of packages and the device, unless the last such line has the same."""
        known = [line for line in read_log(self.path.parent) if line["kind"] == "environment"]
        if not known or {k: v for k, v in known[-1].items() if k not in ("kind", "step")} != versions:
            self._line({"kind": "environment", "step": step, **versions})

    def image(self, name: str, step: int, image: Float[Tensor, "c h w"]) -> None:
        """Write an image in [0, 1], to TensorBoard only."""
        if self.board is not None:
            self.board.add_image(name, image.clamp(0, 1).cpu(), step)

    def close(self) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()

    def _line(self, content: dict[str, Any]) -> None:
        self.file.write(json.dumps(content) + "\n")
        self.file.flush()


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log, in order, without a half-written last line."""
    path = Path(run) / FILE
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _keep_until(path: Path, step: int, validated: int) -> None:
    if path.is_file():
        ends = {"validation": min(validated, step)}
        kept = [line for line in read_log(path.parent) if line["step"] <= ends.get(line["kind"], step)]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        atomic_write(path, lambda file: file.write(text.encode()))


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


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


# Progress for people: a bar on a terminal, else a line per line of the log.

BAR = "{percentage:3.0f}% |{bar:24}| {desc}"


class Progress:
    """Shows step, frames per second, time left and a few numbers on stderr."""

    def __init__(self, budget: Budget, frames_per_step: int, show: bool = True, begin: StageStart = BEGIN):
        self.budget, self.frames_per_step, self.begin = budget, frames_per_step, begin
        self.show = show
        self.bar = None
        if show and sys.stderr.isatty():
            self.bar = tqdm(total=100, bar_format=BAR, leave=True, dynamic_ncols=True)
        self.start()

    def start(self, step: int | None = None) -> None:
        """Begin timing at `step`; also after a pause for validation."""
        self.since, self.since_step = time.monotonic(), step

    def frames_per_second(self, step: int) -> float:
        """Return the pace since `start`."""
        return self.frames_per_step * self._steps(step) / max(time.monotonic() - self.since, 1e-9)

    def update(self, step: int, elapsed: float, pace: float, numbers: dict[str, float]) -> None:
        """Show the state of the training. pace: frames per second."""
        if not self.show:
            return
        step, elapsed = step - self.begin.step, elapsed - self.begin.elapsed
        left = self.budget.seconds_left(step, elapsed, self.frames_per_step / max(pace, 1e-9))
        of = f"/{self.budget.steps}" if self.budget.steps else ""
        words = [f"step {step}{of}", f"{pace:,.0f} frames/s", f"{clock(left)} left"]
        words += [f"{name} {value:.4g}" for name, value in numbers.items()]
        text = "  ".join(words)
        share = 100 * self.budget.progress(step, elapsed)
        if self.bar is None:
            self._print(f"{share:3.0f}%  {text}")
        else:
            self.bar.n = share
            self.bar.set_description_str(text)

    def say(self, text: str) -> None:
        """Show a line of its own, above the bar."""
        if self.show:
            self._print(text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _steps(self, step: int) -> int:
        return step - (self.since_step if self.since_step is not None else step)

    def _print(self, text: str) -> None:
        if self.bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            tqdm.write(text, file=sys.stderr)


def clock(seconds: float) -> str:
    """Return seconds as 1:05 or 2:03:04."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
