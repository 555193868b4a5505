"""Densities over a frame's state; the last two axes (k d) are the event, all others batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.records import short_repr
from seqvae.types import Distribution

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_density(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log N(x; mean, std^2), elementwise, nats."""
    return -0.5 * (((x - mean) / std).square() + 2 * std.log() + LOG_2PI)


@dataclass(frozen=True)
class Normal:
    """N(z; mean, diag std^2) over (k d)."""

    __repr__ = short_repr

    mean: Float[Tensor, "*b k d"]
    std: Float[Tensor, "*b k d"]

    def rsample(self) -> Float[Tensor, "*b k d"]:
        return self.mean + self.std * torch.randn_like(self.mean)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b"]:
        return gaussian_log_density(z, self.mean, self.std).sum((-2, -1))

    def point(self) -> Float[Tensor, "*b k d"]:
        return self.mean

    def kl(self, other: Normal) -> Float[Tensor, "*b"]:
        """KL[self || other] in closed form, nats."""
        return elementwise_kl(self, other).sum((-2, -1))


def elementwise_kl(q: Normal, p: Normal) -> Float[Tensor, "*b k d"]:
    """KL[q || p] of each number by itself, nats."""
    ratio = (q.std / p.std).square()
    shift = ((q.mean - p.mean) / p.std).square()
    return 0.5 * (ratio + shift - 1 - ratio.log())


def draw(q: Distribution) -> Tensor:
    """A reparameterised sample of q."""
    return q.rsample()


def draw_scored(q: Distribution) -> tuple[Tensor, Tensor | None]:
    """A sample of q; and its log-density where q knows that at once, and any other point's is dear."""
    return q.rsample_and_log_prob() if hasattr(q, "rsample_and_log_prob") else (draw(q), None)


def point(q: Distribution) -> Tensor:
    """The point estimate of q: its mean, or what the distribution declares where it has none."""
    return q.point()


def product(mean: Tensor, precision: Tensor, prior: Normal) -> Normal:
    """The normalised product N(mean, 1/precision) * prior; precision 0 gives the prior back, bit by bit."""
    ratio = precision * prior.std.square()
    gain = ratio / (1 + ratio)
    return Normal(prior.mean + gain * (mean - prior.mean), prior.std * (1 + ratio).rsqrt())
