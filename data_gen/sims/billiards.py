"""Balls that bounce elastically off the walls of a box and off each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError, require_number
from data_gen.physics.collisions import advance_billiards
from data_gen.sims._discs import DiscWorld, SampledValue, value_range
from data_gen.simulator import State, Step, register


@register
@dataclass(frozen=True, kw_only=True)
class Billiards(DiscWorld):
    """Billiards without friction.

    radius: None for 1.2, or for more than three balls, the radius with which they cover the same area
    speed: root of the sum over balls of |v|^2 at the start, which elastic collisions of equal masses conserve
    energy_factor: f >= 1; each sequence's speed is multiplied by a draw from Uniform(1/f, f)
    collide: False for drift, where balls pass through each other

    Source: Kossen et al. 2020, reproduced exactly (data_gen.physics).
    """

    radius: SampledValue | None = None
    speed: float = 0.5
    energy_factor: float = 1.0
    collide: bool = True

    def __post_init__(self) -> None:
        k = self.num_balls
        require_number("sim.num_balls", k, minimum=1, integer=True)
        if self.radius is None:
            object.__setattr__(self, "radius", 1.2 * min(1.0, float(np.sqrt(3 / k))))
        super().__post_init__()
        require_number("sim.speed", self.speed, minimum=0)
        require_number("sim.energy_factor", self.energy_factor, minimum=1)
        lightest, heaviest = value_range(self.mass, k)
        ratio = heaviest.max() / lightest.min()
        fastest = self.speed * self.energy_factor * np.sqrt(ratio)  # the lightest ball has all the energy
        self.require_small_moves("sim.speed", self.speed, fastest)
        if not isinstance(self.collide, bool):
            raise DataError(f"sim.collide={self.collide}: must be true or false")

    @staticmethod
    def reach(sizes: np.ndarray, shapes: np.ndarray, shape_names: Sequence[str]) -> np.ndarray:
        """Return the distance from a wall at which a ball bounces: its radius."""
        return sizes

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample balls apart in the middle of the box, more than six anywhere, in random directions."""
        positions, extra = self.sample_central_positions(n, rng)
        velocities = rng.standard_normal((n, self.num_balls, 2))
        velocities *= self.speed / np.sqrt((velocities**2).sum(axis=(1, 2), keepdims=True))
        if self.energy_factor > 1:
            velocities *= rng.uniform(1 / self.energy_factor, self.energy_factor, size=(n, 1, 1))
        return State(positions, velocities, extra)

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts and there is no reward."""
        positions, velocities, contacts, _ = advance_billiards(
            state.positions,
            state.velocities,
            self.radii_of(state),
            self.masses_of(state),
            limit=self.limit,
            substeps=self.substeps,
            collide=self.collide,
        )
        n = len(positions)
        new_state = State(positions, velocities, state.extra)
        return Step(new_state, np.zeros(n, np.float32), np.zeros(n, bool), contacts)
