"""Inverse autoregressive flow (Kingma et al. 2016, arXiv 1606.04934) on top of a Gaussian posterior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.nn.layers import MADE, full_precision
from seqvae.share import randn_like
from seqvae.tree import short_repr
from seqvae.types import Encoding, Posterior, Transition

OPEN = 2.0  # shift of the gates' logits: they start near 0.9, so that the flow starts near the identity
LEAST = -15.0  # of log g, near log of float32's rounding: with a smaller gate nothing of z is left in the sum
FAR = 1e15  # of the base's stds: the inverse goes no further, where its square would overflow


class Flow(nn.Module):
    """z <- g z + (1 - g) m, `steps` times, with (m, logit g) from a MADE of alternating order.

    size: numbers of z
    context: size of the context vector
    hidden: units per hidden layer of each MADE
    """

    def __init__(self, size: int, context: int, steps: int, hidden: int):
        super().__init__()
        self.steps = nn.ModuleList(MADE(size, context, hidden, reverse=i % 2 == 1) for i in range(steps))

    def forward(
        self, z: Float[Tensor, "*b d"], context: Float[Tensor, "*b e"], active: Float[Tensor, "*b 1"]
    ) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b"]]:
        """Return the transformed z, and the log-determinant of its Jacobian.

        active: 1, or 0 where z stays as it is
        """
        total = torch.zeros_like(z[..., 0])
        for made in self.steps:
            shift, log_gate = self._step(made, z, context, active)
            z = z + (1 - log_gate.exp()) * (shift - z)
            total = total + log_gate.sum(-1)
        return z, total

    def inverse(
        self, z: Float[Tensor, "*b d"], context: Float[Tensor, "*b e"], active: Float[Tensor, "*b 1"]
    ) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b"]]:
        """Return the point that `forward` takes to z, and the log-determinant there: one number at a time.

        It divides by the gates, so that rounding errors of z grow by up to exp(-LEAST) per step. The density
        of a sample is therefore exact where it is drawn, and from here only as far as the flow does not
        contract to a point. The result is always finite.
        """
        total = torch.zeros_like(z[..., 0])
        for step in reversed(self.steps):
            made, before = cast(MADE, step), z
            # 1. number i, from the numbers before it, which are known already
            for i in made.order:
                shift, log_gate = self._step(made, before, context, active)
                number = shift[..., i] + (z[..., i] - shift[..., i]) * (-log_gate[..., i]).exp()
                number = number.clamp(-FAR, FAR)
                before = torch.cat([before[..., :i], number[..., None], before[..., i + 1 :]], -1)
            # 2. the log-determinant at the point
            total = total + self._step(made, before, context, active)[1].sum(-1)
            z = before
        return z, total

    @staticmethod
    def _step(made: nn.Module, z: Tensor, context: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return m and log g; g is 1 where the flow is not active."""
        shift, logit = made(z, context)
        return shift, active * logsigmoid(logit + OPEN).clamp(min=LEAST)


@dataclass(frozen=True)
class Transformed:
    """The density of mean + std * flow(noise), noise ~ N(0, 1), over (k d), with the base's mean and std.

    Every slot is transformed alike and by itself. In units of the base the flow has numbers around 1 to work
    with, however sharp the posterior. Drawing is one pass and yields the sample's log-density; the density of
    any other point takes d passes per step.

    base: the Gaussian that the flow transforms
    context: mean and log std of the base
    active: 0 for slots that keep the base's density, else 1
    """

    __repr__ = short_repr

    base: Normal
    context: Float[Tensor, "*b k e"]
    active: Float[Tensor, "*b k 1"]
    flow: Flow

    def rsample(self) -> Float[Tensor, "*b k d"]:
        return self.rsample_and_log_prob()[0]

    def rsample_and_log_prob(self) -> tuple[Float[Tensor, "*b k d"], Float[Tensor, "*b"]]:
        """Draw a sample; return it and its log-density, nats."""
        noise = randn_like(self.base.mean)
        transformed, log_det = self._transform(noise)
        return self.base.mean + self.base.std * transformed, self._log_density(noise, log_det)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b"]:
        with full_precision(z.device):
            transformed = (z - self.base.mean) / self.base.std
            return self._log_density(*self.flow.inverse(transformed, self.context, self.active))

    def point(self) -> Float[Tensor, "*b k d"]:
        """Return the image of the base's mean: a flow has no mean of its own in closed form."""
        return self.base.mean + self.base.std * self._transform(torch.zeros_like(self.base.mean))[0]

    def _transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        with full_precision(noise.device):
            return self.flow(noise, self.context, self.active)

    def _log_density(self, noise: Tensor, log_det: Tensor) -> Float[Tensor, "*b"]:
        """Return log q of the point to which the flow takes the noise."""
        return self.base.log_prob(self.base.mean + self.base.std * noise) - log_det.sum(-1)


@register(Posterior)
class IAF(Posterior):
    """q(z_t | ...) of any Gaussian posterior, made non-Gaussian by a flow that reads its mean and std.

    A slot of which nothing was observed keeps the base's density.

    base: makes the Gaussian posterior
    steps: number of transformations
    hidden: units per hidden layer of each

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

    def identity(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b n"] | None:
        return self.base.identity(z)

    def __call__(
        self, encoding: Encoding, transition: Transition, carry: Any
    ) -> tuple[Transformed, Encoding, Any]:
        base, encoding, carry = self.base(encoding, transition, carry)
        base = cast(Normal, base)
        context = torch.cat([base.mean, base.std.log()], -1)
        active = (encoding.precision > 0).any(-1, keepdim=True).to(context.dtype)
        return Transformed(base, context, active, self.flow), encoding, carry
