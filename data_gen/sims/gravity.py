"""Heavy bodies that orbit each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.errors import require_number
from data_gen.physics import closest_approach
from data_gen.physics.forces import advance_gravity
from data_gen.sims._discs import DiscWorld, SampledValue
from data_gen.simulator import State, Step, Trajectory, register, uneventful_step


@register
@dataclass(frozen=True, kw_only=True)
class Gravity(DiscWorld):
    """Bodies under mutual attraction, with their centre of mass held at the centre of the box.

    gravity: the gravitational constant
    recall: strength of a weak cubic pull to the centre
    max_force: bound on each component of the force on a body
    speed, speed_noise: each component of a start velocity is that of a unit vector perpendicular to the line
        to the mean position, times a draw from Normal(speed, speed_noise)
    min_distance: frames in which a pair is closer than this share of the sum of its radii count against a
        sequence, as does the share of bodies outside of the box (None: only the latter does)

    Source: Kossen et al. 2020, reproduced exactly (data_gen.physics).
    """

    radius: SampledValue | None = 2.0
    mass: SampledValue = 4.0
    limit: float = 30.0
    substeps: int = 50
    gravity: float = 0.5
    recall: float = 0.001
    max_force: float = 1.0
    speed: float = 0.55
    speed_noise: float = 0.13
    min_distance: float | None = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("gravity", "recall", "speed", "speed_noise"):
            require_number(f"sim.{key}", getattr(self, key), minimum=0)
        require_number("sim.max_force", self.max_force, above=0)

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample bodies a third of the box apart, all moving in the same sense around their mean position."""
        low = self.limit / 2
        positions, extra = self.sample_positions(n, rng, low, low + 0.45 * self.limit, apart=self.limit / 3)
        inward = positions.mean(axis=1, keepdims=True) - positions
        # A single body is its own mean: it has no direction, and rests.
        inward /= np.maximum(np.linalg.norm(inward, axis=-1, keepdims=True), np.finfo(float).tiny)
        sense = rng.choice([-1.0, 1.0], size=(n, 1, 1))
        tangent = inward[..., ::-1] * sense * [1.0, -1.0]
        velocities = tangent * rng.normal(self.speed, self.speed_noise, size=tangent.shape)
        return State(positions, velocities, extra)

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts, nothing touches and there is no reward."""
        positions, velocities = advance_gravity(
            state.positions,
            state.velocities,
            self.masses_of(state),
            limit=self.limit,
            substeps=self.substeps,
            gravity=self.gravity,
            recall=self.recall,
            max_force=self.max_force,
        )
        return uneventful_step(State(positions, velocities, state.extra))

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Return the sequences that stay in the box and apart in more than 99 % of their frames, bool "n"."""
        states = trajectory.states
        positions = states.positions
        score = ((positions >= 0) & (positions <= self.limit)).all(axis=-1).mean(axis=-1)  # n t: share inside
        if self.min_distance is not None:
            is_close = ~(closest_approach(positions, self.radii_of(states)) >= self.min_distance)
            score = score - is_close
        return score.sum(axis=1) > 0.99 * positions.shape[1]
