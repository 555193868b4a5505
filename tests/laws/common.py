"""Parts of several laws: a layout, random Gaussians, and what all tests of models share."""

from __future__ import annotations

import torch
from torch import Tensor

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from tests.models import as_batch as as_batch
from tests.models import perturbed as perturbed

F64 = torch.float64
SIZE, POSITION = Field("size", 2, "frame"), Field("position", 2, "product")
VELOCITY = Field("velocity", 2, "product", difference_of="position")
MOVING = StateLayout((SIZE, POSITION, VELOCITY))
WITH_LATENT = MOVING.extend(Field("latent", 3, "dynamics"))


def normal(*shape: int) -> Normal:
    """Return a Gaussian with random means, and stds between 0.2 and 1.2."""
    return Normal(torch.randn(*shape, dtype=F64), 0.2 + torch.rand(*shape, dtype=F64))


def standard_error(x: Tensor) -> Tensor:
    """Return the standard error of the mean of independent values."""
    return x.std() / x.numel() ** 0.5
