"""Data of a training, and a trained model with data that fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch

from data_gen.cli.command import CONFIGS, Job
from data_gen.cli.configs import option_values
from data_gen.schema import dataset_file, read_info
from data_gen.shards import is_dataset
from data_gen.simulator import build_simulator
from data_gen.splits import Split
from seqvae import checkpoint
from seqvae.build import DataSpec
from seqvae.data.clips import InMemoryClips
from seqvae.data.online import ENDLESS, OnlineClips, simulate
from seqvae.data.sequences import DATASETS, Sequences, read_sequences, reading
from seqvae.data.streamed import StreamedClips, open_clips
from seqvae.errors import UserError, checked_fields, require_at_least
from seqvae.sequence import SequenceModel
from seqvae.shipped import run_folder
from seqvae.streams import Stream
from seqvae.train.config import ONLINE, TrainConfig
from seqvae.train.graphs import compile_parts
from seqvae.train.origin import Origin
from seqvae.train.runtime import pick_device, seed_everything

Config = TypeVar("Config")
TEST = "test.h5"

# Data of a training: dataset files, or a simulator that runs beside it.


@dataclass(frozen=True)
class TrainData:
    """Data of a training; leaving its context ends the processes that read it.

    name: name for messages
    clips: clips to train on
    spec: sizes and counts that a model is built for
    validation: sequences to validate on, or None
    sequences: function that reads or makes the sequences of `clips.full_sequences`, with true states
    files: dataset files behind clips and validation
    """

    name: str
    clips: InMemoryClips | StreamedClips | OnlineClips
    spec: DataSpec
    validation: Sequences | None
    sequences: Callable[[], Sequences]
    files: tuple[Path, ...] = ()

    def __enter__(self) -> TrainData:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.clips.close()


def open_data(config: TrainConfig, device: torch.device) -> TrainData:
    """Open the data that a config names.

    Raises:
        UserError, DataError: a file cannot be read, or a simulator cannot be made.
    """
    return _open_simulator(config, device) if config.is_online else _open_files(config, device)


def _open_files(config: TrainConfig, device: torch.device) -> TrainData:
    train, val = _find_files(config.data, config.val)
    with reading(train):
        info = read_info(train)
    if "actions" in info.keys and not info.num_actions:
        raise UserError(f"{train}: holds actions, but its attribute num_actions is 0; set it to their number")
    spec = DataSpec(info.height, info.width, 3, info.num_actions, info.num_objects, info.coord_limit)
    clips = open_clips(train, device, int(config.memory * 2**30), config.workers)
    validation = None if val is None else _read_validation(val, spec, config.validation_sequences)
    files = (train,) if val is None else (train, val)
    return TrainData(str(train), clips, spec, validation, lambda: read_sequences(train), files)


def _open_simulator(config: TrainConfig, device: torch.device) -> TrainData:
    if config.sim is None or config.image_size is None or config.name is None:
        names = sorted(file.stem for file in (CONFIGS / "sim").glob("*.yaml"))
        raise UserError(f"data={ONLINE}: say which simulator, sim=NAME; known: {', '.join(names)}")
    online, size, name = config.online, config.image_size, config.name
    world = build_simulator(config.sim)
    spec = DataSpec(size, size, 3, world.num_actions, world.num_objects or None, world.limit)
    train = Split(world, "train", ENDLESS, online.length, size, online.seed)
    if config.val is not None:
        validation = _read_validation(Path(config.val), spec, config.validation_sequences)
    else:
        val = Split(world, "val", config.validation_sequences, online.length, size, online.seed)
        validation = simulate(val, name)
    clips = OnlineClips(train, device, config.workers, online.sequences)
    first = replace(train, sequences=online.sequences)
    files = () if config.val is None else (Path(config.val),)
    return TrainData(f"{ONLINE} {name}", clips, spec, validation, lambda: simulate(first, name), files)


def _find_files(data: str, val: str | None) -> tuple[Path, Path | None]:
    """Return the training file, and the validation file if there is one."""
    train = Path(data)
    if train.is_dir():
        beside = train / "val.h5"
        train = train / "train.h5"
        val = val or (str(beside) if is_dataset(beside) else None)
    return train, None if val is None else Path(val)


def _read_validation(val: Path, spec: DataSpec, count: int) -> Sequences:
    found = read_sequences(val, image_size=(spec.height, spec.width), first=count)
    if found.num_actions != spec.actions:
        theirs, ours = (actions or "none" for actions in (found.num_actions, spec.actions))
        raise UserError(
            f"{val}: has {theirs} actions, the training data {ours}; validate on data of the same world"
        )
    return found


# A trained model, and data for it.


def read_config(kind: type[Config], config: Mapping[str, Any], job: Job, out: str = "") -> Config:
    """Return a composed config as a record `kind`; in a sweep `out` is the job's own folder, or a file in it.

    Raises:
        UserError: a key is unknown, or a value is missing or wrong.
    """
    return kind(**checked_fields(kind, option_values(config, job, out), UserError))


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Common keys of the commands for a trained model and data; see configs/evaluate.yaml.

    data: None stands for the test set of the run's data, until `with_data` names it
    """

    run: str
    data: str | None
    checkpoint: str
    device: str
    threads: int | None
    compile: bool
    seed: int
    plugins: tuple = ()

    def __post_init__(self):
        require_at_least(vars(self), threads=1)

    @property
    def run_folder(self) -> Path:
        """Folder of the run."""
        return run_folder(self.run)


