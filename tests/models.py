"""Every shipped model, as small as the data it is built for; videos of moving discs, and batches of them."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from data_gen.cli.configs import compose
from seqvae.build import DataSpec, build
from seqvae.nn.glimpse import pixel_centres
from seqvae.sequence import SequenceModel

Network = TypeVar("Network", bound=nn.Module)
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


# the others have no positions
OF_OBJECTS = [name for name in MODELS if config(name)["slots"] != 1 and name != "monet_paper"]

# whose slots follow objects over time; those of the others are in the order of each frame
FOLLOWING = [name for name in OF_OBJECTS if class_of("dynamics", name) not in ("AIRPrior", "StandardNormal")]


def perturbed(network: Network, scale: float = 0.05) -> Network:
    """Move every weight away from its start, so that none of them is zero; return the network."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(scale * torch.randn_like(p))
    return network


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


def as_batch(**tensors: Any) -> SimpleNamespace:
    """Return a batch for an objective, by default without actions: `as_batch(video=clip)`."""
    return SimpleNamespace(**{"prev_actions": None} | tensors)


def discs(
    position: Tensor, height: int = 32, width: int = 32, channels: int = 1, radius: float = 0.17
) -> Tensor:
    """Frames (..., c, h, w) of discs at positions (..., k, 2) in half-widths; edges a pixel wide."""
    x, y = pixel_centres(width, position), pixel_centres(height, position)[:, None]
    px, py = position[..., 0, None, None], position[..., 1, None, None]
    distance = ((x - px).square() + (y - py).square()).sqrt()
    shown = (0.5 + (radius - distance) * min(height, width) / 2).clamp(0, 1).amax(-3)
    return shown[..., None, :, :].expand(*shown.shape[:-2], channels, height, width)


def paths(slots: int, frames: int, batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Positions (b, t, k, 2) of discs in straight flight."""
    angle = 2 * torch.pi * (torch.arange(slots, dtype=dtype) / slots + torch.rand(batch, 1, dtype=dtype))
    radius = 0.45 + 0.1 * torch.rand(batch, 1, 1, dtype=dtype)
    start = radius * torch.stack([angle.cos(), angle.sin()], -1)
    velocity = 0.04 * torch.randn(batch, slots, 2, dtype=dtype)
    return start[:, None] + velocity[:, None] * torch.arange(frames, dtype=dtype)[:, None, None]


def video(
    slots: int = 3,
    frames: int = 5,
    batch: int = 2,
    height: int = 32,
    width: int = 32,
    channels: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """(b, t, c, h, w): discs in straight flight, with a little noise in the pixels."""
    clean = discs(paths(slots, frames, batch, dtype), height, width, channels)
    return (clean + 0.02 * torch.rand_like(clean)).clamp(0, 1)
