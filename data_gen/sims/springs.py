"""Discs in a box, some of them connected by springs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_gen.errors import require_number
from data_gen.physics.forces import spring_forces
from data_gen.sims._particles import ParticleWorld
from data_gen.simulator import State, register


@register
@dataclass(frozen=True, kw_only=True)
class Springs(ParticleWorld):
    """Particles, each pair of which is connected by a spring of rest length 0 with some probability.

    probability: of a spring, sampled for each pair and sequence; the graph is stored under `edges`
    stiffness: force of a spring per unit of its length

    Source: the spring data of Kipf et al. 2018, "Neural Relational Inference for Interacting Systems"
    (arXiv 1802.04687). A frame lasts as long as about three of theirs, and particles start further apart, so
    that they can be told apart in a picture.
    """

    probability: float = 0.5
    stiffness: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("sim.probability", self.probability, minimum=0, maximum=1)
        require_number("sim.stiffness", self.stiffness, minimum=0)
        self.require_resolved("sim.stiffness", self.stiffness * self.num_balls)  # all connected to all

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample particles apart in the middle of the box, at the same speed, with springs between some."""
        start = self.sample_start(n, rng)
        connected = np.triu(rng.random((n, self.num_balls, self.num_balls)) < self.probability, 1)
        edges = (connected | connected.transpose(0, 2, 1)).astype(np.int64)
        return State(start.positions, start.velocities, {**start.extra, "edges": edges})

    def force(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        """Hooke's law along the edges."""
        stiffness = self.stiffness * np.ascontiguousarray(state.extra["edges"].transpose(1, 2, 0))  # k k n
        return lambda x: spring_forces(x, stiffness)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return the truth of the discs over "n t", and `edges` "n k k": 1 where there is a spring."""
        return {**super().truth(states), "edges": states.extra["edges"][:, 0]}
