"""Planning towards a goal: a world in which a step is worth minus what is left of the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.matching import assign, reorder
from seqvae.planning.world import World, WorldStep
from seqvae.tree import short_repr


@dataclass(frozen=True)
class OnTheWay:
    """Where b environments stand, and the fields of their objects at the goal."""

    __repr__ = short_repr

    inner: Any
    goal: Float[Tensor, "b k e"]


class GoalWorld(World):
    """A world whose reward is minus the distance of an environment to its goal, after each step.

    The distance is the mean over objects of the Euclidean distance of the chosen fields, where each object of
    the goal is given to the one that makes the sum of squares least: slots have no names. Nothing ends.

    world: the states and their steps; its own rewards are of no importance
    fields: that are compared, such as position
    """

    def __init__(self, world: World, fields: Sequence[str] = ("position",)):
        self.world, self.names, self.actions = world, tuple(fields), world.actions

    def start(self, state: Any, goal: Any) -> OnTheWay:
        """Begin at the states of `world`, on the way to other states of it, one each."""
        return OnTheWay(state, self.world.fields(goal, self.names))

    def step(self, state: OnTheWay, action: Tensor) -> WorldStep:
        inner = self.world.step(state.inner, action).state
        after = OnTheWay(inner, state.goal)
        reward = -self.distance(after)
        return WorldStep(after, reward, torch.zeros_like(reward))

    def distance(self, state: OnTheWay) -> Float[Tensor, "b"]:
        """Return how far it is to the goal."""
        return distance(self.world.fields(state.inner, self.names), state.goal)

    def positions(self, state: OnTheWay) -> Float[np.ndarray, "b k 2"] | None:
        return self.world.positions(state.inner)


def distance(now: Float[Tensor, "b k e"], goal: Float[Tensor, "b k e"]) -> Float[Tensor, "b"]:
    """Return the mean distance of objects from those of the goal to which they are assigned."""
    squares = (now[:, :, None] - goal[:, None]).square().sum(-1)  # b k k
    goal = reorder(goal, assign(squares))
    return (now - goal).square().sum(-1).sqrt().mean(-1)
