"""How long to train: a number of steps, a number of minutes, or whichever ends first."""

from __future__ import annotations

from dataclasses import dataclass

from seqvae.types import UserError


@dataclass(frozen=True)
class Budget:
    """Progress of a training from its updates so far and its elapsed seconds (summed over resumes).

    A run bounded by steps alone is a function of its config and seed. With minutes, the schedules follow
    the clock and the number of updates depends on the machine, so such a run cannot be reproduced exactly.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self):
        if self.steps is None and self.minutes is None:
            raise UserError("trainer: give a budget, trainer.steps=N or trainer.minutes=M")
        for name in ("steps", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"trainer.{name}={value}: expected a number above 0")

    def progress(self, step: int, elapsed: float) -> float:
        """The share of the budget that is used up, in [0, 1]."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def spent(self, step: int, elapsed: float) -> bool:
        return self.progress(step, elapsed) >= 1.0

    def seconds_left(self, step: int, elapsed: float, seconds_a_step: float) -> float:
        """An estimate from the pace so far."""
        left = []
        if self.steps:
            left.append((self.steps - step) * seconds_a_step)
        if self.minutes:
            left.append(60 * self.minutes - elapsed)
        return max(0.0, min(left))

    def __str__(self) -> str:
        parts = [f"{self.steps} steps"] if self.steps else []
        parts += [f"{self.minutes:g} minutes"] if self.minutes else []
        return " or ".join(parts)
