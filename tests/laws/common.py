"""Parts of several laws: a layout, random Gaussians, networks away from their start, batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TypeVar

import torch
from torch import Tensor, nn

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout

F64 = torch.float64
SIZE, POSITION = Field("size", 2, "frame"), Field("position", 2, "product")
VELOCITY = Field("velocity", 2, "product", difference_of="position")
MOVING = StateLayout((SIZE, POSITION, VELOCITY))
WITH_LATENT = MOVING.extend(Field("latent", 3, "dynamics"))

Network = TypeVar("Network", bound=nn.Module)


def normal(*shape: int) -> Normal:
    """Return a Gaussian with random means, and stds between 0.2 and 1.2."""
    return Normal(torch.randn(*shape, dtype=F64), 0.2 + torch.rand(*shape, dtype=F64))


def perturbed(network: Network, scale: float) -> Network:
    """Move every weight away from its start, so that none of them is zero; return the network."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(scale * torch.randn_like(p))
    return network


def as_batch(**tensors: Tensor) -> SimpleNamespace:
    """Return a batch for an objective, without actions."""
    return SimpleNamespace(prev_actions=None, **tensors)


def standard_error(x: Tensor) -> Tensor:
    """Return the standard error of the mean of independent values."""
    return x.std() / x.numel() ** 0.5
