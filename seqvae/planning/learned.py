"""A trained model as a world: planning in imagination."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from seqvae.errors import UserError
from seqvae.planning.world import World, WorldStep
from seqvae.sequence import SequenceModel
from seqvae.tree import short_repr
from seqvae.types import ActionSpace, Carry, Trace

# Reward and probability of an end, "b" each, from the state before "b k d", the action and the state after.
Outcome = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Imagined:
    """Where b imagined environments stand.

    carry: of the model, from which it imagines on
    z: the last state
    """

    __repr__ = short_repr

    carry: Carry
    z: Float[Tensor, "b k d"]


class ModelWorld(World):
    """A model that follows actions: the mean of p(z_t | z_<t, a_<t), and the outcome of each step.

    outcome: reward and end of a step

    Raises:
        UserError: the model follows no actions.
    """

    def __init__(self, model: SequenceModel, outcome: Outcome):
        if not model.actions:
            raise UserError(
                "a planner needs a model that follows actions, and this one follows none; train one on data "
                "with actions"
            )
        self.model, self.outcome, self.actions = model, outcome, ActionSpace(model.actions)

    def start(self, trace: Trace) -> Imagined:
        """Go on from the last frame of a filtered or imagined trace."""
        return Imagined(trace.carry, trace.z[:, -1])

    def filter(
        self,
        frames: Float[Tensor, "b t c h w"],
        prev_actions: Tensor,
        state: Imagined | None = None,
        observed: Bool[Tensor, "b t"] | None = None,
    ) -> Imagined:
        """Return where the environments stand after new frames; without a state they begin with these.

        prev_actions: the action that led to each frame
        """
        carry = None if state is None else state.carry
        return self.start(self.model.filter(frames, prev_actions, carry, observed))

    def step(self, state: Imagined, action: Tensor) -> WorldStep:
        trace = self.model.imagine(state.carry, 1, action[:, None])
        z = trace.z[:, 0]
        reward, end = self.outcome(state.z, action, z)
        return WorldStep(Imagined(trace.carry, z), reward, end)

    def positions(self, state: Imagined) -> Float[np.ndarray, "b k 2"] | None:
        found = self.model.positions(state.z[:, None])
        if found is None:
            return None
        return found[:, 0, self.model.background_slots :].detach().cpu().numpy()
