"""Planners: the next action in each of many environments, found by stepping a world."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.errors import UserError, require_at_least
from seqvae.planning.world import World, batch_of, device_of, repeat, returns
from seqvae.tree import short_repr
from seqvae.types import ActionSpace

Generators = Sequence[np.random.Generator]  # one per environment, so that none depends on the others


@dataclass(frozen=True)
class Plan:
    """The line of actions that a planner prefers in each of b environments.

    actions: int64 "b t", or float32 "b t a" where actions are vectors; the first one is to be taken
    value: return that the planner expects of the line
    visits: number of imagined lines that begin with each discrete action; None where a planner counts none
    """

    __repr__ = short_repr

    actions: Tensor
    value: Float[Tensor, "b"]
    visits: Int[Tensor, "b a"] | None = None

    @property
    def action(self) -> Tensor:
        """The action to take, "b" or "b a"."""
        return self.actions[:, 0]


class Planner:
    """Chooses actions by imagining what they lead to. Made with simulations, depth and discount.

    A planner knows of a world what `World` says, and of the environments nothing but their states.

    simulations: number of lines of actions that it imagines for each move
    depth: actions in a line
    discount: factor on the rewards of each further step, in (0, 1]

    Raises:
        UserError: a number is out of its range.
    """

    def __init__(self, simulations: int, depth: int, discount: float = 1.0):
        self.simulations, self.depth, self.discount = simulations, depth, discount
        require_at_least({"simulations": simulations, "depth": depth}, simulations=1, depth=1)
        if not 0 < discount <= 1:
            raise UserError(f"discount={discount}: expected a number above 0, at most 1")

    def require_actions(self, actions: ActionSpace) -> None:  # noqa: B027  most planners search any
        """Raise UserError if the planner cannot search such actions."""

    @abstractmethod
    def __call__(self, world: World, state: Any, rng: Generators, previous: Plan | None = None) -> Plan:
        """Plan from the states of b environments.

        rng: a generator per environment
        previous: the plan whose first action led here, from which a planner may go on; None at the beginning
        """
        raise NotImplementedError


@register(Planner)
class RandomActions(Planner):
    """Actions drawn uniformly: the floor under every planner. It imagines nothing, so a value is 0."""

    def __call__(self, world: World, state: Any, rng: Generators, previous: Plan | None = None) -> Plan:
        actions = draw_actions(world.actions, rng, (1,), state)
        return Plan(actions, torch.zeros(len(actions), device=actions.device))


@register(Planner)
class RandomShooting(Planner):
    """The best of lines whose actions are drawn uniformly and independently."""

    def __call__(self, world: World, state: Any, rng: Generators, previous: Plan | None = None) -> Plan:
        lines = draw_actions(world.actions, rng, (self.simulations, self.depth), state)  # b n t
        value = line_returns(world, state, lines, self.discount)
        best = value.argmax(1)
        rows = torch.arange(len(best), device=best.device)
        return Plan(lines[rows, best], value[rows, best])


def line_returns(
    world: World, state: Any, lines: Float[Tensor, "b n t *a"] | Int[Tensor, "b n t"], discount: float
) -> Float[Tensor, "b n"]:
    """Return what each of n lines of actions brings in each of b environments."""
    b, n, depth = lines.shape[:3]
    state, flat = repeat(state, n), lines.flatten(0, 1)
    rewards, ends = [], []
    for t in range(depth):
        step = world.step(state, flat[:, t])
        state = step.state
        rewards.append(step.reward)
        ends.append(step.end)
    return returns(torch.stack(rewards, 1), torch.stack(ends, 1), discount).unflatten(0, (b, n))


def draw_actions(space: ActionSpace, rng: Generators, shape: tuple[int, ...], state: Any) -> Tensor:
    """Draw actions "b *shape", or "b *shape a" for vectors, uniformly, on the device of the states.

    Raises:
        UserError: vectors have no limits.
    """
    if not space.size:
        drawn = np.stack([g.integers(space.count, size=shape) for g in rng])
    else:
        low, high = limits(space)
        drawn = np.stack([g.uniform(low, high, (*shape, space.size)) for g in rng]).astype(np.float32)
    return torch.from_numpy(drawn).to(device_of(state))


def draw(rng: Generators, kind: str, shape: tuple[int, ...], state: Any) -> Float[Tensor, "b *shape"]:
    """Draw float32 numbers per environment, kind "uniform" in [0, 1) or "normal"."""
    if len(rng) != batch_of(state):
        raise ValueError(f"{len(rng)} generators for {batch_of(state)} environments")
    method = {"uniform": "random", "normal": "standard_normal"}[kind]
    drawn = np.stack([getattr(g, method)(shape, dtype=np.float32) for g in rng])
    return torch.from_numpy(drawn).to(device_of(state))


def limits(space: ActionSpace) -> tuple[Float[np.ndarray, "a"], Float[np.ndarray, "a"]]:
    """Return the limits of a vector.

    Raises:
        UserError: actions are no vectors, or have no limits.
    """
    if not space.size:
        raise UserError(
            f"planner: this one searches vectors of numbers, and the world has {space}; take planner=mcts or "
            "planner=shooting"
        )
    low, high = np.array(space.low), np.array(space.high)
    if not np.isfinite([low, high]).all():
        raise UserError("planner: some actions of this world have no limits; give it finite ones")
    return low, high
