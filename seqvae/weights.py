"""Weights to give away: a safetensors file, which cannot hold code, with the config of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from seqvae.errors import UserError
from seqvae.io import atomic_write, is_refusal, parse_json, unreadable

FORMAT, VERSION = "seqvae.weights", 2
SUFFIX = ".safetensors"
FILE = f"model{SUFFIX}"
KEY = "seqvae"  # of the file's metadata; its value is JSON


def write_weights(path: Path, model: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors by name, and plain data about them (as JSON), atomically."""
    tensors = {name: x.detach().cpu().contiguous() for name, x in model.items()}
    content = save(tensors, {KEY: json.dumps({"format": FORMAT, "version": VERSION} | about)})
    atomic_write(path, lambda file: file.write(content))


def read_weights(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Return the `about` of `write_weights`, with the tensors as `model`.

    Raises:
        UserError: the file is damaged, of another kind, or written by a newer version.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            about = parse_json((file.metadata() or {}).get(KEY, "null"))
            model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
    except Exception as error:  # of safetensors, torch or JSON
        if isinstance(error, OSError) and is_refusal(error):
            raise UserError(str(unreadable(path, error))) from None
        raise UserError(f"{path}: is no safetensors file, or is damaged; copy it again") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"{path}: is a safetensors file, but none of seqvae's")
    require_version(path, about, VERSION)
    return about | {"model": model}


def require_version(path: Path, content: dict[str, Any], newest: int) -> None:
    """Raise UserError unless the format version of a file's content is one that this code reads."""
    version = content.get("version")
    if type(version) is not int or not 1 <= version <= newest:
        found = str(version).replace("\n", " ")
        raise UserError(
            f"{path}: has format version {found:.40}, this seqvae reads up to {newest}; update seqvae"
        )
