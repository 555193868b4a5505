"""Run folders: a training starts in one, continues, or is already complete."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from data_gen.cli.command import ALONE, Job
from data_gen.cli.configs import compose, flatten, no_such_key, without_foreign_arguments
from data_gen.cli.overrides import escape
from data_gen.plugins import needed_plugins
from data_gen.simulator import world_arguments
from seqvae import checkpoint as files
from seqvae.checkpoint import Checkpoint
from seqvae.cli.place import Place
from seqvae.config import arguments_of, parts_made_with, targets
from seqvae.content import content_checked
from seqvae.errors import UserError
from seqvae.io import TEMPORARY, atomic_write
from seqvae.provenance import Provenance
from seqvae.train.config import ONLINE, TrainConfig, completed
from seqvae.train.logging import FILE as LOG
from seqvae.train.stages import BEGIN, StageStart
from seqvae.train.state import TrainingState
from seqvae.train.trackers import IDS

CONFIG = "config.yaml"
TRACKED = ("tensorboard", "wandb", IDS)  # files of trackers
# keys that a resumed run may be given again: how long, how often, where; never what is trained
MAY_CHANGE = (
    "trainer.steps",
    "trainer.minutes",
    "trainer.log_every",
    "trainer.checkpoint_seconds",
    "trainer.tracker",
    "device",
    "threads",
    "compile",
    "data",
    "val",
    "memory",
    "workers",
    "plugins",
)
SIMULATION = ("sim", "online", "image_size")  # keys of data=online


@dataclass(frozen=True)
class Run:
    """A training.

    folder: folder of its checkpoints and log
    config: config; that of the checkpoint where it continues one
    checkpoint: last checkpoint, or None
    seen: version of the file of the checkpoint, None without
    """

    folder: Path
    config: TrainConfig
    checkpoint: Checkpoint | None = None
    seen: tuple[int, ...] | None = None

    @property
    def state(self) -> TrainingState | None:
        """State of the training in the checkpoint."""
        return None if self.checkpoint is None else TrainingState.read(self.checkpoint.training or {})

    @property
    def start(self) -> StageStart:
        """Beginning of the first stage that is left."""
        return BEGIN if self.state is None else self.state.stage_start

    @property
    def best(self) -> float | None:
        """Best validation score so far."""
        return None if self.state is None else self.state.best

    @property
    def complete(self) -> bool:
        """True if the budget is already spent."""
        if self.checkpoint is None or self.state is None:
            return False
        step, start, last = self.checkpoint.step, self.start, self.config.last_stage
        spent = last.trainer.budget.spent(step - start.step, self.state.elapsed - start.elapsed)
        return start.stage == last.index and spent and self.state.validated == step

    def resume_command(self, ranks: int = 1) -> str:
        """Return the command that continues the run."""
        start = "python -m seqvae" if ranks == 1 else f"torchrun --nproc-per-node {ranks} -m seqvae"
        words = [f"run={self.folder}", "resume=true"]
        if self.config.plugins:
            words.append(f"plugins=[{','.join(self.config.plugins)}]")
        return f"{start} train {shlex.join(words)}"

    def remedy(self, ranks: int = 1) -> str:
        """Return how a training that has failed goes on."""
        if (self.folder / files.LAST).is_file():
            return f"go on with {self.resume_command(ranks)}"
        return "start it again, nothing is saved yet"

    def write_config(self, provenance: Provenance) -> None:
        """Write the config for people. provenance: written above it, as comments

        Raises:
            UserError: another command has trained in the folder since the run was opened.
            DataError: it cannot be written.
        """
        if _version(self.folder / files.LAST) != self.seen:
            raise UserError(
                f"run={self.folder}: another command has trained there meanwhile; start this one again"
            )
        comments = "".join(f"# {line}\n" for line in provenance.lines())
        text = comments + OmegaConf.to_yaml(_escaped(dict(self.config.plain)))
        atomic_write(self.folder / CONFIG, lambda file: file.write(text.encode()))


def open_run(config: Mapping[str, Any], job: Job = ALONE) -> Run:
    """Return the run of a composed config: a new one, or one that continues from its last checkpoint.

    Raises:
        UserError: the folder is in use, or holds nothing to resume; a key differs from the run's own config
            and must not; or the config is at fault.
    """
    keys = {f.name for f in fields(Place)}
    place = Place(**{key: value for key, value in config.items() if key in keys}).of(job)
    config = {key: value for key, value in config.items() if key not in keys}
    job = replace(job, asked=job.asked - keys)
    config = without_foreign_arguments(config, job.asked, known_arguments)
    _require_free(place)
    if place.checkpoint is not None:
        return _continued_run(place.checkpoint, config, job)
    read = _with_plugins(TrainConfig.read(config))
    _require_effect(job.asked, read)
    return Run(Path(place.run) if place.run else Path("runs") / _default_name(read), read)


def known_arguments(target: str) -> Collection[str] | None:
    """Return the names of the arguments of a part or a world, None where they are not known."""
    found = arguments_of(target)
    return world_arguments(target) if found is None else found


def _with_plugins(config: TrainConfig) -> TrainConfig:
    """Return a config that records the plugins of its parts, also those of installed packages."""
    plugins = needed_plugins(list(config.plugins), targets(config.plain))
    if not plugins:
        return config
    return replace(config, plugins=tuple(plugins), plain={**config.plain, "plugins": plugins})


def _require_free(place: Place) -> None:
    """Raise UserError where the folder contradicts `resume`, or is in use for something else."""
    if place.run is None:
        return
    folder, held = Path(place.run), place.checkpoint is not None
    if folder.exists() and not folder.is_dir():
        raise UserError(f"run={folder}: is a file; give a folder")
    if held and place.resume is False:
        raise UserError(
            f"run={folder}: holds a training; continue it with resume=true, or choose another run="
        )
    if not held and place.resume is True:
        raise UserError(f"run={folder}: there is no training to resume (no {files.LAST})")
    if not held and _in_use(folder):
        raise UserError(f"run={folder}: exists and is not empty; choose another folder")


def _continued_run(last: Path, config: Mapping[str, Any], job: Job) -> Run:
    seen = _version(last)
    checkpoint, folder = files.load(last), last.parent
    if checkpoint.training is None:
        raise UserError(f"{last}: holds a model but no state of its training, so it cannot be resumed")
    newer = config.keys() - checkpoint.config.keys()
    defaults = compose("train") if newer else {}
    with content_checked(last), parts_made_with(checkpoint.plugins):
        own = completed(checkpoint.config, {key: defaults[key] for key in newer & defaults.keys()})
        state, stages = TrainingState.read(checkpoint.training), TrainConfig.read(own).stages
        if state.stage_start.stage >= len(stages):
            raise UserError(f"training.start is in stage {state.stage_start.stage} of {len(stages)}")
    wanted = {key: value for key, value in flatten(config).items() if not _lies_in(key, ["choices"])}
    named = {key: value for key, value in wanted.items() if _lies_in(key, job.asked)}
    if not job.asked & job.choices.keys():  # else experiment=... sets every key
        wanted = named
    _require_agreement(flatten(own), wanted, named, folder)
    changes = {key: value for key, value in named.items() if _may_change(key)}
    with parts_made_with(checkpoint.plugins):
        read = TrainConfig.read(_changed(own, changes))
    _require_effect(job.asked, read)
    return Run(folder, read, checkpoint, seen)


def _require_agreement(
    own: Mapping[str, Any], wanted: Mapping[str, Any], named: Collection[str], folder: Path
) -> None:
    """Raise UserError for a wanted value that differs from the run's own one and may not.

    own, wanted: values by dotted keys
    named: keys on the command line
    """
    for key, value in wanted.items():
        if key not in own and key in named:
            raise UserError(no_such_key(key, own.keys()))
        if not _may_change(key) and own.get(key) != value:
            raise UserError(
                f"{key}: run={folder} was trained with {own.get(key)!r}, now {value!r}; "
                "a run keeps its config: leave the key out, or choose another run="
            )


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config with other values at dotted keys."""
    copy = deepcopy(dict(config))
    for key, value in changes.items():
        *path, name = key.split(".")
        place = copy
        for part in path:
            place = place[part]
        place[name] = value
    return copy


