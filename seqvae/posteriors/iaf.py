"""Inverse autoregressive flow (Kingma et al. 2016, arXiv 1606.04934): a Gaussian posterior, bent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.nn.layers import MADE, full_precision
from seqvae.tree import short_repr
from seqvae.types import Encoding, Posterior, Transition

OPEN = 2.0  # shift of the gates' logits: they start near 0.9, so that the flow starts near the identity
LEAST = -15.0  # of log g, near log of float32's rounding: with a smaller gate nothing of z is left in the sum
FAR = 1e15  # of the base's stds: the inverse goes no further, where its square would overflow


class Flow(nn.Module):
    """z <- g z + (1 - g) m, `steps` times, with (m, logit g) from a MADE; the order turns round each time."""

    def __init__(self, size: int, context: int, steps: int, hidden: int):
        super().__init__()
        self.steps = nn.ModuleList(MADE(size, context, hidden, reverse=i % 2 == 1) for i in range(steps))

    def forward(
        self, z: Float[Tensor, "*b d"], context: Float[Tensor, "*b e"], active: Float[Tensor, "*b 1"]
    ) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b"]]:
        """The transformed z, and the log-determinant of its Jacobian. Where active is 0, z stays as it is."""
        total = torch.zeros_like(z[..., 0])
        for made in self.steps:
            shift, log_gate = self._step(made, z, context, active)
            z = z + (1 - log_gate.exp()) * (shift - z)
            total = total + log_gate.sum(-1)
        return z, total

    def inverse(
        self, z: Float[Tensor, "*b d"], context: Float[Tensor, "*b e"], active: Float[Tensor, "*b 1"]
    ) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b"]]:
        """What `forward` takes to z, and the log-determinant there: one number after the other.

        It divides by the gates, so that the rounding of z grows by up to exp(-LEAST) a step. The density of a
        sample is therefore exact where it is drawn, and from here only as far as the flow is no contraction
        to a point. The result is always finite.
        """
        total = torch.zeros_like(z[..., 0])
        for made in reversed(self.steps):
            before = z
            for i in made.order:
                shift, log_gate = self._step(made, before, context, active)
                found = shift[..., i] + (z[..., i] - shift[..., i]) * (-log_gate[..., i]).exp()
                found = found.clamp(-FAR, FAR)
                before = torch.cat([before[..., :i], found[..., None], before[..., i + 1 :]], -1)
            total = total + self._step(made, before, context, active)[1].sum(-1)
            z = before
        return z, total

    @staticmethod
    def _step(made: MADE, z: Tensor, context: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        shift, logit = made(z, context)
        return shift, active * logsigmoid(logit + OPEN).clamp(min=LEAST)


@dataclass(frozen=True)
class Transformed:
    """The density of mean + std * flow(noise), noise ~ N(0, 1), over (k d), with the base's mean and std.

    Every slot is transformed alike and by itself. In units of the base the flow has numbers around 1 to work
    with, however sharp the posterior. Drawing is one pass, and gives the sample's log-density; that of any
    other point takes d passes a step.
    """

    __repr__ = short_repr

    base: Normal
    context: Float[Tensor, "*b k e"]
    active: Float[Tensor, "*b k 1"]
    flow: Flow

    def rsample(self) -> Float[Tensor, "*b k d"]:
        return self.rsample_and_log_prob()[0]

    def rsample_and_log_prob(self) -> tuple[Float[Tensor, "*b k d"], Float[Tensor, "*b"]]:
        """A sample and its log-density, nats."""
        noise = torch.randn_like(self.base.mean)
        bent, log_det = self._bent(noise)
        return self.base.mean + self.base.std * bent, self._density(noise, log_det)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b"]:
        with full_precision(z.device):
            bent = (z - self.base.mean) / self.base.std
            return self._density(*self.flow.inverse(bent, self.context, self.active))

    def point(self) -> Float[Tensor, "*b k d"]:
        """Where the flow takes the base's mean: a flow has no mean of its own in closed form."""
        return self.base.mean + self.base.std * self._bent(torch.zeros_like(self.base.mean))[0]

    def _bent(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        with full_precision(noise.device):
            return self.flow(noise, self.context, self.active)

    def _density(self, noise: Tensor, log_det: Tensor) -> Float[Tensor, "*b"]:
        """log q of the point that the noise is taken to."""
        return self.base.log_prob(self.base.mean + self.base.std * noise) - log_det.sum(-1)


@register(Posterior)
class IAF(Posterior):
    """q(z_t | ...) of any Gaussian posterior, made non-Gaussian by a flow that knows its mean and std.

    base: the posterior (a factory that takes the layout). A slot of which nothing was observed keeps the
    base's density.

    Raises:
        UserError: the base is a flow itself, or counts objects.
    """

    def __init__(self, layout: StateLayout, base: Callable[..., Posterior], steps: int = 4, hidden: int = 64):
        super().__init__()
        self.base = base(layout=layout)
        if isinstance(self.base, IAF):
            raise UserError("model.posterior.base: IAF bends a Gaussian, not another IAF; give more steps")
        if self.base.has_presence:
            raise UserError(
                f"model.posterior.base: IAF bends a Gaussian, and {type(self.base).__name__} also draws a "
                "count; use it without a flow"
            )
        self.context = self.base.context
        self.keeps_frame_order = self.base.keeps_frame_order
        self.background_slots = self.base.background_slots
        self.flow = Flow(layout.dim, 2 * layout.dim, steps, hidden)

    def init(self, batch: int, like: Tensor) -> Any:
        return self.base.init(batch, like)

    def __call__(
        self, encoding: Encoding, transition: Transition, carry: Any
    ) -> tuple[Transformed, Encoding, Any]:
        q, encoding, carry = self.base(encoding, transition, carry)
        context = torch.cat([q.mean, q.std.log()], -1)
        active = (encoding.precision > 0).any(-1, keepdim=True).to(context.dtype)
        return Transformed(q, context, active, self.flow), encoding, carry
