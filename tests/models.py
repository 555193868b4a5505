"""Every shipped model, as small as the data it is built for; videos of moving discs, and batches of them."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from data_gen.cli.configs import compose
from seqvae.build import DataSpec, build
from seqvae.contracts.scenes import as_batch, discs, paths, perturbed, video
from seqvae.sequence import SequenceModel

__all__ = ["as_batch", "discs", "paths", "perturbed", "video"]  # which the contracts use too

SHIPPED = sorted(path.stem for path in (Path(__file__).parents[1] / "configs/model").glob("*.yaml"))
FUSED = {"_target_": "seqvae.posteriors.fused.Fused", "_partial_": True}
VARIANTS = {
    "static": ("linear", {"dynamics": {"_target_": "seqvae.dynamics.linear.StaticDynamics"}}),
    "no_velocity": ("stove", {"frame": {"velocity": False}}),
    "no_latents": ("stove", {"dynamics": {"latent": 0}}),
    "frame_by_frame": ("stove", {"posterior": {"fuse": False}}),
    "stove_iaf": ("stove", {"posterior": {"_target_": "seqvae.posteriors.iaf.IAF", "base": FUSED}}),
}
MODELS = [*SHIPPED, *VARIANTS]
every_model = pytest.mark.parametrize("name", MODELS)


@cache
def _shipped(name: str) -> dict[str, Any]:
    return compose("train", [f"model={name}"])["model"]


def config(name: str) -> dict[str, Any]:
    """The config of a shipped model, or of one with a part exchanged or changed."""
    base, parts = VARIANTS.get(name, (name, {}))
    changed = copy.deepcopy(_shipped(base))
    for part, own in parts.items():
        changed[part] = own if "_target_" in own else changed[part] | own
    return changed


def class_of(part: str, name: str) -> str:
    """Return the class of a model's part: "GraphDynamics" for the dynamics of "stove"."""
    return config(name)[part]["_target_"].rpartition(".")[2]


def make(
    name: str,
    slots: int = 3,
    height: int = 32,
    width: int = 32,
    channels: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> SequenceModel:
    """A model with every weight moved away from where it starts, so that none of them is zero."""
    torch.manual_seed(seed)
    model = build(config(name), DataSpec(height, width, channels, actions=0, objects=slots))
    return perturbed(model).to(dtype)


OF_OBJECTS = [name for name in MODELS if "position" in make(name).layout]

# whose slots follow objects over time; those of the others are in the order of each frame
FOLLOWING = [name for name in OF_OBJECTS if class_of("dynamics", name) not in ("AIRPrior", "StandardNormal")]
