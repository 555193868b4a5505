"""What worlds of soft discs in a square share: their sizes, their colours, their picture, their truth."""

from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError, require_number
from data_gen.physics import closest_approach
from data_gen.render import PALETTE, draw_discs
from data_gen.simulator import State, Trajectory

# Starts are drawn this many at a time, and given up after this many draws in a row without success.
_CANDIDATES, _PATIENCE = 4096, 300


@dataclass(frozen=True, kw_only=True)
class DiscWorld:
    """Equal discs in the square [0, limit]^2.

    num_balls, radius, mass: the discs.  substeps: integration steps in a frame.
    colors: names from render.PALETTE, repeated as often as needed.
    min_distance: a sequence is left out of datasets if in one of its frames a pair is closer than this
        share of the sum of its radii (None: all are kept).
    """

    num_balls: int = 3
    radius: float = 1.0
    mass: float = 1.0
    limit: float = 10.0
    substeps: int = 10
    colors: tuple[str, ...] = tuple(PALETTE)
    min_distance: float | None = None

    num_actions = 0
    shape_names = ("disc",)

    def __post_init__(self) -> None:
        require_number("sim.num_balls", self.num_balls, minimum=1, integer=True)
        require_number("sim.substeps", self.substeps, minimum=1, integer=True)
        for key in ("radius", "mass", "limit"):
            require_number(f"sim.{key}", getattr(self, key), above=0)
        if self.min_distance is not None:
            require_number("sim.min_distance", self.min_distance, minimum=0)
        if 2 * self.radius >= self.limit:
            raise DataError(
                f"sim.radius={self.radius}: a ball must fit into the box of sim.limit={self.limit}"
            )
        if isinstance(self.colors, str) or not self.colors or not set(self.colors) <= set(PALETTE):
            raise DataError(f"sim.colors={self.colors}: must be a list of names from {', '.join(PALETTE)}")
        object.__setattr__(self, "colors", tuple(self.colors))  # a list, when it comes from YAML

    @property
    def num_objects(self) -> int:
        return self.num_balls

    @property
    def radii(self) -> np.ndarray:
        """Radius of each disc, "k", in units of the positions."""
        return np.full(self.num_balls, float(self.radius))

    @property
    def masses(self) -> np.ndarray:
        """Mass of each disc, "k"."""
        return np.full(self.num_balls, float(self.mass))

    @property
    def rgb(self) -> np.ndarray:
        """Colour of each disc, "k 3", in [0, 1]."""
        return np.array([PALETTE[self.colors[i % len(self.colors)]] for i in range(self.num_balls)])

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray | None:
        """None: nobody acts."""
        return None

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Sequences "n" in which no two discs overlap too much."""
        positions = trajectory.states.positions
        if self.min_distance is None:
            return np.ones(len(positions), dtype=bool)
        return (closest_approach(positions, self.radii) >= self.min_distance).all(axis=1)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Sizes, masses, colours and visibility of the discs, by their key in the dataset."""
        shape = states.positions.shape[:-1]
        radii = self.radii[:, None]
        in_camera = ((states.positions > -radii) & (states.positions < self.limit + radii)).all(axis=-1)
        constant = {
            "sizes": self.radii.astype(np.float32),
            "masses": self.masses.astype(np.float32),
            "present": np.ones(self.num_balls, dtype=bool),
            "layers": np.zeros(self.num_balls, dtype=np.int64),  # light adds up: no disc hides another
            "shapes": np.zeros(self.num_balls, dtype=np.int64),
        }
        return {
            **{key: np.broadcast_to(value, shape) for key, value in constant.items()},
            "colors": np.broadcast_to(self.rgb.astype(np.float32), (*shape, 3)),
            "in_camera": in_camera,
            "ids": np.where(in_camera, np.arange(1, self.num_balls + 1), 0),
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, None]:
        """Frames uint8 "... size size 3"; no masks, because soft edges have none."""
        return draw_discs(states.positions, self.radii, self.rgb, limit=self.limit, size=size), None

    def place(self, n: int, rng: np.random.Generator, low: float, high: float, apart: float) -> np.ndarray:
        """n starts "n k 2", uniform over those in [low, high]^2 with all pairs at least `apart` apart.

        Candidates get one disc after the other and drop out at the first that comes too near: rejection
        sampling, without drawing the rest of those that are already lost. Raises DataError when nothing fits.
        """
        found = np.empty((0, self.num_balls, 2))
        barren = 0
        while len(found) < n:
            candidates = np.empty((_CANDIDATES, 0, 2))
            for _ in range(self.num_balls):
                disc = rng.uniform(low, high, size=(len(candidates), 1, 2))
                gap = candidates - disc
                clear = (np.hypot(gap[..., 0], gap[..., 1]) >= apart).all(axis=1)
                candidates = np.concatenate([candidates, disc], axis=1)[clear]
            found = np.concatenate([found, candidates])
            barren = 0 if len(candidates) else barren + 1
            if barren == _PATIENCE:
                raise DataError(
                    f"sim.num_balls={self.num_balls}: so many balls of sim.radius={self.radius} "
                    f"cannot start apart in a box of sim.limit={self.limit}; take fewer or smaller balls"
                )
        return found[:n]
