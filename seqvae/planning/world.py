"""A world as a planner sees it: states that a function steps, many at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.errors import UserError
from seqvae.tree import map_record, short_repr
from seqvae.types import ActionSpace


@dataclass(frozen=True)
class WorldStep:
    """The result of one action in each of b states.

    state: the new states
    reward: expected reward, received on arriving there
    end: probability that the episode has ended there; 0 or 1 where it is known
    """

    __repr__ = short_repr

    state: Any
    reward: Float[Tensor, "b"]
    end: Float[Tensor, "b"]


class World:
    """Environments of one kind, simulated or imagined, b of them at a time.

    A state is a record of tensors with b as the first axis: a tensor, or a dict or dataclass of them. `step`
    is pure: it changes no state and draws no random numbers, and the environments of a batch do not depend on
    each other. So a planner may step a state again, select environments and repeat them.

    actions: the actions that `step` takes
    """

    actions: ActionSpace

    @abstractmethod
    def start(self, *given: Any) -> Any:
        """Return the states in which b environments begin, from what such a world begins with."""
        raise NotImplementedError

    @abstractmethod
    def step(self, state: Any, action: Tensor) -> WorldStep:
        """Return the states to which actions lead, with rewards and ends.

        action: int64 "b", or float32 "b a" where actions are vectors
        """
        raise NotImplementedError

    def positions(self, state: Any) -> Float[np.ndarray, "b k 2"] | None:
        """Return the places of objects in half-widths, to be drawn; None where a world knows of none."""
        return None

    def fields(self, state: Any, names: Sequence[str]) -> Float[Tensor, "b k e"]:
        """Return fields of all objects, such as position and velocity, joined in this order.

        Raises:
            UserError: the states of this world have no such field.
        """
        raise UserError(f"{type(self).__name__} has no fields of objects, so it has no distance to a goal")


def select(state: Any, index: Tensor) -> Any:
    """Return the states at these places of the batch."""
    return map_record(lambda x: x[index], state)


def repeat(state: Any, count: int) -> Any:
    """Return each state `count` times, one after the other: b becomes (b count)."""
    return map_record(lambda x: x.repeat_interleave(count, 0), state)


def batch_of(state: Any) -> int:
    """Return the number of environments."""
    return len(_first(state))


def device_of(state: Any) -> torch.device:
    """Return the device of the states."""
    return _first(state).device


def _first(state: Any) -> Tensor:
    found: list[Tensor] = []
    map_record(lambda x: found.append(x) or x, state)
    return found[0]


def returns(rewards: Float[Tensor, "b t"], ends: Float[Tensor, "b t"], discount: float) -> Float[Tensor, "b"]:
    """Return r_1 + g (1 - e_1) (r_2 + g (1 - e_2) (r_3 + ...)), with the discount g."""
    total = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        total = rewards[:, t] + discount * (1 - ends[:, t]) * total
    return total


@dataclass(frozen=True)
class Line:
    """A line of actions in each of b environments, and what they lead to.

    rewards, ends: as in WorldStep, after each action
    states: after each action
    """

    rewards: Float[Tensor, "b t"]
    ends: Float[Tensor, "b t"]
    states: tuple[Any, ...]


def follow(world: World, state: Any, actions: Tensor) -> Line:
    """Step along actions "b t", or "b t a"."""
    steps = []
    for t in range(actions.shape[1]):
        steps.append(world.step(state, actions[:, t]))
        state = steps[-1].state
    rewards, ends = (torch.stack([getattr(step, name) for step in steps], 1) for name in ("reward", "end"))
    return Line(rewards, ends, tuple(step.state for step in steps))
