"""Means of a training's numbers between log lines, kept on the device, and the first that is not finite."""

from __future__ import annotations

import torch
from torch import Tensor


class Meter:
    """Sums named scalars step by step without waiting for the device.

    The names must be the same in every step until `read`. The first step in which one of `watch` is not
    finite is remembered with its numbers, for by the time someone looks everything after it is NaN too.
    """

    def __init__(self, watch: tuple[str, ...] = ("loss", "gradient")):
        self.watch = watch
        self.reset()

    def reset(self) -> None:
        self.names: list[str] = []
        self.count = 0
        self.sum: Tensor | None = None
        self.bad: Tensor | None = None
        self.bad_step: Tensor | None = None

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        """Take in the detached scalars of one step."""
        row = torch.stack([value.detach().float() for value in values.values()])
        if self.sum is None:
            self.names = list(values)
            self.sum, self.bad = torch.zeros_like(row), row
            self.bad_step = torch.full_like(row[0], -1, dtype=torch.long)
        watched = torch.stack([values[name].detach().float() for name in self.watch])
        first_bad = (self.bad_step < 0) & ~watched.isfinite().all()
        self.bad_step = torch.where(first_bad, step, self.bad_step)
        self.bad = torch.where(first_bad, row, self.bad)
        self.sum = self.sum + row
        self.count += 1

    def first_not_finite(self) -> tuple[int, dict[str, float]] | None:
        """The first step since `reset` in which a watched number is not finite, and that step's numbers.

        Waits for the device.
        """
        if self.sum is None or (step := int(self.bad_step)) < 0:
            return None
        return step, dict(zip(self.names, self.bad.tolist(), strict=True))

    def read(self) -> dict[str, float]:
        """The means since the last read, and a new start. Waits for the device."""
        if self.sum is None:
            return {}
        means = dict(zip(self.names, (self.sum / self.count).tolist(), strict=True))
        self.reset()
        return means
