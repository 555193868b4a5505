"""Stages of a training: one after the other, each with its own source, parts, objective and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqvae.build import did_you_mean, make
from seqvae.train.options import Options
from seqvae.types import UserError

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
