"""Checkpoint files: everything that is needed to use a model, or to continue its training.

A checkpoint is one dict of plain data and tensors. It is read with `weights_only=True`, and its config makes
registered parts only (seqvae/config.py), so that opening one runs no code. The plugins that it names are for
people to read: none of them is loaded. Weights to give away are one
safetensors file (seqvae/weights.py), which is read alike.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqvae import weights
from seqvae.aliases import rename_targets, with_former_defaults
from seqvae.build import DataSpec, build
from seqvae.config import load_plugins, parts_made_with
from seqvae.content import check_content, check_model, content_checked, memory_limited, read_spec
from seqvae.errors import UserError
from seqvae.io import atomic_write, is_refusal, unreadable
from seqvae.provenance import Provenance
from seqvae.sequence import SequenceModel
from seqvae.shipped import pretrained_folder, suggestion

FORMAT = "seqvae.checkpoint"
VERSION = 2  # raise with every change of the layout or of a default, and keep reading the older ones
LATER = {
    "commit": None,
    "versions": None,
    "data": None,
}  # fields that this version got later, with the value that older files stand for
BEST, LAST = "best.pt", "last.pt"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    step: number of updates so far
    config: the whole run's config; `config["model"]` builds the model for data of `spec`
    spec: the data for which the model was made
    model: the state dict, with averaged weights if an average is kept
    scores: name -> number of the last validation
    training: optimiser, RNG states and so on; None in files that are to be used, not continued
    commit, versions, data: origin of the training (seqvae/provenance.py); None if it is not known, as in
        older files
    """

    step: int
    config: dict[str, Any]
    spec: DataSpec
    model: dict[str, Tensor]
    scores: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    commit: str | None = None
    versions: dict[str, str] | None = None
    data: dict[str, str] | None = None

    @property
    def provenance(self) -> Provenance:
        """Origin of the training."""
        return Provenance(self.commit, self.versions, self.data)

    @property
    def plugins(self) -> list[str]:
        """Modules and files of the user that the training was given."""
        recorded = self.config.get("plugins") or []
        return [str(name) for name in recorded] if isinstance(recorded, (list, tuple)) else [str(recorded)]

    def build(self, name: str | Path = "checkpoint") -> SequenceModel:
        """Return the model with its weights, on the CPU, in evaluation mode.

        name: of the file, for messages

        Raises:
            UserError: the weights do not fit the model of the config, or a part of it is not registered.
        """
        with content_checked(name), parts_made_with(self.plugins):
            check_model(self.config["model"])
            with memory_limited(sum(x.nbytes for x in self.model.values())):
                model = build(self.config["model"], self.spec)
            try:
                model.load_state_dict(self.model)
            except RuntimeError as error:
                problem = _first_problem(error)
                raise UserError(f"{name}: holds the weights of another model: {problem}") from None
            return model.eval()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically."""
    content = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    content["spec"] = checkpoint.spec.as_dict()
    atomic_write(path, lambda file: torch.save({"format": FORMAT, "version": VERSION, **content}, file))


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
        _require_plain_archive(path)
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: is no seqvae checkpoint, or holds objects that could run code") from None
    except Exception as error:  # torch may fail in any way on bytes that it did not write
        if isinstance(error, OSError) and is_refusal(error):
            raise UserError(str(unreadable(path, error))) from None
        raise UserError(f"{path}: is no seqvae checkpoint, or is damaged") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: is no seqvae checkpoint")
    weights.require_version(path, content, VERSION)
    return _checkpoint(path, content)


def _require_plain_archive(path: Path) -> None:
    """Raise ValueError unless a file is a sound archive as torch writes it: its members are not compressed.

    torch does not compare checksums when it reads, and would return whatever a damaged file holds.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        is_plain = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not is_plain or total > path.stat().st_size or archive.testzip() is not None:
            raise ValueError("compressed or damaged")


def _checkpoint(path: Path, content: dict[str, Any]) -> Checkpoint:
    """Return the checkpoint of a file's content, with the parts in its config under the names of today."""
    content = LATER | content
    missing = [f.name for f in fields(Checkpoint) if f.name not in content]
    if missing:
        raise UserError(f"{path}: is an incomplete seqvae checkpoint (lacks {', '.join(missing)})")
    with content_checked(path):
        check_content(content, path.stat().st_size)
        config = rename_targets(content["config"])
        if content["version"] < 2:
            config = with_former_defaults(config)
        known = {f.name: content[f.name] for f in fields(Checkpoint)}
        return Checkpoint(**known | {"spec": read_spec(content["spec"]), "config": config})


def find(run_or_file: str | Path, which: str = "best") -> Path:
    """Return the checkpoint file of a run folder or pretrained model, or the file itself.

    A run without a validation so far has no best checkpoint, and the last one is taken. A folder of
    pretrained weights has one file, which is both.

    run_or_file: a path, or if there is none, the name of a pretrained model

    which: "best" by validation, or "last"

    Raises:
        UserError: there is none.
    """
    path = pretrained_folder(run_or_file) or Path(run_or_file)
    if which not in ("best", "last"):
        raise UserError(f"which={which}: expected best or last")
    if not path.exists():
        raise UserError(f"{path}: no such run or checkpoint{suggestion(path)}")
    if path.is_file():
        return path
    names = [BEST, LAST, weights.FILE] if which == "best" else [LAST, weights.FILE]
    for name in names:
        if (path / name).is_file():
            return path / name
    raise UserError(f"{path}: has no checkpoint ({' or '.join(names)})")


def save_weights(path: Path, checkpoint: Checkpoint) -> None:
    """Write the model of a checkpoint as safetensors, without the state of its training."""
    about = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint) if f.name != "model"}
    about |= {"spec": checkpoint.spec.as_dict(), "training": None}
    weights.write_weights(path, checkpoint.model, about)


def load_model(
    run_or_file: str | Path,
    device: str | torch.device = "cpu",
    which: str = "best",
    plugins: Sequence[str] = (),
) -> SequenceModel:
    """Return a trained model in evaluation mode.

    Its weights require no gradient, so that filtering and imagining keep no graph. Call
    `model.requires_grad_()` to train it further.

    run_or_file: a run's folder, a checkpoint file, or the name of a pretrained model (`seqvae.pretrained()`)
    which: "best" by validation, or "last"
    plugins: modules and files that register parts of yours, as in plugins=["./my_model.py"]; not needed after
        an import of them

    Raises:
        UserError: there is no such file, this version cannot read it, or a part of the model is missing.
    """
    load_plugins(plugins)
    path = find(run_or_file, which)
    return load(path).build(path).requires_grad_(False).to(device)


def _first_problem(error: RuntimeError) -> str:
    """Return the first line of load_state_dict's message that names a weight."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    return lines[0][:160] if lines else str(error)[:160]
