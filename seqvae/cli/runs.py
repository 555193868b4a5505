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
from seqvae.cli.compose import flatten, key_of
from seqvae.train import logbook
from seqvae.train.stages import Start, stages
from seqvae.types import UserError

CONFIG = "config.yaml"
TENSORBOARD = "tensorboard"
# what a resumed run may be told anew: how long, how often, where; never what is trained
MAY_CHANGE = (
    "trainer.steps", "trainer.minutes", "trainer.log_every", "trainer.checkpoint_seconds",
    "device", "threads", "data", "val",
)
OF_THE_COMMAND = ("run", "resume")


@dataclass(frozen=True)
class Plan:
    """What to do: train `config` in the folder `run`, from `checkpoint` on if there is one."""

    config: dict[str, Any]
    run: Path
    checkpoint: Checkpoint | None = None

    @property
    def complete(self) -> bool:
        """Whether the budget is already spent."""
        if self.checkpoint is None:
            return False
        step, state, last = self.checkpoint.step, self.checkpoint.training, stages(self.config)[-1]
        start = Start(**state["start"])
        spent = last.budget.spent(step - start.step, state["elapsed"] - start.elapsed)
        return start.stage == last.index and spent and state["validated"] == step


def plan(asked: Mapping[str, Any], overrides: list[str]) -> Plan:
    """Decide from the composed config and the overrides behind it.

    resume=false starts, in an empty folder; resume=true continues with the run's own config; resume=auto
    does whichever applies.

    Raises:
        UserError: the folder is in use, or holds nothing to resume; or a key is asked to differ from the
            run's own config that must not.
    """
    resume = asked["resume"]
    if resume not in (True, False, "auto"):
        raise UserError(f"resume={resume}: expected true, false or auto")
    config = {key: value for key, value in asked.items() if key not in OF_THE_COMMAND}
    if asked["run"] is None:
        if resume is True:
            raise UserError("resume=true: say which run, run=DIR")
        return Plan(config, Path("runs") / _default_name(asked["choices"]))
    run = Path(str(asked["run"]))
    if run.exists() and not run.is_dir():
        raise UserError(f"run={run}: is a file; give a folder")
    last = run / files.LAST
    if not last.is_file():
        if resume is True:
            raise UserError(f"run={run}: there is no training to resume (no {files.LAST})")
        if _in_use(run):
            raise UserError(f"run={run}: exists and is not empty; choose another folder")
        return Plan(config, run)
    if resume is False:
        raise UserError(f"run={run}: holds a training; continue it with resume=true, or choose another run=")
    checkpoint = files.load(last)
    if checkpoint.training is None:
        raise UserError(f"{last}: holds a model but no state of its training, so it cannot be resumed")
    return Plan(_merged(checkpoint.config, config, overrides, run), run, checkpoint)


def how_to_resume(run: Path, ranks: int = 1) -> str:
    """The command that continues a run."""
    start = "python -m seqvae" if ranks == 1 else f"torchrun --nproc-per-node {ranks} -m seqvae"
    return f"{start} train {shlex.quote(f'run={run}')} resume=true"


def _merged(own: dict[str, Any], asked: dict[str, Any], overrides: list[str], run: Path) -> dict[str, Any]:
    """The run's own config, with what may change as asked; all else that was said must agree with it."""
    said = [key for key in map(key_of, overrides) if key not in OF_THE_COMMAND]
    groups = set(asked["choices"])
    ours, theirs = flatten(own), flatten(asked)
    # a group (experiment=...) says everything; a key says itself and what is below
    keys = sorted(ours.keys() | theirs.keys()) if groups & set(said) else [
        key for key in theirs if any(key == s or key.startswith(s + ".") for s in said)
    ]
    for key in keys:
        if not _may_change(key) and not key.startswith("choices.") and ours.get(key) != theirs.get(key):
            raise UserError(
                f"{key}: run={run} was trained with {ours.get(key)!r}, now {theirs.get(key)!r}; "
                "a run keeps its config: leave the key out, or choose another run="
            )
    merged = _copy(own)
    for key in said:
        if _may_change(key):
            *path, name = key.split(".")
            place = merged
            for part in path:
                place = place[part]
            place[name] = theirs[key]
    return merged


def _may_change(key: str) -> bool:
    """Whether a resumed run may be told `key` anew; of a stage, what it may be told of the run."""
    return key in MAY_CHANGE or (key.startswith("stages.") and key.split(".", 2)[-1] in MAY_CHANGE)


def _copy(config: Any) -> Any:
    return {key: _copy(value) for key, value in config.items()} if isinstance(config, dict) else config


def _in_use(run: Path) -> bool:
    """Whether a folder holds more than what a training leaves that was killed before its first checkpoint."""
    ours = {logbook.FILE, CONFIG, TENSORBOARD}
    return run.is_dir() and any(
        entry.name not in ours and not entry.name.startswith(files.TEMPORARY) for entry in run.iterdir()
    )


def _default_name(choices: Mapping[str, Any]) -> str:
    what = choices.get("experiment") or choices.get("model") or "run"
    return f"{what}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
