"""Distributions over the numbers of slots, with numbers of slots that may be absent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.tree import short_repr
from seqvae.types import Distribution, require_fields

# Densities over a frame's state; the last two axes (k d) are the event, all others batch.

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


# Densities over a number of objects and what each is like; the last two axes (k d) are the event.


@dataclass(frozen=True)
class CountedNormal:
    """q(n) prod_{k <= n} N(z_k; mean_k, diag std_k^2): how many slots are present, then each of those.

    The first number of a slot is its presence: 1 in the first n slots, 0 in the others. These are 0 in all
    their numbers, have no density, and so add nothing to a log-ratio of two such distributions.
    log_counts: log q(n) of n = 0 to k, normalised. inner: of the numbers behind the presence.
    """

    __repr__ = short_repr

    log_counts: Float[Tensor, "*b n"]
    inner: Normal

    def rsample(self) -> Float[Tensor, "*b k d"]:
        """A draw, reparameterised in all but the count, whose gradient takes another way (see objectives)."""
        uniform = torch.rand_like(self.log_counts).clamp_min(torch.finfo(self.log_counts.dtype).tiny)
        count = (self.log_counts - (-uniform.log()).log()).argmax(-1)  # Gumbel's way to draw a category
        return _present(self.inner.rsample(), count)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*_"]:
        density = gaussian_log_density(z[..., 1:], self.inner.mean, self.inner.std).sum(-1)
        return self.log_count(z) + (z[..., 0] * density).sum(-1)

    def log_count(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*_"]:
        """log q(n) of the number of slots that are present in z, nats."""
        count = z[..., 0].detach().sum(-1).round().long()
        return self.log_counts.expand(*count.shape, -1).gather(-1, count[..., None])[..., 0]

    def point(self) -> Float[Tensor, "*b k d"]:
        """The most probable count, and the means."""
        return _present(self.inner.mean, self.log_counts.argmax(-1))

    def support(self) -> tuple[Float[Tensor, "n *b k d"], Float[Tensor, "n *b"]]:
        """z for every count from 0 to k, and the log-probability of each.

        The slots are drawn once: those of a smaller count are the first ones of a larger. So the sum of
        q(n) f(z_n) over counts estimates E_q[f], and its gradient, without noise from the count.
        """
        log_counts = self.log_counts.movedim(-1, 0)
        count = torch.arange(len(log_counts), device=log_counts.device)
        count = count.reshape(-1, *[1] * (log_counts.dim() - 1))
        drawn = self.inner.rsample()
        return _present(drawn.expand(len(log_counts), *drawn.shape), count), log_counts


def require_presence(layout: StateLayout, part: str, remedy: str) -> None:
    """Raise UserError unless the first number of a slot is its presence, which `part` needs."""
    require_fields(layout, ("presence",), part, remedy)
    if layout["presence"] != slice(0, 1):
        raise UserError(f"{part} needs presence as one number, the first of the state; put that field first")


def stopping(logits: Float[Tensor, "*b k"]) -> Float[Tensor, "*b n"]:
    """log q(n), n = 0 to k, where slots are asked in turn and the first that is absent ends it, nats."""
    return pad(logsigmoid(logits).cumsum(-1), (1, 0)) + pad(logsigmoid(-logits), (0, 1))


def geometric(ratio: float, slots: int, like: Tensor) -> Float[Tensor, "n"]:
    """log p(n), n = 0 to `slots`, of the truncated geometric distribution: p(n) in proportion to ratio^n."""
    count = torch.arange(slots + 1, device=like.device, dtype=like.dtype)
    return (count * math.log(ratio)).log_softmax(-1)


def _present(numbers: Float[Tensor, "*b k e"], count: Tensor) -> Float[Tensor, "*b k d"]:
    """The numbers of the first slots behind a 1, zeros in the others."""
    slot = torch.arange(numbers.shape[-2], device=numbers.device)
    present = (slot < count[..., None])[..., None].expand(*numbers.shape[:-1], 1)
    return torch.cat([present.to(numbers.dtype), numbers.masked_fill(~present, 0)], -1)
