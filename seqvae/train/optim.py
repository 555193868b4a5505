"""Optimisers and the schedules of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.types import Schedule

# Schedules: pure functions of where a training stands.
#
# `step` counts updates from 0; `progress` in [0, 1] is the used share of the budget, in steps or minutes.
# Schedules have no state, so a resumed run needs none of them.


@register(Schedule)
@dataclass(frozen=True)
class Constant:
    """1, after a linear rise over the first `warmup` steps."""

    warmup: int = 0

    def __call__(self, step: int, progress: float) -> float:
        return _rise(step, self.warmup)


@register(Schedule)
@dataclass(frozen=True)
class Cosine:
    """From 1 to `final` along half a cosine over the budget (Loshchilov & Hutter 2017, arXiv 1608.03983)."""

    final: float = 0.0
    warmup: int = 0

    def __call__(self, step: int, progress: float) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * _clip(progress)))
        return _rise(step, self.warmup) * (self.final + (1 - self.final) * fall)


@register(Schedule)
@dataclass(frozen=True)
class Exponential:
    """From 1 to `final` over the budget, by a constant factor per step."""

    final: float = 0.1
    warmup: int = 0

    def __post_init__(self):
        if self.final <= 0:
            raise UserError(f"optim.schedule.final: an exponential decay ends above 0, got {self.final}")

    def __call__(self, step: int, progress: float) -> float:
        return _rise(step, self.warmup) * self.final ** _clip(progress)


@register(Schedule)
@dataclass(frozen=True)
class Decay:
    """max(exp(-step / steps), floor), whatever the budget: the schedule of Kossen et al. 2020."""

    steps: int = 40000
    floor: float = 0.1

    def __call__(self, step: int, progress: float) -> float:
        return max(math.exp(-step / self.steps), self.floor)


@register(Schedule)
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


# The optimiser, the clipping of gradients and the average of weights, from plain options.


@dataclass(frozen=True)
class Optim:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) or AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101).

    amsgrad: whether to use the variant of Reddi et al. 2018 (arXiv 1904.09237)
    clip: largest norm of the whole gradient; None for no limit
    ema: decay per step of an average of the weights, which is then validated and saved; None for no average
    schedule: factor on `lr` over the training
    """

    name: str = "adam"
    lr: float = 1e-3
    amsgrad: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float | None = 1.0
    ema: float | None = None
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self):
        if self.name not in ("adam", "adamw"):
            raise UserError(f"optim.name={self.name}: expected adam or adamw")
        if not self.lr > 0:
            raise UserError(f"optim.lr={self.lr}: expected a number above 0")
        if self.clip is not None and not self.clip > 0:
            raise UserError(f"optim.clip={self.clip}: expected a number above 0, or null")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise UserError(f"optim.ema={self.ema}: expected a decay from 0 to below 1, or null")

    def optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser of some parameters."""
        make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.name]
        return make(
            parameters,
            lr=self.lr,
            betas=tuple(self.betas),
            eps=self.eps,
            weight_decay=self.weight_decay,
            amsgrad=self.amsgrad,
            fused=True,  # one pass over all parameters: models here have many small ones
        )

    def clip_gradient(self, parameters: list[nn.Parameter]) -> Tensor:
        """Scale the gradient down to norm `clip`; return the norm before, a scalar on its device."""
        limit = float("inf") if self.clip is None else self.clip
        return nn.utils.clip_grad_norm_(parameters, limit)


class WeightAverage:
    """Exponential moving average of a model's parameters, over fewer steps at the beginning."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = model, decay
        self.values = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the weights after update number `step`, from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(self.values, [p.detach() for p in self.model.parameters()], step)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the average inside the context, and its own weights back afterwards."""
        own = [p.detach().clone() for p in self.model.parameters()]
        self.write(self.values)
        try:
            yield
        finally:
            self.write(own)

    @torch.no_grad()
    def write(self, values: list[Tensor]) -> None:
        """Copy `values` into the model's parameters."""
        for parameter, value in zip(self.model.parameters(), values, strict=True):
            parameter.copy_(value)
