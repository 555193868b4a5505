"""What a person sees while a model trains: a bar on a terminal, else one line for every line of the log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from seqvae.train.budget import Budget
from seqvae.train.stages import Start

BAR = "{percentage:3.0f}% |{bar:24}| {desc}"


class Progress:
    """Shows step, frames a second, time left and a few numbers on stderr."""

    def __init__(self, budget: Budget, frames_a_step: int, show: bool = True, begin: Start = Start()):  # noqa: B008
        self.budget, self.frames_a_step, self.begin = budget, frames_a_step, begin
        self.show = show
        self.bar = None
        if show and sys.stderr.isatty():
            self.bar = tqdm(total=100, bar_format=BAR, leave=True, dynamic_ncols=True)
        self.start()

    def start(self, step: int | None = None) -> None:
        """Begin timing at `step`; also after a pause that is no training (validation)."""
        self.since, self.since_step = time.monotonic(), step

    def frames_per_second(self, step: int) -> float:
        """The pace since `start`."""
        return self.frames_a_step * self._steps(step) / max(time.monotonic() - self.since, 1e-9)

    def update(self, step: int, elapsed: float, pace: float, numbers: dict[str, float]) -> None:
        """Show where the training stands. pace: frames a second."""
        if not self.show:
            return
        step, elapsed = step - self.begin.step, elapsed - self.begin.elapsed
        left = self.budget.seconds_left(step, elapsed, self.frames_a_step / max(pace, 1e-9))
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
        """A line of its own, above the bar."""
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
    """1:05 or 2:03:04."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
