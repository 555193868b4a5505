"""Distributions over the state of a frame: Gaussians, and Gaussians with a random number of slots.

The last two axes (k d) are the event; all axes before them are batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from seqvae.errors import UserError
from seqvae.layout import StateLayout, require_fields
from seqvae.share import rand_like, randn_like
from seqvae.tree import short_repr
from seqvae.types import Distribution

# Gaussians.

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_density(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return log N(x; mean, std^2), elementwise, nats."""
    return -0.5 * (((x - mean) / std).square() + 2 * std.log() + LOG_2PI)


@dataclass(frozen=True)
class Normal:
    """N(z; mean, diag std^2) over (k d)."""

    __repr__ = short_repr

    mean: Float[Tensor, "*b k d"]
    std: Float[Tensor, "*b k d"]

    def rsample(self) -> Float[Tensor, "*b k d"]:
        return self.mean + self.std * randn_like(self.mean)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b"]:
        return gaussian_log_density(z, self.mean, self.std).sum((-2, -1))

    def point(self) -> Float[Tensor, "*b k d"]:
        return self.mean

    def kl(self, other: Normal) -> Float[Tensor, "*b"]:
        """Return KL[self || other] in closed form, nats."""
        return elementwise_kl(self, other).sum((-2, -1))


def elementwise_kl(q: Normal, p: Normal) -> Float[Tensor, "*b k d"]:
    """Return KL[q || p] per number, nats."""
    ratio = (q.std / p.std).square()
    shift = ((q.mean - p.mean) / p.std).square()
    return 0.5 * (ratio + shift - 1 - ratio.log())


def product(mean: Tensor, precision: Tensor, prior: Normal) -> Normal:
    """Return the normalised product N(mean, 1/precision) * prior.

    Written in terms of the gain, precision 0 gives the prior back bit for bit.
    """
    ratio = precision * prior.std.square()
    gain = ratio / (1 + ratio)
    return Normal(prior.mean + gain * (mean - prior.mean), prior.std * (1 + ratio).rsqrt())


# Samples and point estimates of any distribution.


@runtime_checkable
class ScoredSampler(Protocol):
    """A distribution that knows the log-density of its own samples for free, such as a flow."""

    def rsample_and_log_prob(self) -> tuple[Tensor, Tensor]: ...


def draw(q: Distribution) -> Tensor:
    """Draw z ~ q, reparameterised."""
    return q.rsample()


def sample_with_log_prob(q: Distribution) -> tuple[Tensor, Tensor | None]:
    """Draw z ~ q; also return log q(z) if sampling yields it for free (flows), else None."""
    return q.rsample_and_log_prob() if isinstance(q, ScoredSampler) else (draw(q), None)


def point(q: Distribution) -> Tensor:
    """Return the point estimate of q: its mean, or what a distribution without one declares."""
    return q.point()


# Gaussians with a random number of slots.


@dataclass(frozen=True)
class CountedNormal:
    """q(n) prod_{k <= n} N(z_k; mean_k, diag std_k^2): the number of slots present, then each of them.

    The first number of a slot is its presence: 1 in the first n slots, 0 in the others. All other numbers of
    an absent slot are 0 too and have no density, so it adds nothing to a log-ratio of two such distributions.

    log_counts: "... n", log q(n) for n = 0 to k, normalised, nats
    inner: density of the numbers after the presence
    """

    __repr__ = short_repr

    log_counts: Float[Tensor, "*b n"]
    inner: Normal

    def rsample(self) -> Float[Tensor, "*b k d"]:
        """Draw z, reparameterised except for the count, whose gradient is up to the objective."""
        # the Gumbel-max trick: argmax of log q(n) - log(-log u) is a draw of n
        uniform = rand_like(self.log_counts).clamp_min(torch.finfo(self.log_counts.dtype).tiny)
        count = (self.log_counts - (-uniform.log()).log()).argmax(-1)
        return _present(self.inner.rsample(), count)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*_"]:
        # the presence masks the densities of absent slots
        density = gaussian_log_density(z[..., 1:], self.inner.mean, self.inner.std).sum(-1)
        return self.log_count(z) + (z[..., 0] * density).sum(-1)

    def log_count(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*_"]:
        """Return log q(n) for the number of slots present in z, nats."""
        count = z[..., 0].detach().sum(-1).round().long()
        return self.log_counts.expand(*count.shape, -1).gather(-1, count[..., None])[..., 0]

    def point(self) -> Float[Tensor, "*b k d"]:
        """Return the most probable count, and the means."""
        return _present(self.inner.mean, self.log_counts.argmax(-1))

    def enumerate_support(self) -> tuple[Float[Tensor, "n *b k d"], Float[Tensor, "n *b"]]:
        """Return z for every count from 0 to k, and log q(n) for each, nats.

        The slots are drawn once, and a smaller count has the first of those of a larger one. The sum of
        q(n) f(z_n) over n thus estimates E_q[f], and its gradient, without noise from the count.
        """
        log_counts = self.log_counts.movedim(-1, 0)
        count = torch.arange(len(log_counts), device=log_counts.device)  # n, in front of all batch axes
        count = count.reshape(-1, *[1] * (log_counts.dim() - 1))
        drawn = self.inner.rsample()
        return _present(drawn.expand(len(log_counts), *drawn.shape), count), log_counts


def require_presence(layout: StateLayout, part: str, remedy: str) -> None:
    """Raise UserError unless the first number of a slot is its presence, as `part` needs it."""
    require_fields(layout, ("presence",), part, remedy)
    if layout["presence"] != slice(0, 1):
        raise UserError(f"{part} needs presence as one number, the first of the state; put that field first")


def stopping(logits: Float[Tensor, "*b k"]) -> Float[Tensor, "*b n"]:
    """Return log q(n) for n = 0 to k, nats, given logits of presence.

    Slot k is present with probability sigmoid(logits_k) if all slots before it are; n is the number of slots
    before the first absent one.
    """
    return pad(logsigmoid(logits).cumsum(-1), (1, 0)) + pad(logsigmoid(-logits), (0, 1))


def geometric(ratio: float, slots: int, like: Tensor) -> Float[Tensor, "n"]:
    """Return log p(n) for n = 0 to `slots`, with p(n) proportional to ratio^n (truncated geometric)."""
    count = torch.arange(slots + 1, device=like.device, dtype=like.dtype)
    return (count * math.log(ratio)).log_softmax(-1)


def _present(numbers: Float[Tensor, "*b k e"], count: Tensor) -> Float[Tensor, "*b k d"]:
    """Return the first `count` slots with a presence of 1 in front, and zeros for the others."""
    slot = torch.arange(numbers.shape[-2], device=numbers.device)
    present = (slot < count[..., None])[..., None].expand(*numbers.shape[:-1], 1)
    return torch.cat([present.to(numbers.dtype), numbers.masked_fill(~present, 0)], -1)
