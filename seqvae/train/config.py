"""Config of a training, read once from plain data and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqvae.config import make
from seqvae.errors import UserError, checked_fields
from seqvae.train.runtime import require_device
from seqvae.train.stages import OLDER_CRITERION, Stage, build_stages
from seqvae.train.trackers import AUTO, tracker_names

ONLINE = "online"  # as `data`: no file, but the simulator that `sim` names
PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Online:
    """Sequences that are simulated while the training runs; see configs/train.yaml."""

    length: int = 100
    seed: int = 0
    sequences: int = 1000

    def __post_init__(self):
        for name, minimum in {"length": 1, "seed": 0, "sequences": 1}.items():
            _require_at_least(f"online.{name}", getattr(self, name), minimum)


@dataclass(frozen=True)
class TrainConfig:
    """Config of a training, with the keys of configs/train.yaml; stages hold objective, optim and trainer.

    sim, name, image_size: config, name and image edge of the simulator, of data=online
    choices: option chosen for each group of configs
    plugins: modules and files of the user that register parts of the config, for people to read
    plain: config as plain data, for checkpoints
    """

    model: Mapping[str, Any]
    stages: tuple[Stage, ...]
    data: str
    val: str | None
    memory: float
    workers: int
    online: Online
    sim: Mapping[str, Any] | None
    name: str | None
    image_size: int | None
    init: str | None
    seed: int
    device: str
    precision: str
    compile: bool
    threads: int | None
    choices: Mapping[str, str | None]
    plugins: tuple
    plain: Mapping[str, Any] = field(repr=False)

    def __post_init__(self):
        _require_at_least("workers", self.workers, 0)
        _require_at_least("memory", self.memory, 0)
        require_device(self.device)
        if self.precision not in PRECISIONS:
            raise UserError(f"precision={self.precision}: expected {' or '.join(PRECISIONS)}")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads={self.threads}: expected a whole number from 1, or null")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed={self.seed}: expected a whole number from 0 to {2**31 - 1}")
        for stage in self.stages:
            if stage.trainer.tracker != self.stages[0].trainer.tracker:
                raise UserError(
                    f"{stage.key('trainer.tracker')}: all stages have the same; say trainer.tracker="
                )
        if self.image_size is not None:
            _require_at_least("image_size", self.image_size, 1)

    @property
    def is_online(self) -> bool:
        """True if the data is simulated while the training runs."""
        return self.data == ONLINE

    @property
    def validation_sequences(self) -> int:
        """Number of sequences that the validations of all stages look at."""
        return max(stage.trainer.validation_sequences for stage in self.stages)

    @property
    def trackers(self) -> tuple[str, ...]:
        """Names of the trackers of the run, or `auto`."""
        return tracker_names(self.last_stage.trainer.tracker)

    @property
    def last_stage(self) -> Stage:
        """The stage that ends the training."""
        return self.stages[-1]

    @property
    def title(self) -> str:
        """Name of the experiment, else of the model."""
        return self.choices.get("experiment") or self.choices.get("model") or "run"

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> TrainConfig:
        """Read a config, without `run` and `resume`, and build its stages.

        Raises:
            UserError: a key is unknown or missing, or has a wrong value.
        """
        content = {"sim": None, "name": None, "image_size": None, "choices": {}, "plugins": []} | dict(plain)
        staged = {key: content.pop(key) for key in ("objective", "optim", "trainer", "stages")}
        content["online"] = make(Online, content["online"], "online")
        values = checked_fields(cls, content, UserError)
        return cls(stages=build_stages(**staged), plain=plain, **values)


def completed(saved: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of an older run, with the defaults of `newer` keys."""
    trainer = {"criterion": OLDER_CRITERION, "tracker": AUTO} | saved["trainer"]
    return {**newer, **saved, "trainer": trainer}


def _require_at_least(key: str, value: float, minimum: int) -> None:
    if value < minimum:
        raise UserError(f"{key}={value}: must be at least {minimum}")
