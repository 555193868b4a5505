"""What the commands that use a trained model have in common: loading it, and data that fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data_gen.errors import require_number
from data_gen.schema import read_info
from data_gen.simulator import build_simulator
from data_gen.splits import Split
from seqvae import checkpoint
from seqvae.build import DataSpec
from seqvae.cli.compose import configs_folder
from seqvae.data.clips import InMemoryClips
from seqvae.data.online import ENDLESS, OnlineClips, simulate
from seqvae.data.sequences import Sequences, read_sequences, reading
from seqvae.data.streamed import StreamedClips, open_clips
from seqvae.errors import UserError, require, require_at_least
from seqvae.sequence import SequenceModel
from seqvae.streams import Stream
from seqvae.train.runtime import compile_parts, seed_everything
from seqvae.train.stages import pick_device

# What a training reads: dataset files, or a simulator that runs beside it.

ONLINE = "online"  # as `data`: no file, but the simulator that `sim` names


@dataclass(frozen=True)
class Source:
    """Clips to train on, what a model has to know of them, and sequences to validate on (None: do not).

    sequences: reads or makes all that `clips.full_sequences` goes through, with their true states.
    """

    name: str
    clips: InMemoryClips | StreamedClips | OnlineClips
    spec: DataSpec
    validation: Sequences | None
    sequences: Callable[[], Sequences]


def open_source(config: Mapping[str, Any], device: torch.device, validation_sequences: int) -> Source:
    """What the keys data, val, memory, workers, sim, image_size and online of a training's config ask for.

    validation_sequences: how many are needed, where they are made and not read.

    Raises:
        UserError, DataError: a file cannot be read, or a simulator cannot be made.
    """
    require_number("workers", config["workers"], minimum=0, integer=True)
    require_number("memory", config["memory"], minimum=0)
    if config["data"] == ONLINE:
        return _simulator(config, device, validation_sequences)
    train, val = _files(config["data"], config["val"])
    with reading(train):
        info = read_info(train)
    if "actions" in info.keys and not info.num_actions:
        raise UserError(f"{train}: holds actions, but its attribute num_actions is 0; set it to their number")
    spec = DataSpec(
        height=info.height,
        width=info.width,
        channels=3,
        actions=info.num_actions,
        objects=info.num_objects,
        coord_limit=info.coord_limit,
    )
    clips = open_clips(train, device, int(config["memory"] * 2**30), config["workers"])
    return Source(
        str(train), clips, spec, None if val is None else _read(val, spec), lambda: read_sequences(train)
    )


def _simulator(config: Mapping[str, Any], device: torch.device, validation_sequences: int) -> Source:
    if not isinstance(config.get("sim"), Mapping):
        names = sorted(file.stem for file in (configs_folder() / "sim").glob("*.yaml"))
        raise UserError(f"data={ONLINE}: say which simulator, sim=NAME; known: {', '.join(names)}")
    own, size = config["online"], config["image_size"]
    for key, minimum in {"length": 1, "seed": 0, "sequences": 1}.items():
        require_number(f"online.{key}", own[key], minimum=minimum, integer=True)
    require_number("image_size", size, minimum=1, integer=True)
    world = build_simulator(config["sim"])
    spec = DataSpec(
        height=size,
        width=size,
        channels=3,
        actions=world.num_actions,
        objects=world.num_objects or None,
        coord_limit=world.limit,
    )
    train = Split(world, "train", ENDLESS, own["length"], size, own["seed"])
    if config["val"] is not None:
        validation = _read(Path(str(config["val"])), spec)
    else:
        val = Split(world, "val", validation_sequences, own["length"], size, own["seed"])
        validation = simulate(val, config["name"])
    clips = OnlineClips(train, device, config["workers"], own["sequences"])
    first = replace(train, sequences=own["sequences"])
    name = config["name"]
    return Source(f"{ONLINE} {name}", clips, spec, validation, lambda: simulate(first, name))


def _files(data: Any, val: Any) -> tuple[Path, Path | None]:
    """The training file, and the validation file if there is one."""
    train = Path(str(data))
    if train.is_dir():
        beside = train / "val.h5"
        train = train / "train.h5"
        val = val or (beside if beside.is_file() else None)
    return train, None if val is None else Path(str(val))


def _read(val: Path, spec: DataSpec) -> Sequences:
    found = read_sequences(val, image_size=(spec.height, spec.width))
    if found.num_actions != spec.actions:
        theirs, ours = (actions or "none" for actions in (found.num_actions, spec.actions))
        raise UserError(
            f"{val}: has {theirs} actions, the training data {ours}; validate on data of the same world"
        )
    return found


def load_model(config: Mapping[str, Any]) -> SequenceModel:
    """The model of `run`, on `device`, compiled if asked for; seeds torch with `seed`, sets its `threads`.

    Raises:
        UserError: a key is missing, or there is no such model or device.
    """
    require(config, run=(str,), seed=(int,), compile=(bool,))
    seed_everything(config["seed"], Stream.EVALUATION)
    if config["threads"] is not None:
        require_at_least(config, threads=1)
        torch.set_num_threads(config["threads"])
    device = pick_device(config["device"])
    model = checkpoint.load_model(config["run"], device, config["checkpoint"])
    if config["compile"]:
        compile_parts(model)
    return model


def load_data(
    config: Mapping[str, Any], model: SequenceModel, index: int | None = None, frames: int | None = None
) -> Sequences:
    """Sequences of `data` in the size that the model takes; says what had to be done to them.

    Raises:
        UserError: the file is missing, damaged, foreign or of another size.
    """
    require(config, data=(str,))
    spec = model.spec
    sequences = read_sequences(config["data"], index, (spec.height, spec.width), frames)
    if model.actions and sequences.num_actions != model.actions:
        has = sequences.num_actions or "none"
        raise UserError(f"{config['data']}: the model follows {model.actions} actions, the data has {has}")
    for note in (*sequences.notes, *ignored_actions(model, sequences.num_actions)):
        print(note)
    return sequences


def ignored_actions(model: SequenceModel, actions: int) -> list[str]:
    """A line that says so where data with actions meet a model that follows none."""
    if model.actions or not actions:
        return []
    name = type(model.dynamics).__name__
    if not model.ignores_actions:
        name += ", made for data without actions,"
    return [f"the data has {actions} actions, and {name} takes no notice of them"]


def make_folder(out: str | Path) -> Path:
    """The folder to write to, made if need be.

    Raises:
        UserError: it cannot be made.
    """
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out}: cannot be written ({error.strerror}); choose another folder") from None
    return Path(out)


def folder_of(run: str | Path) -> Path:
    """The run's folder, also when a checkpoint in it was named."""
    path = Path(run)
    return path if path.is_dir() else path.parent
