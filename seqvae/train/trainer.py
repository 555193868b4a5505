"""The training loop: update, log, validate and save, until the budget is spent or a signal arrives."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from seqvae import checkpoint as files
from seqvae.checkpoint import Checkpoint
from seqvae.data.clips import ClipRequest
from seqvae.io import atomic_write
from seqvae.provenance import Provenance, environment
from seqvae.sequence import SequenceModel
from seqvae.train.diagnostics import slot_statistics, warnings
from seqvae.train.learner import Learner, Update
from seqvae.train.logging import Logbook, Meter
from seqvae.train.progress import Outlook, Progress
from seqvae.train.runtime import Interrupt, device_name, own_randomness, restore_rng, rng_state
from seqvae.train.stages import BEGIN, StageStart, TrainerOptions
from seqvae.train.state import TrainingState
from seqvae.train.trackers import Trackers
from seqvae.train.validation import Report

WARN_AFTER = 0.05  # share of the budget before which slots are not warned about


@runtime_checkable
class Clips(Protocol):
    """Training clips on the model's device, a dataclass per batch, as a pure function of the request."""

    def batch(self, request: ClipRequest) -> Any: ...


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient is not finite."""


@dataclass(frozen=True)
class TrainResult:
    """The end of a training.

    step: updates so far
    signal: number of the signal that arrived; None if none did
    """

    step: int
    signal: int | None


class Trainer:
    """Trains one model in one run folder. Of several ranks only the first validates, logs and saves.

    validate: scores a model, with random numbers of its own; None for no validation
    run: folder of the run
    config: config of the whole run as plain data, for the checkpoints
    start: beginning of this stage; steps and seconds count on from there
    provenance: origin of the training, for the checkpoints
    trackers: open trackers of the run; None for none
    outlook: the place of this stage among those of the run
    """

    def __init__(
        self,
        learner: Learner,
        clips: Clips,
        validate: Callable[[SequenceModel], Report] | None,
        options: TrainerOptions,
        run: Path,
        config: dict[str, Any],
        seed: int,
        device: torch.device,
        start: StageStart = BEGIN,
        provenance: Provenance | None = None,
        trackers: Trackers | None = None,
        outlook: Outlook | None = None,
    ):
        self.learner, self.clips, self.validate, self.options = learner, clips, validate, options
        self.outlook, self.chosen_by = outlook, "validation"
        self.run, self.config, self.seed, self.device = run, config, seed, device
        self.model, self.ranks, self.budget = learner.model, learner.ranks, options.budget
        self.start, self.step = start, start.step
        self.provenance, self.trackers = provenance or Provenance(), trackers
        self.validated = start.step  # step of the last validation
        self.best = start.best
        self.scores: Mapping[str, float] = {}
        self.elapsed = start.elapsed  # seconds of training, over all stages and resumes
        self.saved = (self.step, self.elapsed)  # step and elapsed seconds of the last checkpoint
        self.meter = Meter()
        self.warned: set[str] = set()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint, with everything that later updates depend on.

        Raises:
            UserError: the state of the training does not fit the model.
        """
        state = TrainingState.read(checkpoint.training or {})
        self.learner.restore(checkpoint.model, state.learner)
        self.learner.objective.restore(state.objective)
        self.step, self.scores = checkpoint.step, checkpoint.scores
        self.validated, self.best, self.elapsed = state.validated, state.best, state.elapsed
        self.saved = (self.step, self.elapsed)
        restore_rng(state.rng[0], self.device)

    def fit(self) -> TrainResult:
        """Train until the budget is spent, or until the first SIGINT or SIGTERM.

        Raises:
            NonFiniteLoss: the loss or gradient is not finite. The last checkpoint stays as it was, and the
                batch is in the run folder.
        """
        with contextlib.ExitStack() as stack:
            if self.ranks.first:
                log = Logbook(self.run, self.step, self.validated, self.trackers)
                self.log = stack.enter_context(contextlib.closing(log))
                self.log.environment(self.step, environment() | {"device": device_name(self.device)})
            self.display = Progress(self.options, self.ranks.first, self.start, self.outlook)
            stack.enter_context(contextlib.closing(self.display))
            interrupt = stack.enter_context(Interrupt())
            if self.step == self.start.step:
                self._save()
            begin = time.monotonic() - self.elapsed
            self.display.start(self.step)
            while True:
                spent = self.budget.spent(*self._used())
                due = self._used()[0] % self.options.validate_every == 0 or spent
                if due and self.validated != self.step:
                    self._validate()
                if spent:
                    break
                with interrupt.blamed():
                    self._update()
                stop, self.elapsed = self.ranks.agree(interrupt.signal or 0, time.monotonic() - begin)
                if stop:
                    self._save()
                    return TrainResult(self.step, int(stop))
                if self.elapsed - self.saved[1] >= self.options.checkpoint_seconds:
                    self._save()
            self._save()
            stop = self.ranks.agree(interrupt.signal or 0)[0]
        return TrainResult(self.step, int(stop) or None)

    def _used(self) -> tuple[int, float]:
        """Return updates and seconds of this stage."""
        return self.step - self.start.step, self.elapsed - self.start.elapsed

    def _batch(self, step: int) -> Any:
        size, length = self.options.batch_size, self.options.clip_length
        return self.clips.batch(ClipRequest(step, size, length, self.seed, self.ranks.rank, self.ranks.size))

    def _update(self) -> None:
        progress = self.budget.progress(*self._used())
        update = self.learner.gradient(self._batch(self.step), progress)
        self.meter.add(self.step, update.numbers)
        if self.device.type == "cpu":  # elsewhere a look means waiting, so log and checkpoint take it
            self._require_finite()
        self.learner.apply(self._used()[0], progress)
        self.step += 1
        if self.step % self.options.log_every == 0:
            self._require_finite()
            if self.ranks.first:
                self._log(update, progress)

    def _require_finite(self) -> None:
        found = self.meter.first_not_finite()
        if found is None:
            return
        step, numbers = found
        of_rank = f"_rank{self.ranks.rank}" if self.ranks.size > 1 else ""
        path = self.run / f"notfinite_step{step}{of_rank}.pt"
        content = {"step": step, "numbers": numbers, "batch": asdict(self._batch(step))}
        atomic_write(path, lambda file: torch.save(content, file))
        names = ", ".join(name for name, value in numbers.items() if not math.isfinite(value))
        kept = f"{self.run / files.LAST} (step {self.saved[0]})"
        raise NonFiniteLoss(
            f"step {step}: {names} not finite; last good checkpoint: {kept}; the batch: {path}"
        )

    def _log(self, update: Update, progress: float) -> None:
        numbers = self.meter.read()
        pace = self.display.frames_per_second(self.step)
        numbers |= {"lr": self.learner.lr(self._used()[0] - 1, progress), "frames_per_second": pace}
        self.log.scalars("train", self.step, numbers | {"elapsed": self.elapsed})
        frame, layout = self.model.frame, self.model.layout
        limits, background = frame.size_limits, self.model.background_slots
        slots = slot_statistics(update.trace, update.terms, layout, limits, background)
        self.log.scalars("slots", self.step, slots.as_dict())
        self.display.update(self.step, self.elapsed, pace, {"loss": numbers["loss"]} | self._shown_scores())
        if progress >= WARN_AFTER:
            self._warn(warnings(slots))
        self.display.start(self.step)

    def _shown_scores(self) -> dict[str, float]:
        return {} if self.best is None else {f"best {self.chosen_by}": self.best}

    def _warn(self, found: dict[str, str]) -> None:
        """Log and show each warning once, when it appears."""
        for name, text in found.items():
            if name not in self.warned:
                self.log.warning(self.step, text)
                self.display.say(f"warning, step {self.step}: {text}")
        self.warned = set(found)

    def _validate(self) -> None:
        self._require_finite()
        if self.ranks.first and self.validate is not None:
            self.model.eval()
            with self.learner.average_in_place(), own_randomness(self.seed, self.device):
                report = self.validate(self.model)
            self.scores, self.chosen_by = report.scores, report.chosen_by
            self.log.scalars("validation", self.step, report.scores)
            for name, image in report.images.items():
                self.log.image(name, self.step, image)
            self.display.say(f"validation, step {self.step}: {report}")
            if self.best is None or report.criterion < self.best:
                self.best = report.criterion
                self._write(files.BEST)
        self.validated = self.step
        self.display.start(self.step)

    def _save(self) -> None:
        self._require_finite()
        rng = [rng_state(self.device)]
        self.saved = (self.step, self.elapsed)
        if self.ranks.first:
            state = TrainingState(
                self.learner.state(),
                rng,
                self.elapsed,
                self.validated,
                self.best,
                self.start.as_dict(),
                self.learner.objective.state(),
            )
            self._write(files.LAST, vars(state))

    def _write(self, name: str, training: dict[str, Any] | None = None) -> None:
        state = self.learner.model_state()
        origin = vars(self.provenance)
        scores = dict(self.scores)
        content = Checkpoint(self.step, self.config, self.model.spec, state, scores, training, **origin)
        files.save(self.run / name, content)
