"""What the commands that use a trained model have in common: loading it, and data that fits it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seqvae import checkpoint
from seqvae.compiled import compile_parts
from seqvae.data.sources import Sequences, read_sequences
from seqvae.sequence import SequenceModel
from seqvae.streams import Stream
from seqvae.train.options import pick_device
from seqvae.train.seed import seed_everything
from seqvae.types import UserError

KINDS = {int: "a whole number", bool: "true or false", str: "a text"}


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


def require(config: Mapping[str, Any], **types: tuple[type, ...]) -> None:
    """Raise UserError unless each key has a value of one of the types."""
    for key, kinds in types.items():
        value = config[key]
        if value is None or value == "???":
            raise UserError(f"{key}: is missing; say {key}=...")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{key}={value}: expected {' or '.join(KINDS[kind] for kind in kinds)}")


def require_at_least(config: Mapping[str, Any], **least: int) -> None:
    """Raise UserError unless each key holds a whole number that is not smaller."""
    for key, bound in least.items():
        require(config, **{key: (int,)})
        if config[key] < bound:
            raise UserError(f"{key}={config[key]}: expected at least {bound}")


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
