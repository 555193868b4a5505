"""Stages of a training: one after the other, each with its own source, parts, objective and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from seqvae.config import make
from seqvae.errors import UserError, did_you_mean

# How long to train: a number of steps, a number of minutes, or whichever ends first.


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


# The options of a training, checked where they are made.

DEVICES = ("auto", "cpu", "cuda")
COUNTS = ("batch_size", "clip_length", "log_every", "validate_every", "context", "validation_sequences")
PRECISIONS = ("float32", "bf16")
CRITERIA = {  # name -> in words
    "pixels": "the pixel error of predicted frames 1-10, without labels",
    "objective": "the objective, without labels",
    "positions": "the error of predicted positions 1-10, by the true states",
}
OLDER_CRITERION = "positions"  # of runs from before there was a choice


@dataclass(frozen=True)
class Options:
    """How to train, apart from model, data, objective and optimiser.

    steps, minutes: the budget (seqvae.train.stages). batch_size: sequences an update, over all processes
    together. clip_length: frames a sequence. log_every, validate_every: in steps. checkpoint_seconds: the
    most that a killed training loses. context, horizon: frames seen and predicted in validation; by default
    92 are predicted, or what the data has.
    validation_sequences: how many of the validation set's first sequences are used. criterion: what chooses
    the best checkpoint: "pixels", the error of predicted frames 1-10; the "objective"; or "positions", the
    error of predicted positions 1-10, which looks at the true states. Without positions "positions" is
    "pixels", and without predicted frames, as with single images, that is the objective.
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

    def __post_init__(self):
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise UserError(f"trainer.{name}={getattr(self, name)}: expected a whole number from 1")
        if self.checkpoint_seconds < 0:
            raise UserError(f"trainer.checkpoint_seconds={self.checkpoint_seconds}: expected 0 or more")
        if self.criterion not in CRITERIA:
            raise UserError(f"trainer.criterion={self.criterion}: expected {', '.join(CRITERIA)}")
        self.budget  # noqa: B018  says at once if there is none

    @property
    def budget(self) -> Budget:
        return Budget(self.steps, self.minutes)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device for `auto` (CUDA where there is one), `cpu` or `cuda`.

    Raises:
        UserError: the name is none of these, or CUDA is asked for and absent.
    """
    if name not in DEVICES:
        raise UserError(f"device={name}: expected {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch sees no CUDA device; use device=cpu, or a CUDA build of torch")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


def check_precision(name: str) -> str:
    """float32, or bf16: matrix products in bfloat16, weights and likelihoods in float32.

    Raises:
        UserError: the name is neither.
    """
    if name not in PRECISIONS:
        raise UserError(f"precision={name}: expected {' or '.join(PRECISIONS)}")
    return name


SOURCES = ("frames", "evidence", "states")
PARTS = ("frame", "posterior", "dynamics")
SPREAD = "spread"  # of posterior and dynamics: what scales their stds, trained only where it is named
BEGINS = ("last", "best")
KEYS = ("source", "parts", "begin", "objective", "optim", "trainer")


@dataclass(frozen=True)
class Stage:
    """One stage's config. source: "frames"; "evidence", which is encoded once at the stage's begin; or the
    true "states" of the data, for dynamics trained with supervision.

    parts: the parts of the model that are trained. begin: with the "last" weights of the stage before, or
    the "best" that were validated so far. objective, optim, trainer: as in the run's config.
    """

    index: int
    name: str
    source: str
    parts: tuple[str, ...]
    begin: str
    objective: dict[str, Any]
    optim: dict[str, Any]
    trainer: dict[str, Any]

    @property
    def options(self) -> Options:
        """The stage's checked options; faults name their key."""
        return make(Options, self.trainer, self.key("trainer"))

    def key(self, name: str) -> str:
        """Where the stage's own settings stand, for messages."""
        return f"stages.{self.name}.{name}" if self.name else name


@dataclass(frozen=True)
class Start:
    """Where a stage begins: updates, seconds and best validation of the stages before it."""

    stage: int = 0
    step: int = 0
    elapsed: float = 0.0
    best: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "step": self.step, "elapsed": self.elapsed, "best": self.best}


def stages(config: Mapping[str, Any]) -> list[Stage]:
    """The stages of a run's config.

    Without `stages` the run has one, as the top-level keys say. Else `stages` maps names to what differs
    from the top-level keys; the order is that of the config.

    Raises:
        UserError: a stage names an unknown key, source or part.
    """
    base = {key: config[key] for key in ("objective", "optim", "trainer")}
    asked = config.get("stages") or {"": {}}
    return [_stage(i, name, own or {}, base) for i, (name, own) in enumerate(asked.items())]


def _stage(index: int, name: str, own: Mapping[str, Any], base: Mapping[str, Any]) -> Stage:
    for key in own:
        if key not in KEYS:
            raise UserError(f"stages.{name}.{key}: unknown; {did_you_mean(key, KEYS)}")
    source, parts = own.get("source", "frames"), tuple(own.get("parts", PARTS))
    if source not in SOURCES:
        raise UserError(f"stages.{name}.source={source}: expected {', '.join(SOURCES)}")
    if not parts or not set(parts) <= {*PARTS, SPREAD}:
        raise UserError(f"stages.{name}.parts={list(parts)}: expected some of {', '.join([*PARTS, SPREAD])}")
    begin = own.get("begin", "last")
    if begin not in BEGINS:
        raise UserError(f"stages.{name}.begin={begin}: expected {' or '.join(BEGINS)}")
    if source != "frames" and "frame" in parts:
        raise UserError(f"stages.{name}.parts: without frames the frame model cannot be trained")
    return Stage(
        index,
        name,
        source,
        parts,
        begin,
        objective=own.get("objective", base["objective"]),
        optim=base["optim"] | own.get("optim", {}),
        trainer=base["trainer"] | own.get("trainer", {}),
    )
