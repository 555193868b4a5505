"""Discs in a box with electric charges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_gen.errors import require_number
from data_gen.physics import per_object
from data_gen.physics.forces import coulomb_forces
from data_gen.sims._particles import ParticleWorld
from data_gen.simulator import State, register


@register
@dataclass(frozen=True, kw_only=True)
class Charged(ParticleWorld):
    """Particles with charges of equal size: those of one sign repel each other, the others attract.

    charge: +charge or -charge, equally likely, sampled for each particle and sequence. Two charges at
        distance d have the potential energy q_1 q_2 / sqrt(d^2 + softening^2)
    softening: a length that keeps forces finite where particles meet, and energy conserved

    Source: the charged particles of Kipf et al. 2018, "Neural Relational Inference for Interacting Systems"
    (arXiv 1802.04687), who clip the forces instead of softening them. A frame lasts as long as about three of
    theirs, and particles start further apart, so that they can be told apart in a picture.
    """

    charge: float = 0.3
    softening: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("sim.charge", self.charge, minimum=0)
        require_number("sim.softening", self.softening, above=0)
        # At worst all the others lie on top of one, and each pair gives way to both sides.
        self.require_resolved("sim.charge", self.charge**2 * self.num_balls / self.softening**3)

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample particles apart in the middle of the box, at the same speed, and their charges."""
        start = self.sample_start(n, rng)
        charges = rng.choice([-self.charge, self.charge], (n, self.num_balls))
        return State(start.positions, start.velocities, {**start.extra, "charges": charges})

    def force(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        """Coulomb's law, softened."""
        charges = per_object(state.extra["charges"])  # k n
        return lambda x: coulomb_forces(x, charges, self.softening)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return the truth of the discs over "n t", `charges` "n k", and `edges` "n k k".

        Edges: 1 repels, -1 attracts.
        """
        charges = states.extra["charges"][:, 0]
        edges = np.sign(charges[:, :, None] * charges[:, None]).astype(np.int64)
        edges[:, np.eye(self.num_balls, dtype=bool)] = 0
        return {**super().truth(states), "charges": charges.astype(np.float32), "edges": edges}
