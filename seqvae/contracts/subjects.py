"""The parts of plugins, each in a model in which it can be tested."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from data_gen.cli.command import CONFIGS
from data_gen.cli.configs import compose, without_foreign_arguments
from data_gen.plugins import OWN
from seqvae.build import build
from seqvae.config import arguments_of, parts
from seqvae.contracts.scenes import perturbed
from seqvae.errors import UserError
from seqvae.sequence import SequenceModel
from seqvae.types import DataSpec

MODELS = sorted(file.stem for file in (CONFIGS / "model").glob("*.yaml"))
FIRST = ("stove", "linear", "spatial_vae", "vae_fc", "vae_broadcast", "monet", "air")  # these are tried first
AT_MOST = 2  # models in which a part is tested


@dataclass(frozen=True)
class Subject:
    """A model to test.

    name: the part and the model around it
    config: `frame`, `posterior` and `dynamics`, as in configs/model
    """

    name: str
    config: Mapping[str, Any]

    def make(
        self,
        slots: int = 3,
        height: int = 32,
        width: int = 32,
        channels: int = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> SequenceModel:
        """Build the model, with every weight moved away from where it starts."""
        torch.manual_seed(seed)
        model = build(self.config, DataSpec(height, width, channels, actions=0, objects=slots))
        return perturbed(model).to(dtype)


def foreign_parts() -> dict[str, type]:
    """Return the dotted name of every part that is not of this package, with its kind."""
    return {
        name: kind
        for kind, of_kind in parts().items()
        for name in of_kind
        if name.partition(".")[0] not in OWN
    }


def subjects_of(target: str, kind: type) -> list[Subject]:
    """Return shipped models with the part in the place of the one of its kind, with its default arguments.

    Raises:
        UserError: it fits into none of them; the message has the first reason.
    """
    found, reasons = [], []
    for name in [*FIRST, *(name for name in MODELS if name not in FIRST)]:
        config = shipped(name)
        changed = _with_part(config, target, parts()[kind])
        if changed == config:
            continue
        subject = Subject(f"{target} in {name}", changed)
        try:
            subject.make()
        except UserError as error:
            reasons.append(f"{name}: {error}")
            continue
        found.append(subject)
        if len(found) == AT_MOST:
            return found
    if not found:
        why = f" ({reasons[0]})" if reasons else ""
        raise UserError(f"{target} fits into no shipped model{why}; name one, model=NAME KEY=VALUE")
    return found


def model_of(words: str) -> Subject:
    """Return the model that words of `python -m seqvae train` describe: "model=stove model.slots=4"."""
    overrides = shlex.split(words)
    asked = [word.partition("=")[0].lstrip("+") for word in overrides]
    config = without_foreign_arguments(compose("train", overrides), asked, arguments_of)
    return Subject(words, config["model"])


@functools.cache
def shipped(name: str) -> dict[str, Any]:
    """Return the config of configs/model/NAME.yaml."""
    return compose("train", [f"model={name}"])["model"]


def first_fit(check: Callable[[SequenceModel], Any]) -> SequenceModel:
    """Return the first shipped model for which a check raises no UserError.

    Raises:
        UserError: that of the first model, if there is no such model.
    """
    errors = []
    for name in FIRST:
        model = Subject(name, shipped(name)).make()
        try:
            check(model)
        except UserError as error:
            errors.append(error)
        else:
            return model
    raise errors[0]


def _with_part(config: Any, target: str, of_kind: Mapping[str, Any]) -> Any:
    """Return plain data with `target` in place of each part of its kind."""
    if isinstance(config, Mapping):
        if config.get("_target_") in of_kind:
            partial = {"_partial_": True} if config.get("_partial_") else {}
            return {"_target_": target, **partial}
        return {key: _with_part(value, target, of_kind) for key, value in config.items()}
    return config
