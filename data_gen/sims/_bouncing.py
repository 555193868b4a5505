"""Worlds of flat objects that bounce between the walls: their number, starts and motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError, require_number, require_range
from data_gen.simulator import Simulator

_MAX_TRIES = 1000  # of a start


@dataclass(frozen=True, kw_only=True)
class BouncingWorld(Simulator):
    """Objects in the square [0, 1]^2 that pass through each other.

    counts: each sequence samples its number of objects from these, all equally often
    speed: [lowest, highest], in picture widths per frame, in a direction of its own for each object
    apart: pairs start at least this share of the sum of their reaches apart (0: anywhere)
    """

    counts: Sequence[int] = (3,)
    speed: tuple[float, float] = (0.01, 0.03)
    apart: float = 0.0

    num_actions = 0
    limit = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.counts, list | tuple) or not self.counts:
            raise DataError(f"sim.counts={self.counts}: must be a list of numbers of objects, like [2, 3]")
        for count in self.counts:
            require_number("sim.counts", count, minimum=0, maximum=100, integer=True)
        if not max(self.counts):
            raise DataError(f"sim.counts={list(self.counts)}: at least one must be above 0")
        require_number("sim.apart", self.apart, minimum=0)
        # lists, when they come from YAML
        object.__setattr__(self, "counts", tuple(self.counts))
        object.__setattr__(self, "speed", require_range("sim.speed", self.speed, minimum=0))

    @property
    def num_objects(self) -> int:
        return max(self.counts)

    def require_room(self, key: str, reach: float, growth: float = 0.0) -> None:
        """Raise DataError unless objects of that reach, growing by `growth` per frame, can bounce."""
        if 2 * reach + self.speed[1] + growth > 1:
            raise DataError(
                f"{key}={list(getattr(self, key.removeprefix('sim.')))}: objects of this size at "
                f"sim.speed={list(self.speed)} have no room between the walls; make them smaller or slower"
            )

    def sample_presence(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Sample the objects that exist, bool "n k": the first ones, as many as the sequence's count.

        The n sequences share the counts evenly.
        """
        count_index = (rng.permutation(n) + rng.integers(len(self.counts))) % len(self.counts)
        return np.arange(self.num_objects) < np.array(self.counts)[count_index][:, None]

    def sample_positions(self, reach: np.ndarray, exists: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Sample starts "n k 2", uniform over those between the walls and with all pairs `apart`.

        reach: "n k", room that an object needs to each side.
        exists: bool "n k"; absent objects keep no distance.

        Raises:
            DataError: nothing fits.
        """
        positions = np.empty((*reach.shape, 2))
        first, second = np.tril_indices(reach.shape[1], -1)
        least = self.apart * (reach[:, first] + reach[:, second]) * (exists[:, first] & exists[:, second])
        unplaced = np.arange(len(reach))
        for _ in range(_MAX_TRIES):
            margin = reach[unplaced, :, None]
            positions[unplaced] = rng.uniform(margin, 1 - margin, (*margin.shape[:2], 2))
            gap = positions[unplaced][:, first] - positions[unplaced][:, second]
            is_close = np.any(np.hypot(gap[..., 0], gap[..., 1]) < least[unplaced], axis=1)
            unplaced = unplaced[is_close]
            if not unplaced.size:
                return positions
        raise DataError(
            f"sim.apart={self.apart}: {self.num_objects} objects (sim.counts) cannot start so far apart; "
            "make it less, or take fewer or smaller objects"
        )

    def sample_velocities(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Sample velocities "n k 2", uniform in speed and direction."""
        speeds = rng.uniform(*self.speed, (n, self.num_objects))
        directions = rng.uniform(0, 2 * np.pi, speeds.shape)
        return speeds[..., None] * np.stack([np.cos(directions), np.sin(directions)], axis=-1)


def reflect(
    values: np.ndarray, rates: np.ndarray, low: np.ndarray | float, high: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Advance values by one frame at their rates, reflect them at low and high, and return both.

    A wall may have moved past a value; the value then leaves it. The motion of one frame is shorter than the
    distance between the walls.
    """
    moved = values + rates
    below, above = moved < low, moved > high
    moved = np.where(below, 2 * low - moved, np.where(above, 2 * high - moved, moved))
    return moved, np.where(below, np.abs(rates), np.where(above, -np.abs(rates), rates))
