"""Billiards in which an agent steers one of the balls, and should avoid the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.errors import require_number
from data_gen.physics.collisions import advance_billiards
from data_gen.sims._discs import SampledValue
from data_gen.sims._policies import sticky_actions, sticky_vectors
from data_gen.sims.billiards import Billiards
from data_gen.simulator import State, Step, register

_S = np.sqrt(0.5)

# Unit velocity of each action: stay, then the eight directions.
DIRECTIONS = np.array(
    [(0, 0), (1, 0), (0, 1), (_S, _S), (-1, 0), (0, -1), (-_S, -_S), (-_S, _S), (_S, -_S)], dtype=np.float64
)


@register
@dataclass(frozen=True, kw_only=True)
class Avoidance(Billiards):
    """Billiards with ball 0 as the agent; the reward of a frame is -1 if it touched another ball, else 0.

    agent_speed: per frame, in the direction of the action (DIRECTIONS)
    agent_mass: large, so that the others bounce off it

    Source: Kossen et al. 2020, reproduced exactly (data_gen.physics).
    """

    radius: SampledValue | None = 1.0
    substeps: int = 50
    agent_speed: float = 0.6
    agent_mass: float = 10000.0

    num_actions = len(DIRECTIONS)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("sim.agent_speed", self.agent_speed, minimum=0)
        self.require_small_moves("sim.agent_speed", self.agent_speed, self.agent_speed)
        require_number("sim.agent_mass", self.agent_mass, above=0)

    def masses_of(self, state: State) -> np.ndarray:
        """Return the mass of each disc, "k" or "... k", that of the agent first."""
        masses = super().masses_of(state).copy()
        masses[..., 0] = self.agent_mass
        return masses

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """Sample actions "n length" of the sticky random policy."""
        return sticky_actions(n, length, self.num_actions, rng)

    def direction(self, actions: np.ndarray) -> np.ndarray:
        """Return the velocity of the agent in units of its speed, "n 2"."""
        return DIRECTIONS[actions]

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame under actions "n ..."; without any, the agent stays where it is."""
        velocities = state.velocities.copy()
        velocities[:, 0] = 0.0 if actions is None else self.agent_speed * self.direction(actions)
        positions, velocities, contacts, agent_contacts = advance_billiards(
            state.positions,
            velocities,
            self.radii_of(state),
            self.masses_of(state),
            limit=self.limit,
            substeps=self.substeps,
            collide=self.collide,
            agent=0,
        )
        rewards = -(agent_contacts > 0).astype(np.float32)
        new_state = State(positions, velocities, state.extra)
        return Step(new_state, rewards, np.zeros(len(rewards), bool), contacts)


@register
@dataclass(frozen=True, kw_only=True)
class SteeredAvoidance(Avoidance):
    """Avoidance in which an action is a vector: the agent's velocity, in units of its speed.

    A vector longer than 1 counts as its direction.
    """

    num_actions = 0
    action_low = (-1.0, -1.0)
    action_high = (1.0, 1.0)

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """Sample actions "n length 2" that mostly repeat the one before."""
        return sticky_vectors(n, length, self.action_low, self.action_high, rng)

    def direction(self, actions: np.ndarray) -> np.ndarray:
        actions = np.asarray(actions, np.float64)
        return actions / np.maximum(1.0, np.linalg.norm(actions, axis=-1, keepdims=True))