def _require_effect(asked: Collection[str], config: TrainConfig) -> None:
    """Raise UserError for a key that would have no effect: all stages set their own, or data is in files."""
    for key in asked:
        if not config.is_online and key.partition(".")[0] in SIMULATION:
            raise UserError(f"{key}: only data={ONLINE} simulates; add that, or leave the key out")
        if all(key in flatten(stage.own) for stage in config.stages):
            where = config.last_stage.key(key)
            raise UserError(f"{key}: each stage has its own; say for instance {where}")


def _lies_in(key: str, places: Collection[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def _may_change(key: str) -> bool:
    """Return whether `key`, of the run or of a stage, may change when a run is resumed."""
    return key in MAY_CHANGE or (key.startswith("stages.") and key.split(".", 2)[-1] in MAY_CHANGE)


def _in_use(folder: Path) -> bool:
    """Return whether a folder holds other files than a training leaves before its first checkpoint."""
    early = {LOG, CONFIG, *TRACKED}
    return folder.is_dir() and any(
        entry.name not in early and not entry.name.startswith(TEMPORARY) for entry in folder.iterdir()
    )


def _version(path: Path) -> tuple[int, ...] | None:
    """Return numbers that change whenever the file at `path` is replaced; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _escaped(value: Any) -> Any:
    """Return plain data with its texts as OmegaConf reads them."""
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def _default_name(config: TrainConfig) -> str:
    return f"{config.title}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
