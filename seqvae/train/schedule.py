"""Schedules: pure functions of where a training stands.

`step` counts updates from 0; `progress` in [0, 1] is the share of the budget that is used up, be that steps
or minutes. Nothing is remembered, so a resumed run needs no schedule state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from seqvae.types import UserError


@runtime_checkable
class Schedule(Protocol):
    """A factor, for the learning rate or for the weight of a loss term."""

    def __call__(self, step: int, progress: float) -> float: ...


@dataclass(frozen=True)
class Constant:
    """1, after a linear rise over the first `warmup` steps."""

    warmup: int = 0

    def __call__(self, step: int, progress: float) -> float:
        return _rise(step, self.warmup)


@dataclass(frozen=True)
class Cosine:
    """From 1 to `final` along half a cosine over the budget (Loshchilov & Hutter 2017, arXiv 1608.03983)."""

    final: float = 0.0
    warmup: int = 0

    def __call__(self, step: int, progress: float) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * _clip(progress)))
        return _rise(step, self.warmup) * (self.final + (1 - self.final) * fall)


@dataclass(frozen=True)
class Exponential:
    """From 1 to `final` over the budget, by a constant factor a step."""

    final: float = 0.1
    warmup: int = 0

    def __post_init__(self):
        if self.final <= 0:
            raise UserError(f"optim.schedule.final: an exponential decay ends above 0, got {self.final}")

    def __call__(self, step: int, progress: float) -> float:
        return _rise(step, self.warmup) * self.final ** _clip(progress)


@dataclass(frozen=True)
class Decay:
    """max(exp(-step / steps), floor), whatever the budget: the schedule of Kossen et al. 2020."""

    steps: int = 40000
    floor: float = 0.1

    def __call__(self, step: int, progress: float) -> float:
        return max(math.exp(-step / self.steps), self.floor)


@dataclass(frozen=True)
class Ramp:
    """From `start` to `end`, linear in progress between `begin` and `until`, constant outside."""

    start: float
    end: float
    begin: float = 0.0
    until: float = 1.0

    def __post_init__(self):
        if not self.begin < self.until:
            raise UserError(f"a ramp begins before it ends, got begin={self.begin} until={self.until}")

    def __call__(self, step: int, progress: float) -> float:
        share = _clip((progress - self.begin) / (self.until - self.begin))
        return self.start + share * (self.end - self.start)


def _rise(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0


def _clip(x: float) -> float:
    return min(max(x, 0.0), 1.0)
