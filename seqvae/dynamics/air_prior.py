"""The prior of AIR on how many objects a frame has, and on each of them; frames are independent.

Eslami et al. 2016, arXiv 1603.08575.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import CountedNormal, Normal, geometric, require_presence
from seqvae.errors import UserError
from seqvae.layout import StateLayout, require_names
from seqvae.types import Dynamics, Encoding, Transition


@register(Dynamics)
class AIRPrior(Dynamics):
    """p(z_t) = p(n) prod_{k <= n} N(z_k; mean, diag std^2), p(n) in proportion to ratio^n, n = 0 to K.

    ratio: p(n + 1) / p(n); below 1 an empty frame is the most probable one
    mean, std: field -> number, by default 0 and 1; sizes and positions in half-widths

    Raises:
        UserError: slots have no presence, or not as their first number; or ratio is not positive; or mean or
            std names no field.
    """

    mean: Tensor  # (d - 1,): of the numbers after the presence
    std: Tensor  # (d - 1,)
    frames_independent = True
    ignores_actions = True
    has_presence = True

    def __init__(
        self,
        frame_layout: StateLayout,
        slots: int,
        actions: int = 0,
        ratio: float = 0.5,
        mean: Mapping[str, float] | None = None,
        std: Mapping[str, float] | None = None,
    ):
        super().__init__()
        remedy = "use StandardNormal, or a frame model of a varying number of objects"
        require_presence(frame_layout, "model.dynamics: AIRPrior", remedy)
        if ratio <= 0:
            raise UserError(f"model.dynamics.ratio={ratio}: expected a number above 0")
        self.layout, self.slots, self.ratio = frame_layout, slots, ratio
        for key, default, by_field in (("mean", 0.0, mean or {}), ("std", 1.0, std or {})):
            require_names(frame_layout, by_field, f"model.dynamics.{key}")
            numbers = torch.full((frame_layout.dim,), default)
            for name, value in by_field.items():
                numbers[frame_layout[name]] = value
            self.register_buffer(key, numbers[1:], persistent=False)

    def init(self, batch: int, like: Tensor) -> Float[Tensor, "b k d"]:
        return like.new_zeros(batch, self.slots, self.layout.dim)

    def predict(
        self, carry: Float[Tensor, "b k d"], prev_action: Int[Tensor, "b"] | None = None
    ) -> Transition:
        log_counts = geometric(self.ratio, carry.shape[1], carry).expand(len(carry), -1)
        zero = torch.zeros_like(carry[..., 1:])
        prior = CountedNormal(log_counts, Normal(zero + self.mean, zero + self.std))
        return Transition(prior, prior)

    def update(
        self, carry: Float[Tensor, "b k d"], z: Float[Tensor, "b k d"], encoding: Encoding | None
    ) -> Float[Tensor, "b k d"]:
        return carry
