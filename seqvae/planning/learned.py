"""A trained model as a world: planning in imagination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seqvae.errors import UserError
from seqvae.planning.world import World, WorldStep
from seqvae.sequence import SequenceModel
from seqvae.tree import short_repr
from seqvae.types import ActionSpace, Carry, Trace

# Reward and probability of an end, "b" each, from the state before "b k d", the action and the state after.
Judge = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


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

    judge: reward and end of a step; None for the means of the model's reward part

    Raises:
        UserError: the model follows no actions, or has no reward part.
    """

    def __init__(self, model: SequenceModel, judge: Judge | None = None):
        if not model.actions:
            raise UserError(
                "a planner needs a model that follows actions, and this one follows none; train one on data "
                "with actions"
            )
        if judge is None and model.reward is None:
            raise UserError(
                "a planner needs rewards, and this model has no reward part; train one with "
                "model=stove_reward, or say what a step is worth (judge)"
            )
        self.model, self.judge, self.actions = model, judge or self._expected, ActionSpace(model.actions)

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
        reward, end = self.judge(state.z, action, z)
        return WorldStep(Imagined(trace.carry, z), reward, end)

    def _expected(self, before: Tensor, action: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        assert self.model.reward is not None
        return self.model.reward(before, action, after).mean()

    def positions(self, state: Imagined) -> Float[np.ndarray, "b k 2"] | None:
        found = self.model.positions(state.z[:, None])
        if found is None:
            return None
        return found[:, 0, self.model.background_slots :].detach().cpu().numpy()

    def fields(self, state: Imagined, names: Sequence[str]) -> Float[Tensor, "b k e"]:
        """Return fields of the model's layout, of all slots but those of the background."""
        layout = self.model.layout
        known = [field.name for field in layout.fields]
        for name in names:
            if name not in known:
                raise UserError(
                    f"goal: the states of this model have no {name}; they have {', '.join(known)}"
                )
        found = torch.cat([state.z[..., layout[name]] for name in names], -1)
        return found[:, self.model.background_slots :]