Chosen = TypeVar("Chosen", bound=SourceConfig)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(SourceConfig):
    """Common keys of those that write files."""

    out: str | None


def load_model(config: SourceConfig) -> SequenceModel:
    """Load the model of `run` to `device`, compiled if asked for; seed torch and set its threads.

    Raises:
        UserError: there is no such model or device.
    """
    seed_everything(config.seed, Stream.EVALUATION)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    model = checkpoint.load_model(config.run, pick_device(config.device), config.checkpoint)
    if config.compile:
        compile_parts(model)
    return model


def with_data(config: Chosen) -> Chosen:
    """Return the config with the file that `data` stands for; without any, the test.h5 of the run's own data.

    Raises:
        UserError: there is no such test.h5.
    """
    if config.data is not None:
        return replace(config, data=str(dataset_file(config.data)))
    trained_on = Origin.of(checkpoint.load(checkpoint.find(config.run, config.checkpoint)).config).data
    if trained_on is None or trained_on == ONLINE:
        raise UserError(f"data: is missing, and run={config.run} was trained without a file; say data=FILE")
    place = Path(trained_on)
    file = (place.parent if place.suffix in DATASETS else place) / TEST
    if not is_dataset(file):
        raise UserError(f"data: is missing, and run={config.run} has no {file} here; say data=FILE")
    print(f"data={file}, the test set of the run's data")
    return replace(config, data=str(file))


def load_data(
    config: SourceConfig, model: SequenceModel, index: int | None = None, frames: int | None = None
) -> Sequences:
    """Read sequences of `data` in the size of the model; print notes on their conversion.

    Raises:
        UserError: the file is missing, damaged, foreign or of another size.
    """
    size = (model.spec.height, model.spec.width)
    assert config.data is not None  # see `with_data`
    sequences = read_sequences(config.data, index, size, frames)
    if model.actions and sequences.num_actions != model.actions:
        has = sequences.num_actions or "none"
        raise UserError(f"{config.data}: the model follows {model.actions} actions, the data has {has}")
    for note in (*sequences.notes, *notes_on_actions(model, sequences.num_actions)):
        print(note)
    return sequences


def notes_on_actions(model: SequenceModel, actions: int) -> list[str]:
    """Return a note for data with actions and a model that follows none."""
    if model.actions or not actions:
        return []
    name = type(model.dynamics).__name__
    if not model.ignores_actions:
        name += ", made for data without actions,"
    return [f"the data has {actions} actions, and {name} takes no notice of them"]


def make_folder(out: str | Path) -> Path:
    """Make the folder to write to, if need be.

    Raises:
        UserError: it cannot be made.
    """
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out}: cannot be written ({error.strerror}); choose another folder") from None
    return Path(out)
