"""Two dynamics of the same kind: one that generates, and one that only helps to infer."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.dynamics.linear import LinearDynamics
from seqvae.dynamics.markov import MarkovDynamics
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.types import Dynamics, Encoding, LastState, Transition


@register(Dynamics)
class DoubleDynamics(Dynamics):
    """p(z_t | z_t-1) from one network, and the proposal, which the posterior uses, from another.

    An ablation of STOVE, which uses one network for both (Kossen et al. 2020, arXiv 1910.02425).

    dynamics: makes a Markov dynamics; called twice

    Raises:
        UserError: the carry of that dynamics is not the last state.
    """

    def __init__(
        self, frame_layout: StateLayout, slots: int, dynamics: Callable[..., Dynamics], actions: int = 0
    ):
        super().__init__()
        self.generative = dynamics(frame_layout=frame_layout, slots=slots, actions=actions)
        self.inference = dynamics(frame_layout=frame_layout, slots=slots, actions=actions)
        if not isinstance(self.generative, (LinearDynamics, MarkovDynamics)):
            raise UserError(
                f"model.dynamics.dynamics: {type(self.generative).__name__} does not go by the last state, "
                "which is all that the two share; use GraphDynamics, StoveDynamics or LinearDynamics"
            )
        self.layout, self.held = self.generative.layout, self.generative.held
        self.ignores_actions = self.generative.ignores_actions

    def init(self, batch: int, like: Tensor) -> LastState:
        return self.generative.init(batch, like)

    def predict(self, carry: LastState, prev_action: Int[Tensor, "b"] | None = None) -> Transition:
        prior = self.generative.predict(carry, prev_action).prior
        return Transition(prior, self.inference.predict(carry, prev_action).proposal)

    def update(self, carry: LastState, z: Float[Tensor, "b k d"], encoding: Encoding | None) -> LastState:
        return self.generative.update(carry, z, encoding)
