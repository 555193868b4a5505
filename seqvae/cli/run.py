"""Run folders: where a training writes, and whether it starts, goes on, or is already complete."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqvae import checkpoint as files
from seqvae.checkpoint import Checkpoint
from seqvae.cli.compose import compose, flatten, groups, no_such_key, said
from seqvae.cli.data import ONLINE
from seqvae.errors import UserError
from seqvae.io import TEMPORARY
from seqvae.train.logging import FILE as LOG
from seqvae.train.stages import OLDER_CRITERION, Stage, Start, stages

CONFIG = "config.yaml"
TENSORBOARD = "tensorboard"
# what a resumed run may be told anew: how long, how often, where; never what is trained
MAY_CHANGE = (
    "trainer.steps",
    "trainer.minutes",
    "trainer.log_every",
    "trainer.checkpoint_seconds",
    "device",
    "threads",
    "compile",
    "data",
    "val",
    "memory",
    "workers",
)
OF_THE_COMMAND = ("run", "resume")


@dataclass(frozen=True)
class Plan:
    """What to do: train `config` in the folder `run`, from `checkpoint` on if there is one."""

    config: dict[str, Any]
    run: Path
    checkpoint: Checkpoint | None = None

    @property
    def last_stage(self) -> Stage:
        return stages(self.config)[-1]

    @property
    def complete(self) -> bool:
        """Whether the budget is already spent."""
        if self.checkpoint is None:
            return False
        step, state, last = self.checkpoint.step, self.checkpoint.training, self.last_stage
        start = Start(**state["start"])
        spent = last.options.budget.spent(step - start.step, state["elapsed"] - start.elapsed)
        return start.stage == last.index and spent and state["validated"] == step


def plan(overrides: list[str]) -> Plan:
    """Decide from the overrides of the command.

    resume=false starts, in an empty folder; resume=true continues with the run's own config; resume=auto
    does whichever applies.

    Raises:
        UserError: the folder is in use, or holds nothing to resume; or a key is asked to differ from the
            run's own config that must not.
    """
    asked = said(overrides)
    resume, run = asked.get("resume", False), asked.get("run")
    if resume not in (True, False, "auto"):
        raise UserError(f"resume={resume}: expected true, false or auto")
    if run is None:
        if resume is True:
            raise UserError("resume=true: say which run, run=DIR")
        config = _composed(overrides)
        _require_heard(asked, config)
        return Plan(config, Path("runs") / _default_name(config["choices"]))
    run = Path(run)
    if run.exists() and not run.is_dir():
        raise UserError(f"run={run}: is a file; give a folder")
    last = run / files.LAST
    if not last.is_file():
        if resume is True:
            raise UserError(f"run={run}: there is no training to resume (no {files.LAST})")
        if _in_use(run):
            raise UserError(f"run={run}: exists and is not empty; choose another folder")
        config = _composed(overrides)
        _require_heard(asked, config)
        return Plan(config, run)
    if resume is False:
        raise UserError(f"run={run}: holds a training; continue it with resume=true, or choose another run=")
    checkpoint = files.load(last)
    if checkpoint.training is None:
        raise UserError(f"{last}: holds a model but no state of its training, so it cannot be resumed")
    if groups() & asked.keys():  # experiment=... says everything
        wanted = flatten(_composed(overrides))
    else:
        wanted = {key: value for key, value in asked.items() if key not in OF_THE_COMMAND}
    # an older run says nothing of keys that are newer than it
    own = {key: value for key, value in _composed([]).items() if key not in checkpoint.config}
    own |= checkpoint.config
    own["trainer"] = {"criterion": OLDER_CRITERION} | own["trainer"]
    config = _merged(own, wanted, asked, run)
    _require_heard(asked, config)
    return Plan(config, run, checkpoint)


def how_to_resume(run: Path, ranks: int = 1) -> str:
    """The command that continues a run."""
    start = "python -m seqvae" if ranks == 1 else f"torchrun --nproc-per-node {ranks} -m seqvae"
    return f"{start} train {shlex.quote(f'run={run}')} resume=true"


def _composed(overrides: list[str]) -> dict[str, Any]:
    return {key: value for key, value in compose("train", overrides).items() if key not in OF_THE_COMMAND}


def _merged(
    own: dict[str, Any], wanted: dict[str, Any], asked: Mapping[str, Any], run: Path
) -> dict[str, Any]:
    """The run's own config, with what may change as asked for by name; all else wanted must agree with it."""
    ours = flatten(own)
    for key, value in wanted.items():
        if key.startswith("choices."):
            continue
        if key not in ours and key in asked:
            raise UserError(no_such_key(key, ours.keys()))
        if not _may_change(key) and ours.get(key) != value:
            raise UserError(
                f"{key}: run={run} was trained with {ours.get(key)!r}, now {value!r}; "
                "a run keeps its config: leave the key out, or choose another run="
            )
    merged = _copy(own)
    for key, value in asked.items():
        if _may_change(key):
            *path, name = key.split(".")
            place = merged
            for part in path:
                place = place[part]
            place[name] = value
    return merged


def _require_heard(asked: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse a key that nobody would look at, since each stage sets its own, or data come from files."""
    for key in asked:
        if config["data"] != ONLINE and key.partition(".")[0] in ("sim", ONLINE, "image_size"):
            raise UserError(f"{key}: only data={ONLINE} simulates; add that, or leave the key out")
    own = config.get("stages") or {}
    for key in asked:
        if own and all(key in flatten(stage) for stage in own.values()):
            stage = list(own)[-1]
            raise UserError(f"{key}: each stage has its own; say for instance stages.{stage}.{key}")


def _may_change(key: str) -> bool:
    """Whether a resumed run may be told `key` anew; of a stage, what it may be told of the run."""
    return key in MAY_CHANGE or (key.startswith("stages.") and key.split(".", 2)[-1] in MAY_CHANGE)


def _copy(config: Any) -> Any:
    return {key: _copy(value) for key, value in config.items()} if isinstance(config, dict) else config


def _in_use(run: Path) -> bool:
    """Whether a folder holds more than what a training leaves that was killed before its first checkpoint."""
    ours = {LOG, CONFIG, TENSORBOARD}
    return run.is_dir() and any(
        entry.name not in ours and not entry.name.startswith(TEMPORARY) for entry in run.iterdir()
    )


def _default_name(choices: Mapping[str, Any]) -> str:
    what = choices.get("experiment") or choices.get("model") or "run"
    return f"{what}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
