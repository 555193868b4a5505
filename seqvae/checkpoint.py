"""Checkpoint files: everything that is needed to use a model, or to continue its training.

A checkpoint is one dict of plain data and tensors, and is read with `weights_only=True`, so that opening one
runs no code. Weights to give away are one safetensors file (seqvae/weights.py), read alike.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqvae import weights
from seqvae.aliases import rename_targets
from seqvae.build import DataSpec, build
from seqvae.errors import UserError
from seqvae.io import TEMPORARY, write_whole
from seqvae.sequence import SequenceModel

FORMAT = "seqvae.checkpoint"
VERSION = 1  # raise with every change of the layout, and keep reading the older ones
LATER = {"commit": None}  # fields that came later in this version, as older files mean them
BEST, LAST = "best.pt", "last.pt"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    step: number of updates behind it. model: the state dict (averaged weights, where an average is kept).
    config: the whole run's config, of which `config["model"]` builds the model for data of `spec`. scores:
    what the last validation found. training: optimiser, RNG states and so on; None in files that are only
    to be used, not continued. commit: that of the code at the training's start, "+changes" where the code
    differed from it, and those it was resumed with; None where it is not known, as in older files.
    """

    step: int
    config: dict[str, Any]
    spec: DataSpec
    model: dict[str, Tensor]
    scores: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    commit: str | None = None

    def build(self, name: str | Path = "checkpoint") -> SequenceModel:
        """The model with its weights, on the CPU, in evaluation mode.

        Raises:
            UserError: the weights do not fit the model of the config.
        """
        model = build(self.config["model"], self.spec)
        try:
            model.load_state_dict(self.model)
        except RuntimeError as error:
            raise UserError(f"{name}: holds the weights of another model: {_first_problem(error)}") from None
        except UserError as error:  # a part knows these weights, and that they no longer fit
            raise UserError(f"{name}: {error}") from None
        return model.eval()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    content = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    content["spec"] = checkpoint.spec.as_dict()
    write_whole(path, lambda file: torch.save({"format": FORMAT, "version": VERSION, **content}, file))


def load(path: Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a checkpoint file; its tensors go to `device`.

    Raises:
        UserError: the file is missing, truncated, no checkpoint, or written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    if path.suffix == weights.SUFFIX:
        return _checkpoint(path, weights.read_weights(path, device))
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: is no seqvae checkpoint, or holds objects that could run code") from None
    except Exception:  # bytes that torch did not write may fail in it in any way
        raise UserError(f"{path}: is no seqvae checkpoint, or is damaged") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: is no seqvae checkpoint")
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        newest = f"this seqvae reads up to {VERSION}"
        raise UserError(f"{path}: has format version {version}, {newest}; update seqvae")
    return _checkpoint(path, content)


def _checkpoint(path: Path, content: dict[str, Any]) -> Checkpoint:
    try:
        content = LATER | content
        known = {f.name: content[f.name] for f in fields(Checkpoint)}
        known |= {"spec": DataSpec(**content["spec"]), "config": rename_targets(content["config"])}
        return Checkpoint(**known)
    except (KeyError, TypeError):
        raise UserError(f"{path}: is an incomplete seqvae checkpoint") from None


def find(run_or_file: str | Path, which: str = "best") -> Path:
    """The checkpoint file of a run folder (`which`: "best" or "last"), or the file itself.

    A run that has had no validation yet has no best checkpoint: then it is the last one. A folder of
    pretrained weights has one file, which is either.

    Raises:
        UserError: there is none.
    """
    path = Path(run_or_file)
    if which not in ("best", "last"):
        raise UserError(f"which={which}: expected best or last")
    if not path.exists():
        raise UserError(f"{path}: no such run or checkpoint")
    if path.is_file():
        return path
    names = [BEST, LAST, weights.FILE] if which == "best" else [LAST, weights.FILE]
    for name in names:
        if (path / name).is_file():
            return path / name
    raise UserError(f"{path}: has no checkpoint ({' or '.join(names)})")


def save_weights(path: Path, checkpoint: Checkpoint) -> None:
    """Write the model of a checkpoint as safetensors; what only a training would need is left out."""
    about = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint) if f.name != "model"}
    about |= {"spec": checkpoint.spec.as_dict(), "training": None}
    weights.write_weights(path, checkpoint.model, about)


def load_model(
    run_or_file: str | Path, device: str | torch.device = "cpu", which: str = "best"
) -> SequenceModel:
    """A trained model in evaluation mode, with its `.config` and `.spec`.

    run_or_file: a run's folder or a checkpoint file. which: "best" by validation, or "last". Its weights take
    no gradient, so that filtering and imagining keep no graph; `model.requires_grad_()` before training on.

    Raises:
        UserError: there is no such file, or it is none that this version can read.
    """
    path = find(run_or_file, which)
    return load(path).build(path).requires_grad_(False).to(device)


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed process left half-written in `folder`."""
    for leftover in folder.glob(TEMPORARY + "*"):
        leftover.unlink(missing_ok=True)


def _first_problem(error: RuntimeError) -> str:
    """One line of load_state_dict's many."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    return lines[0][:160] if lines else str(error)[:160]
