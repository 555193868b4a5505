"""Base of Markov dynamics with fixed generative stds: the first state, the stds, the transition."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout, refuse_presence, require_fields, require_names
from seqvae.nn.layers import Spread, full_precision
from seqvae.types import Dynamics, Encoding, LastState, Transition

Stds = dict[str, float]

# defaults by field; positions and sizes in half-widths, velocities per frame
PRIOR_STD = {"position": 0.01, "velocity": 0.01, "latent": 0.01}
PROPOSAL_STD = {"position": 0.3, "velocity": 0.04, "latent": 0.04}
FIRST_STD = {"size": 0.3, "position": 0.6, "velocity": 0.1, "latent": 0.1}
RANDOM_WALK_STD = {"size": 0.02, "appearance": 0.1, "colour": 0.02}
FIRST_SIZE = 0.3
PROPOSAL_STD_FLOOR = 1e-3


class MarkovDynamics(Dynamics):
    """p(z_t | z_t-1, a_t-1) = N(mean of `step`, prior_std^2). A subclass implements `step`.

    `step` moves position, velocity (if the frame layout has one) and `latent` further numbers. All other
    fields (size, appearance, colour) keep their value up to a random walk.

    latent: count of numbers that no frame shows; their proposal is their posterior, so the std of it has a
        learned factor (`latent_spread`)
    prior_std: field -> std of the generative transition, times the learned factor of `spread`
    proposal_std: field -> largest std of the proposal, which is learned and weighs the prediction in the
        posterior
    walk: field -> std of the random walk per frame
    first_std: field -> std of the first state

    Raises:
        UserError: the state has no position, or slots can be absent; or a std is given for no field, or none
            for a field with a random walk.
    """

    fixed_start = True
    prior_std: Tensor  # (d,)
    max_std: Tensor  # (d,): of the proposal
    first_std: Tensor  # (d,)
    first_mean: Tensor  # (d,)

    def __init__(
        self,
        frame_layout: StateLayout,
        slots: int,
        latent: int,
        prior_std: Stds | None = None,
        proposal_std: Stds | None = None,
        walk: Stds | None = None,
        first_std: Stds | None = None,
    ):
        super().__init__()
        remedy = "GRUDynamics and StaticDynamics need none"
        require_fields(frame_layout, ("position",), f"model.dynamics: {type(self).__name__}", remedy)
        refuse_presence(frame_layout, f"model.dynamics: {type(self).__name__}", "AIRPrior")
        self.layout, self.slots = frame_layout.extend(Field("latent", latent, "dynamics")), slots
        stds = {"prior_std": prior_std, "proposal_std": proposal_std, "walk": walk, "first_std": first_std}
        for name, by_field in stds.items():
            require_names(self.layout, by_field or (), f"model.dynamics.{name}")
        random_walk_std = RANDOM_WALK_STD | dict(walk or {})
        for field in frame_layout.fields:
            if field.name not in PRIOR_STD | random_walk_std:
                raise UserError(
                    f"model.dynamics.walk: give the std with which {field.name} changes from frame to frame"
                )
        self._register("prior_std", PRIOR_STD | random_walk_std | dict(prior_std or {}))
        self._register("max_std", PROPOSAL_STD | random_walk_std | dict(proposal_std or {}))
        self._register("first_std", FIRST_STD | dict(first_std or {}), default=1.0)
        self._register("first_mean", {"size": FIRST_SIZE}, default=0.0)
        self.moved = [name for name in ("position", "velocity", "latent") if name in self.layout]
        self.sizes = [self.layout.field(name).size for name in self.moved]
        self.spread = Spread(self.layout, tuple(self.moved))
        self.latent_spread = Spread(self.layout, ("latent",))

    def _register(self, name: str, by_field: Mapping[str, float], default: float | None = None) -> None:
        """Register a buffer "d" with the number of each field."""
        numbers = [
            torch.full((f.size,), by_field[f.name] if default is None else by_field.get(f.name, default))
            for f in self.layout.fields
        ]
        self.register_buffer(name, torch.cat(numbers), persistent=False)

    def init(self, batch: int, like: Tensor) -> LastState:
        return LastState(None, like.new_zeros(batch, self.slots, self.layout.dim))

    def predict(self, carry: LastState, prev_action: Int[Tensor, "b"] | None = None) -> Transition:
        if carry.z is None:
            return self._first(self.first_mean + carry.like)
        with full_precision(carry.z.device):  # in bfloat16 a mean is off by a tenth of a typical speed
            mean, share = self.step(carry.z, prev_action)
        prior = Normal(mean, self.spread(self.prior_std).expand_as(mean))
        proposal_std = self.latent_spread(PROPOSAL_STD_FLOOR + self.max_std * share)
        return Transition(prior, Normal(mean, proposal_std))

    def _first(self, mean: Float[Tensor, "b k d"]) -> Transition:
        """Return the prediction of a state without a past: N(mean, first_std^2)."""
        std = self.first_std.expand_as(mean)
        return Transition(Normal(mean, std), Normal(mean, self.latent_spread(std)))

    def update(self, carry: LastState, z: Float[Tensor, "b k d"], encoding: Encoding | None) -> LastState:
        return LastState(z, carry.like)

    def step(
        self, z: Float[Tensor, "b k d"], action: Int[Tensor, "b"] | None = None
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k d"]]:
        """Return the mean of the next state, and the proposal's std as a share of its maximum.

        The share of a field with a random walk is 1.
        """
        raise NotImplementedError
