"""Stages of a training: one after the other, each with its own source, parts, objective and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from seqvae.config import instantiate, make
from seqvae.errors import UserError, checked_fields
from seqvae.objectives import Objective
from seqvae.train.optim import Optim
from seqvae.train.trackers import AUTO, tracker_names

SOURCES = ("frames", "evidence", "states")
PARTS = ("frame", "posterior", "dynamics", "reward")
SPREAD = "spread"  # of posterior and dynamics: what scales their stds, trained only where it is named
BEGINS = ("last", "best")
CRITERIA = {  # name -> in words
    "pixels": "the pixel error of predicted frames 1-10, of single images the objective, without labels",
    "objective": "the objective, without labels",
    "positions": "the error of predicted positions 1-10, by the true states",
}
OLDER_CRITERION = "positions"  # of runs from before there was a choice


@dataclass(frozen=True)
class Budget:
    """Length of a training, in updates, in minutes over all resumes, or whichever ends first.

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
        """Return the used share of the budget, in [0, 1]."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def spent(self, step: int, elapsed: float) -> bool:
        """Return whether the budget is used up."""
        return self.progress(step, elapsed) >= 1.0

    def seconds_left(self, step: int, elapsed: float, seconds_per_step: float) -> float:
        """Estimate the remaining seconds from the pace so far."""
        left = []
        if self.steps:
            left.append((self.steps - step) * seconds_per_step)
        if self.minutes:
            left.append(60 * self.minutes - elapsed)
        return max(0.0, min(left))

    def __str__(self) -> str:
        parts = [f"{self.steps} steps"] if self.steps else []
        parts += [f"{self.minutes:g} minutes"] if self.minutes else []
        return " or ".join(parts)


@dataclass(frozen=True)
class TrainerOptions:
    """Options of the training loop; see configs/trainer/.

    steps, minutes: the budget
    batch_size: clips per update, over all processes together
    clip_length: frames per clip, checked against data and objective by `Stage.require_clips`
    log_every, validate_every: steps
    checkpoint_seconds: seconds between checkpoints
    context, horizon: frames seen and frames predicted in validation; None: 92, or the rest of the data
    validation_sequences: number of sequences that are validated on, the first of the set
    criterion: number that chooses the best checkpoint, one of CRITERIA. Without positions "positions" is
        "pixels", and without predicted frames, as with single images, that is the objective
    tracker: trackers beside the log of the run (seqvae/train/trackers.py), or "auto"
    """

    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 64
    clip_length: int = 8
    log_every: int = 100
    validate_every: int = 1000
    checkpoint_seconds: float = 30.0
    context: int = 8
    horizon: int | None = None
    validation_sequences: int = 100
    criterion: str = "pixels"
    tracker: str | tuple[str, ...] | None = AUTO

    def __post_init__(self):
        for name in ("batch_size", "log_every", "validate_every", "context", "validation_sequences"):
            if getattr(self, name) < 1:
                raise UserError(f"trainer.{name}={getattr(self, name)}: expected a whole number from 1")
        if self.checkpoint_seconds < 0:
            raise UserError(f"trainer.checkpoint_seconds={self.checkpoint_seconds}: expected 0 or more")
        if self.criterion not in CRITERIA:
            raise UserError(f"trainer.criterion={self.criterion}: expected {', '.join(CRITERIA)}")
        tracker_names(self.tracker)
        self.budget  # noqa: B018  raises if there is none

    @property
    def budget(self) -> Budget:
        return Budget(self.steps, self.minutes)


@dataclass(frozen=True)
class StageStart:
    """Beginning of a stage: updates, seconds and best validation of the stages before it."""

    stage: int = 0
    step: int = 0
    elapsed: float = 0.0
    best: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


BEGIN = StageStart()  # of a training


@dataclass(frozen=True)
class StageChanges:
    """A stage in `stages:` of a config: its differences from the keys of the whole run.

    source: "frames"; "evidence", their encodings at the beginning of the stage; or the true "states" of the
        data, for dynamics trained with supervision
    parts: parts of the model that are trained
    begin: whether it begins with the "last" weights of the stage before, or the "best" validated ones
    """

    source: str = "frames"
    parts: tuple[str, ...] = PARTS
    begin: str = "last"
    objective: Mapping[str, Any] | None = None
    optim: Mapping[str, Any] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def require_possible(self, name: str) -> None:
        """Raise UserError for an unknown value in stage `name`, or a frame model trained without frames."""
        if self.source not in SOURCES:
            raise UserError(f"stages.{name}.source={self.source}: expected {', '.join(SOURCES)}")
        if not self.parts or not set(self.parts) <= {*PARTS, SPREAD}:
            known = ", ".join([*PARTS, SPREAD])
            raise UserError(f"stages.{name}.parts={list(self.parts)}: expected some of {known}")
        if self.begin not in BEGINS:
            raise UserError(f"stages.{name}.begin={self.begin}: expected {' or '.join(BEGINS)}")
        if self.source != "frames" and "frame" in self.parts:
            raise UserError(f"stages.{name}.parts: without frames the frame model cannot be trained")


@dataclass(frozen=True)
class Stage:
    """One stage, built and checked. own: its config, where that differs from the config of the run."""

    index: int
    name: str
    source: str
    parts: tuple[str, ...]
    begin: str
    objective: Objective
    optim: Optim
    trainer: TrainerOptions
    own: Mapping[str, Any] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """Return the full key of one of the stage's settings, for messages."""
        return f"stages.{self.name}.{name}" if self.name else name

    def require_clips(self, clips: Any) -> None:
        """Raise UserError unless clips of the stage's length exist and hold all frames of the objective.

        clips: training clips, which know the length of their sequences
        """
        length, start, context = self.trainer.clip_length, self.objective.start, self.objective.context
        key = self.key("trainer.clip_length")
        if length < 1:
            raise UserError(f"{key}={length}: expected a whole number from 1")
        if length < start:
            where = self.key("objective.start")
            raise UserError(f"{key}={length}: {where}={start} needs clips of {start} frames or more")
        if context and length <= context:
            raise UserError(f"{key}={length}: a rollout after {context} frames needs longer clips")
        clips.require_clips(length)


def build_stages(
    objective: Mapping[str, Any],
    optim: Mapping[str, Any],
    trainer: Mapping[str, Any],
    stages: Mapping[str, Any] | None,
) -> tuple[Stage, ...]:
    """Build the stages of a run from the keys of its config.

    Without `stages` the run has one, with the other keys. Else `stages` maps names to differences from them,
    in order.

    Raises:
        UserError: a stage names an unknown key, source, part or argument.
    """
    base = StageChanges(objective=objective, optim=optim, trainer=trainer)
    wanted = stages or {"": None}
    return tuple(_build_stage(i, name, own or {}, base) for i, (name, own) in enumerate(wanted.items()))


def _build_stage(index: int, name: str, own: Mapping[str, Any], base: StageChanges) -> Stage:
    changes = StageChanges(**checked_fields(StageChanges, own, UserError, f"stages.{name}."))
    changes.require_possible(name)
    where = f"stages.{name}." if name else ""
    return Stage(
        index,
        name,
        changes.source,
        changes.parts,
        changes.begin,
        instantiate(changes.objective or base.objective, f"{where}objective", Objective),
        make(Optim, {**base.optim, **changes.optim}, f"{where}optim"),
        make(TrainerOptions, {**base.trainer, **changes.trainer}, f"{where}trainer"),
        own,
    )
