"""Dynamics without interaction: objects that stay where they are, or move in straight lines."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.layout import StateLayout, require_fields, require_names
from seqvae.types import Dynamics, Encoding, LastState, Transition

STD = {"position": 0.02, "velocity": 0.02, "size": 0.02}  # before training; half-widths
OTHER_STD = 0.05  # of fields that STD does not name
STD_FLOOR = 1e-4


@register(Dynamics)
class LinearDynamics(Dynamics):
    """p(z_t | z_t-1) = N(x + v, v, rest unchanged; std^2), with learned stds: a constant-velocity filter.

    moving, of the class: whether positions move; False for the static baseline
    std: field -> std before training
    first_std: of all numbers of the first state, whose mean is 0

    Raises:
        UserError: the state has no position or velocity to move by, or none of the fields of `std`.
    """

    moving = True
    ignores_actions = True

    def __init__(
        self,
        frame_layout: StateLayout,
        slots: int,
        actions: int = 0,
        std: dict[str, float] | None = None,
        first_std: float = 1.0,
    ):
        super().__init__()
        if self.moving:
            remedy = "StaticDynamics needs neither"
            require_fields(frame_layout, ("position", "velocity"), "model.dynamics: LinearDynamics", remedy)
        require_names(frame_layout, std or (), "model.dynamics.std")
        self.layout, self.slots, self.first_std = frame_layout, slots, first_std
        std = STD | dict(std or {})
        initial = [torch.full((f.size,), std.get(f.name, OTHER_STD)) for f in frame_layout.fields]
        self.log_std = nn.Parameter(torch.cat(initial).log())

    def init(self, batch: int, like: Tensor) -> LastState:
        return LastState(None, like.new_zeros(batch, self.slots, self.layout.dim))

    def predict(self, carry: LastState, prev_action: Int[Tensor, "b"] | None = None) -> Transition:
        if carry.z is None:
            first = Normal(carry.like, torch.full_like(carry.like, self.first_std))
            return Transition(first, first)
        mean = carry.z
        if self.moving:
            step = torch.zeros_like(mean)
            step[..., self.layout["position"]] = mean[..., self.layout["velocity"]]
            mean = mean + step
        prior = Normal(mean, (self.log_std.exp() + STD_FLOOR).expand_as(mean))
        return Transition(prior, prior)

    def update(self, carry: LastState, z: Float[Tensor, "b k d"], encoding: Encoding | None) -> LastState:
        return LastState(z, carry.like)


@register(Dynamics)
class StaticDynamics(LinearDynamics):
    """p(z_t | z_t-1) = N(z_t-1, std^2): a random walk."""

    moving = False
