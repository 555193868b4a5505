"""Simulators as worlds: the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from data_gen.simulator import Emulator, Simulator, State
from seqvae.data.conversion import to_coordinates, to_half_widths
from seqvae.errors import UserError
from seqvae.planning.world import World, WorldStep
from seqvae.types import ActionSpace


class SimulatorWorld(World):
    """A simulator with actions. Its states are dicts of tensors by the names of the simulator's arrays.

    They are float64 and on the CPU, as simulators compute with NumPy.

    Raises:
        UserError: nobody acts in this world, or it is an emulator, which steps from no given state.
    """

    def __init__(self, simulator: Simulator | Emulator):
        name = type(simulator).__name__
        if isinstance(simulator, Emulator):
            raise UserError(
                f"sim: {name} is an emulator, which cannot go on from any state; take a simulator"
            )
        if not simulator.has_actions:
            raise UserError(f"sim: nobody acts in {name}; take a world with actions, such as sim=avoidance")
        self.simulator = simulator
        self.actions = ActionSpace(simulator.num_actions, simulator.action_low, simulator.action_high)

    def start(self, n: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Sample n starts."""
        return as_tensors(self.simulator.reset(n, rng))

    def step(self, state: dict[str, Tensor], action: Tensor) -> WorldStep:
        step = self.simulator.step(as_state(state), action.cpu().numpy())
        end = torch.from_numpy(step.dones.astype(np.float32))
        return WorldStep(as_tensors(step.state), torch.from_numpy(step.rewards), end)

    def positions(self, state: dict[str, Tensor]) -> Float[np.ndarray, "b k 2"]:
        return to_coordinates(as_state(state).positions, self.simulator.limit)

    def fields(self, state: dict[str, Tensor], names: Sequence[str]) -> Float[Tensor, "b k e"]:
        """Return position and velocity, in half-widths and half-widths per frame."""
        arrays = as_state(state)
        known = {
            "position": to_coordinates(arrays.positions, self.simulator.limit),
            "velocity": to_half_widths(arrays.velocities, self.simulator.limit),
        }
        for name in names:
            if name not in known:
                raise UserError(
                    f"goal: the states of a simulator have no {name}; they have {', '.join(known)}"
                )
        return torch.from_numpy(np.concatenate([known[name] for name in names], -1))

    def frames(self, state: dict[str, Tensor], size: int) -> np.ndarray:
        """Draw frames uint8 "b size size 3"."""
        return self.simulator.render(as_state(state), size)[0]


def as_state(state: dict[str, Tensor]) -> State:
    """Return the simulator's record of states."""
    arrays: dict[str, Any] = {name: x.cpu().numpy() for name, x in state.items()}
    return State(arrays.pop("positions"), arrays.pop("velocities"), arrays)


def as_tensors(state: State) -> dict[str, Tensor]:
    """Return a simulator's states as a planner holds them; the arrays are shared."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.arrays().items()}
