"""What worlds of flat objects that bounce between the walls share: how many there are, where they start and
how they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError, require_number, require_range
from data_gen.simulator import Trajectory

_PATIENCE = 1000  # draws of a start in a row


@dataclass(frozen=True, kw_only=True)
class BouncingWorld:
    """Objects in the square [0, 1]^2, of which none pushes another.

    counts: each sequence draws its number of objects from these; all equally often.
    speed: [lowest, highest], in picture widths a frame, in a direction of its own for each object.
    apart: pairs start at least this share of the sum of their reaches apart (0: anywhere).
    """

    counts: Sequence[int] = (3,)
    speed: Sequence[float] = (0.01, 0.03)
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

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray | None:
        """None: nobody acts."""
        return None

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """All sequences "n"."""
        return np.ones(len(trajectory.states.positions), dtype=bool)

    def require_room(self, key: str, reach: float, growth: float = 0.0) -> None:
        """Raise DataError unless objects of that reach, growing so much a frame, can bounce."""
        if 2 * reach + self.speed[1] + growth > 1:
            raise DataError(
                f"{key}={list(getattr(self, key.removeprefix('sim.')))}: objects of this size at "
                f"sim.speed={list(self.speed)} have no room between the walls; make them smaller or slower"
            )

    def draw_counts(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Which objects exist, bool "n k": the first so many; n sequences share the counts out evenly."""
        turns = (rng.permutation(n) + rng.integers(len(self.counts))) % len(self.counts)
        return np.arange(self.num_objects) < np.array(self.counts)[turns][:, None]

    def draw_places(self, reach: np.ndarray, exists: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Starts "n k 2", uniform over those between the walls and with all pairs of objects `apart`.

        reach: "n k", what an object needs to each side.  exists: bool "n k"; the others keep no distance.
        Raises DataError when nothing fits.
        """
        places = np.empty((*reach.shape, 2))
        first, second = np.tril_indices(reach.shape[1], -1)
        least = self.apart * (reach[:, first] + reach[:, second]) * (exists[:, first] & exists[:, second])
        crowded = np.arange(len(reach))
        for _ in range(_PATIENCE):
            room = reach[crowded, :, None]
            places[crowded] = rng.uniform(room, 1 - room, (*room.shape[:2], 2))
            gap = places[crowded][:, first] - places[crowded][:, second]
            crowded = crowded[(np.hypot(gap[..., 0], gap[..., 1]) < least[crowded]).any(axis=1)]
            if not crowded.size:
                return places
        raise DataError(
            f"sim.apart={self.apart}: {self.num_objects} objects (sim.counts) cannot start so far apart; "
            "make it less, or take fewer or smaller objects"
        )

    def draw_velocities(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Velocities "n k 2": speed and direction uniform."""
        speeds = rng.uniform(*self.speed, (n, self.num_objects))
        directions = rng.uniform(0, 2 * np.pi, speeds.shape)
        return speeds[..., None] * np.stack([np.cos(directions), np.sin(directions)], axis=-1)


def reflect(
    values: np.ndarray, rates: np.ndarray, low: np.ndarray | float, high: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Values after one frame at their rates, reflected at the walls low and high, and the rates after it.

    A wall may have moved past a value; the value then leaves it. The way of one frame is shorter than the
    room between the walls.
    """
    moved = values + rates
    below, above = moved < low, moved > high
    moved = np.where(below, 2 * low - moved, np.where(above, 2 * high - moved, moved))
    return moved, np.where(below, np.abs(rates), np.where(above, -np.abs(rates), rates))
