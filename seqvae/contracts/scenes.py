"""Small videos of moving discs, batches of them, and networks away from their start, for checks of models."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seqvae.nn.glimpse import pixel_centres

Network = TypeVar("Network", bound=nn.Module)


def perturbed(network: Network, scale: float = 0.05) -> Network:
    """Move every weight away from its start, so that none of them is zero; return the network."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(scale * torch.randn_like(p))
    return network


def as_batch(**tensors: Any) -> SimpleNamespace:
    """Return a batch for an objective, by default without actions: `as_batch(video=clip)`."""
    return SimpleNamespace(**{"prev_actions": None} | tensors)


def outcomes(frames: int = 5, batch: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Sample rewards of 0 and -1, and ends, for a batch of clips (b, t)."""
    shape = (batch, frames)
    return {"rewards": -torch.randint(2, shape).to(dtype), "ends": torch.rand(shape) < 0.3}


def discs(
    position: Tensor, height: int = 32, width: int = 32, channels: int = 1, radius: float = 0.17
) -> Tensor:
    """Draw frames (..., c, h, w) of discs at positions (..., k, 2) in half-widths; edges a pixel wide."""
    x, y = pixel_centres(width, position), pixel_centres(height, position)[:, None]
    px, py = position[..., 0, None, None], position[..., 1, None, None]
    distance = ((x - px).square() + (y - py).square()).sqrt()
    shown = (0.5 + (radius - distance) * min(height, width) / 2).clamp(0, 1).amax(-3)
    return shown[..., None, :, :].expand(*shown.shape[:-2], channels, height, width)


def paths(slots: int, frames: int, batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Sample positions (b, t, k, 2) of discs in straight flight."""
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
    """Sample clips (b, t, c, h, w): discs in straight flight, with a little noise in the pixels."""
    clean = discs(paths(slots, frames, batch, dtype), height, width, channels)
    return (clean + 0.02 * torch.rand_like(clean)).clamp(0, 1)
