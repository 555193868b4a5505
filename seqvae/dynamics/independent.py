"""Independent frames: the prior of a plain VAE."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.types import Dynamics, Encoding, Transition


@register(Dynamics)
class StandardNormal(Dynamics):
    """p(z_t) = N(0, 1), independent of the past (Kingma & Welling 2014, arXiv 1312.6114).

    Raises:
        UserError: the frame model has a velocity, which independent frames do not define.
    """

    frames_independent = True
    ignores_actions = True

    def __init__(self, frame_layout: StateLayout, slots: int, actions: int = 0):
        super().__init__()
        if any(field.difference_of for field in frame_layout.fields):
            raise UserError(
                "model.dynamics: StandardNormal takes frames for independent, so nothing has a velocity; "
                "give model.frame.velocity=false, or another dynamics"
            )
        self.layout, self.slots = frame_layout, slots

    def init(self, batch: int, like: Tensor) -> Float[Tensor, "b k d"]:
        return like.new_zeros(batch, self.slots, self.layout.dim)

    def predict(
        self, carry: Float[Tensor, "b k d"], prev_action: Int[Tensor, "b"] | None = None
    ) -> Transition:
        prior = Normal(carry, torch.ones_like(carry))
        return Transition(prior, prior)

    def update(
        self, carry: Float[Tensor, "b k d"], z: Float[Tensor, "b k d"], encoding: Encoding | None
    ) -> Float[Tensor, "b k d"]:
        return carry
