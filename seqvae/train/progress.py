"""Progress of a training for people: a bar on a terminal, else a line per line of the log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from seqvae.train.stages import BEGIN, Stage, StageStart, TrainerOptions

BAR = "{percentage:3.0f}% |{bar:24}| {desc}"


@dataclass(frozen=True)
class Outlook:
    """A stage among the stages of its run, as far as their lengths are concerned.

    stages: all stages of the run, in order; empty for a stage that is the whole run
    index: number of the current one
    """

    stages: Sequence[Stage] = ()
    index: int = 0

    @property
    def steps(self) -> int | None:
        """Steps of the whole run; None where a stage is bounded by time alone, or there are no stages."""
        counts = [stage.trainer.steps for stage in self.stages if stage.trainer.steps]
        return sum(counts) if counts and len(counts) == len(self.stages) else None

    @property
    def place(self) -> str:
        """Name and number of the stage, empty in a run of one."""
        if len(self.stages) < 2:
            return ""
        return f"stage {self.stages[self.index].name}, {self.index + 1} of {len(self.stages)}"

    def seconds_after(self, pace: float) -> float:
        """Return the most that the later stages can take. pace: frames per second, now.

        Encodings of frames take no longer than frames do.
        """
        later = self.stages[self.index + 1 :]
        return sum(
            stage.trainer.budget.seconds_left(0, 0.0, frames_per_step(stage.trainer) / max(pace, 1e-9))
            for stage in later
        )


def frames_per_step(options: TrainerOptions) -> int:
    """Return the frames in a batch."""
    return options.batch_size * options.clip_length


class Progress:
    """Shows step, frames per second, time left and a few numbers on stderr.

    begin: beginning of the stage
    outlook: its place among the stages of the run
    """

    def __init__(
        self,
        options: TrainerOptions,
        show: bool = True,
        begin: StageStart = BEGIN,
        outlook: Outlook | None = None,
    ):
        self.budget, self.frames_per_step, self.begin = options.budget, frames_per_step(options), begin
        self.outlook = outlook or Outlook()
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
        """Show the state of the training.

        step, elapsed: updates and seconds so far, over all stages
        pace: frames per second
        """
        if not self.show:
            return
        within, seconds = step - self.begin.step, elapsed - self.begin.elapsed
        left = self.budget.seconds_left(within, seconds, self.frames_per_step / max(pace, 1e-9))
        after = self.outlook.seconds_after(pace)
        last = self.begin.step + self.budget.steps if self.budget.steps else None
        total = self.outlook.steps if self.outlook.stages else last
        words = [f"step {step}" + (f"/{total}" if total else "")]
        words += [self.outlook.place] if self.outlook.place else []
        words += [f"{pace:,.0f} frames/s", f"{clock(left)} left"]
        words[-1] += f", all stages at most {clock(left + after)}" if after else ""
        words += [f"{name} {value:.4g}" for name, value in numbers.items()]
        text = "  ".join(words)
        share = 100 * elapsed / max(elapsed + left + after, 1e-9)
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
