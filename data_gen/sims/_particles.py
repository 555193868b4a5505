"""Worlds of particles under smooth forces: a box with elastic walls, starts, and integration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError, require_number
from data_gen.physics.forces import advance_particles
from data_gen.sims._discs import DiscWorld, SampledValue, value_range
from data_gen.simulator import State, Step, uneventful_step

# Largest angle by which the fastest oscillation may advance in a substep: leapfrog is stable up to 2, and its
# relative error of the energy is up to angle^2 / 4.
_LARGEST_ANGLE = 0.25


@dataclass(frozen=True, kw_only=True)
class ParticleWorld(DiscWorld):
    """Particles, drawn as discs, that act on each other at a distance and pass through each other.

    speed: of every particle at the start, per frame, in a random direction
    """

    num_balls: int = 5
    radius: SampledValue | None = 0.6
    substeps: int = 20
    speed: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("sim.speed", self.speed, minimum=0)
        self.require_small_moves("sim.speed", self.speed, self.speed)

    @staticmethod
    def reach(sizes: np.ndarray, shapes: np.ndarray, shape_names: Sequence[str]) -> np.ndarray:
        """Return the distance from a wall at which a particle bounces: its radius."""
        return sizes

    def force(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from positions "2 k n" to forces "2 k n" in the sequences of `state`."""
        raise NotImplementedError

    def sample_start(self, n: int, rng: np.random.Generator) -> State:
        """Sample particles apart in the middle of the box, all at the same speed."""
        positions, extra = self.sample_central_positions(n, rng)
        velocities = rng.standard_normal((n, self.num_balls, 2))
        velocities *= self.speed / np.linalg.norm(velocities, axis=-1, keepdims=True)
        return State(positions, velocities, extra)

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts, nothing touches and there is no reward."""
        positions, velocities = advance_particles(
            state.positions,
            state.velocities,
            self.radii_of(state),
            self.masses_of(state),
            self.force(state),
            limit=self.limit,
            substeps=self.substeps,
        )
        return uneventful_step(State(positions, velocities, state.extra))

    def require_resolved(self, key: str, stiffness: float) -> None:
        """Raise DataError if substeps are too long for forces that grow by `stiffness` per unit of length."""
        lightest = value_range(self.mass, self.num_balls)[0].min()
        enough = int(np.ceil(np.sqrt(stiffness / lightest) / _LARGEST_ANGLE))
        if self.substeps < enough:
            raise DataError(
                f"{key}={getattr(self, key.removeprefix('sim.'))}: too strong for "
                f"sim.substeps={self.substeps}; take at least sim.substeps={enough}"
            )
