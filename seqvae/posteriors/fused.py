"""STOVE's posterior: the normalised product of the frame's encoding and the prediction of the dynamics.

Kossen et al. 2020, arXiv 1910.02425, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import Normal, product
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.matching import assign, reorder, squared_distances
from seqvae.nn.layers import Spread
from seqvae.tree import short_repr
from seqvae.types import Encoding, Posterior, Transition

SPREAD = ("position", "velocity")  # fields whose std has a learned factor


@dataclass(frozen=True)
class FusedCarry:
    """The encoding of the frame before, in the trace's slot order; precision 0 before the first frame."""

    __repr__ = short_repr

    mean: Float[Tensor, "b k d"]
    precision: Float[Tensor, "b k d"]


@register(Posterior)
class Fused(Posterior):
    """q(z_t | x_<=t, z_<t) proportional to N(z_t; encoding) N(z_t; proposal), field by field.

    Slots of the frame are matched to the predicted slots. A field with `difference_of` (the velocity) is
    encoded by two frames: the difference of the means, the sum of the variances. With `innovation` its mean
    is the predicted velocity plus the observed minus the predicted position. Where objects move by inertia
    the two agree; where one bounces between two frames the difference mixes the velocities before and after,
    and the innovation does not. Fields of use "frame" follow the frame alone, unless nothing was observed.
    Stds of observed positions and velocities have a learned factor (`spread`), 1 unless a training stage
    fits it.

    match: name of the field by which slots are matched, or field -> weight of its squared distances
    fuse: False leaves the dynamics out of the estimate of all fields that a frame shows
    innovation: encode differences relative to the prediction, as a Kalman filter does, unless `fuse` leaves
        it out
    background_slots: number of slots, the first ones, that keep their place

    Raises:
        UserError: no frame shows a field to match by, or a weight is not above 0.
    """

    from_prior: Tensor  # (d,): 1 for numbers that are fused with the prediction

    def __init__(
        self,
        layout: StateLayout,
        match: str | Mapping[str, float] = "position",
        fuse: bool = True,
        background_slots: int = 0,
        innovation: bool = True,
    ):
        super().__init__()
        weights = {match: 1.0} if isinstance(match, str) else dict(match)
        shown = [f.name for f in layout.fields if f.use != "dynamics" and f.difference_of is None]
        for name, weight in weights.items():
            if name not in shown:
                raise UserError(
                    f"model.posterior.match={name}: Fused matches slots by a field that each frame shows, "
                    f"here {', '.join(shown)}; name one, or use Amortised"
                )
            if not weight > 0:
                raise UserError(f"model.posterior.match.{name}={weight}: expected a weight above 0")
        self.layout, self.match, self.background_slots = layout, weights, background_slots
        self.innovation = innovation and fuse
        from_prior = torch.zeros(layout.dim)
        for field in layout.fields:
            from_prior[layout[field.name]] = float(fuse and field.use != "frame")
        self.register_buffer("from_prior", from_prior, persistent=False)
        self.spread = Spread(layout, SPREAD)

    def init(self, batch: int, like: Tensor) -> FusedCarry:
        unknown = like.new_zeros(batch, like.shape[-2], self.layout.dim)
        return FusedCarry(unknown, unknown)

    def __call__(
        self, encoding: Encoding, transition: Transition, carry: FusedCarry
    ) -> tuple[Normal, Encoding, FusedCarry]:
        proposal = cast(Normal, transition.proposal)
        # 1. the encoding of every field, in the order of the predicted slots
        encoding = self._complete(self._matched(encoding, proposal), proposal.mean, carry)
        precision = encoding.precision
        # 2. fused with the prediction, or from the frame alone
        fused = product(encoding.mean, precision, proposal)
        frame_alone = (self.from_prior == 0) & (precision > 0)
        mean = torch.where(frame_alone, encoding.mean, fused.mean)
        std = torch.where(frame_alone, precision.clamp_min(1e-12).rsqrt(), fused.std)
        # 3. calibrated where something was observed
        std = torch.where(precision > 0, self.spread(std), std)
        return Normal(mean, std), encoding, FusedCarry(encoding.mean, encoding.precision)

    def identity(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b n"]:
        return torch.cat([weight**0.5 * z[..., self.layout[name]] for name, weight in self.match.items()], -1)

    def _matched(self, encoding: Encoding, predicted: Normal) -> Encoding:
        """Return the encoding in the order of the predicted slots."""
        with torch.no_grad():
            seen, known = self.identity(encoding.mean), self.identity(encoding.precision) > 0
            cost = squared_distances(self.identity(predicted.mean), seen, known)
            order = assign(cost, self.background_slots)
        return encoding.map(lambda x: reorder(x, order))

    def _complete(
        self, encoding: Encoding, predicted: Float[Tensor, "b k d"], before: FusedCarry
    ) -> Encoding:
        """Encode every field: differences by two frames, and precision 0 if no frame shows it."""
        means, precisions = [], []
        for field in self.layout.fields:
            where = self.layout[field.difference_of or field.name]
            mean, precision = encoding.mean[..., where], encoding.precision[..., where]
            if field.difference_of is not None:
                if self.innovation:
                    mean = predicted[..., self.layout[field.name]] + mean - predicted[..., where]
                else:
                    mean = mean - before.mean[..., where]
                precision = _precision_of_difference(precision, before.precision[..., where])
            elif where.start >= encoding.mean.shape[-1]:
                mean = precision = encoding.mean.new_zeros(*encoding.mean.shape[:-1], field.size)
            means.append(mean)
            precisions.append(precision)
        return Encoding(torch.cat(means, -1), torch.cat(precisions, -1), encoding.features)


def _precision_of_difference(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 / (1/a + 1/b), 0 where either is 0."""
    return a * b / (a + b).clamp_min(1e-12)
