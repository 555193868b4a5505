"""A quantity of each disc: one number for all, a list with one a disc, or a range from which it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.drawing.colours import PALETTE
from data_gen.drawing.discs import draw_discs
from data_gen.errors import DataError, require_number
from data_gen.physics import closest_approach
from data_gen.simulator import State, Trajectory

# Uniform(min, max) for each disc of each sequence, where it is a mapping.
Amount = float | Sequence[float] | Mapping[str, float]


def is_drawn(amount: Amount) -> bool:
    """Whether the amount differs between sequences."""
    return isinstance(amount, Mapping)


def bounds(amount: Amount, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest that the amount of each of k discs can be, "k" each."""
    low, high = (amount["min"], amount["max"]) if is_drawn(amount) else (amount, amount)
    return np.full(k, low, dtype=np.float64), np.full(k, high, dtype=np.float64)


def require_amount(key: str, amount: object, k: int) -> None:
    """Raise DataError unless `amount` is an Amount of k discs, with positive numbers."""
    if is_drawn(amount):
        if set(amount) != {"min", "max"}:
            raise DataError(f"{key}={dict(amount)}: a range is written {{min: 1, max: 2}}")
        require_number(f"{key}.min", amount["min"], above=0)
        require_number(f"{key}.max", amount["max"], minimum=amount["min"])
    elif isinstance(amount, Sequence) and not isinstance(amount, str):
        if len(amount) != k:
            raise DataError(f"{key}={list(amount)}: must have {k} numbers, one a ball, or be a single one")
        for value in amount:
            require_number(key, value, above=0)
    else:
        require_number(key, amount, above=0)


# Starts are drawn this many at a time, and given up after this many draws in a row without success.
_CANDIDATES, _PATIENCE = 4096, 300
_HOPELESS = 25  # nats: pairs times the share of the box that one bars, about -log P(a candidate fits)


# Share of its radius that a disc may move in a substep: two that meet head on then approach by at most half
# of the distance at which they touch.
_LARGEST_MOVE = 0.5


@dataclass(frozen=True, kw_only=True)
class DiscWorld:
    """Discs in the square [0, limit]^2.

    num_balls: how many.
    radius, mass: of all discs, a list with one a disc, or a range {min, max}, from which they are drawn for
        each disc and sequence; drawn ones are part of the state (`sizes`, `masses`).
    substeps: integration steps in a frame.
    colors: names from drawing.colours.PALETTE, repeated as often as needed.
    min_distance: a sequence is left out of datasets if in one of its frames a pair is closer than this
        share of the sum of its radii (None: all are kept).
    """

    num_balls: int = 3
    radius: Amount = 1.0
    mass: Amount = 1.0
    limit: float = 10.0
    substeps: int = 10
    colors: tuple[str, ...] = tuple(PALETTE)
    min_distance: float | None = None

    num_actions = 0
    shape_names = ("disc",)

    def __post_init__(self) -> None:
        require_number("sim.num_balls", self.num_balls, minimum=1, integer=True)
        require_number("sim.substeps", self.substeps, minimum=1, integer=True)
        require_number("sim.limit", self.limit, above=0)
        for key in ("radius", "mass"):
            require_amount(f"sim.{key}", getattr(self, key), self.num_balls)
        if self.min_distance is not None:
            require_number("sim.min_distance", self.min_distance, minimum=0)
        if 2 * self.largest_radius >= self.limit:
            raise DataError(
                f"sim.radius={self.radius}: a ball must fit into the box of sim.limit={self.limit}"
            )
        if isinstance(self.colors, str) or not self.colors or not set(self.colors) <= set(PALETTE):
            raise DataError(f"sim.colors={self.colors}: must be a list of names from {', '.join(PALETTE)}")
        for key in ("colors", "radius", "mass"):  # lists, when they come from YAML
            if isinstance(getattr(self, key), Sequence):
                object.__setattr__(self, key, tuple(getattr(self, key)))

    @property
    def num_objects(self) -> int:
        return self.num_balls

    @property
    def largest_radius(self) -> float:
        """The largest that the radius of a disc can be."""
        return float(bounds(self.radius, self.num_balls)[1].max())

    def radii_of(self, state: State) -> np.ndarray:
        """Radius of each disc in units of the positions: "k", or where they are drawn "... k"."""
        return state.extra["sizes"] if is_drawn(self.radius) else bounds(self.radius, self.num_balls)[0]

    def masses_of(self, state: State) -> np.ndarray:
        """Mass of each disc: "k", or where they are drawn "... k"."""
        return state.extra["masses"] if is_drawn(self.mass) else bounds(self.mass, self.num_balls)[0]

    def require_small_moves(self, key: str, value: float, fastest: float) -> None:
        """Raise DataError if a disc of speed `fastest`, set by the option `key`, may jump over another."""
        smallest = bounds(self.radius, self.num_balls)[0].min()
        enough = int(np.ceil(fastest / (_LARGEST_MOVE * smallest)))
        if self.substeps < enough:
            raise DataError(
                f"{key}={value}: a disc of radius {smallest:g} may move by {fastest:g} in a frame, "
                f"too far for sim.substeps={self.substeps}; take at least sim.substeps={enough}"
            )

    @property
    def rgb(self) -> np.ndarray:
        """Colour of each disc, "k 3", in [0, 1]."""
        return np.array([PALETTE[self.colors[i % len(self.colors)]] for i in range(self.num_balls)])

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray | None:
        """None: nobody acts."""
        return None

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Sequences "n" in which no two discs overlap too much."""
        states = trajectory.states
        if self.min_distance is None:
            return np.ones(len(states.positions), dtype=bool)
        return (closest_approach(states.positions, self.radii_of(states)) >= self.min_distance).all(axis=1)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Sizes, masses, colours and visibility of the discs, by their key in the dataset."""
        shape = states.positions.shape[:-1]
        radii = self.radii_of(states)
        reach = radii[..., None]
        in_camera = ((states.positions > -reach) & (states.positions < self.limit + reach)).all(axis=-1)
        constant = {
            "sizes": radii.astype(np.float32),
            "masses": self.masses_of(states).astype(np.float32),
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
        radii = self.radii_of(states)
        return draw_discs(states.positions, radii, self.rgb, limit=self.limit, size=size), None

    def place_in_middle(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """As place, without overlaps in the middle half of the box, or for more than six anywhere in it."""
        margin = max(self.largest_radius, self.limit / 4 if self.num_balls <= 6 else 0.0)
        return self.place(n, rng, margin, self.limit - margin)

    def place(
        self, n: int, rng: np.random.Generator, low: float, high: float, apart: float | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """n starts "n k 2", uniform over those in [low, high]^2 with all pairs at least `apart` apart.

        apart: by default the sum of the two radii, so that discs do not overlap.

        Returns with them, by name, what is drawn of `sizes` and `masses`, "n k" each. Radii are drawn anew
        together with the places, so that large ones, which fit less often, are a little rarer.

        Candidates get one disc after the other and drop out at the first that comes too near: rejection
        sampling, without drawing the rest of those that are already lost. Raises DataError when nothing fits.
        """
        crowded = DataError(
            f"sim.num_balls={self.num_balls}: so many balls of sim.radius={self.radius} "
            f"cannot start apart in a box of sim.limit={self.limit}; take fewer or smaller balls"
        )
        smallest = bounds(self.radius, self.num_balls)[0]
        reach = np.add.outer(smallest, smallest) if apart is None else np.full(2 * smallest.shape, apart)
        if np.pi * np.triu(reach**2, 1).sum() / (high - low) ** 2 > _HOPELESS:
            raise crowded
        found, sizes = np.empty((0, self.num_balls, 2)), np.empty((0, self.num_balls))
        barren = 0
        while len(found) < n:
            candidates, radii = np.empty((_CANDIDATES, 0, 2)), self._draw(self.radius, _CANDIDATES, rng)
            for i in range(self.num_balls):
                disc = rng.uniform(low, high, size=(len(candidates), 1, 2))
                gap = candidates - disc
                least = radii[:, :i] + radii[:, i : i + 1] if apart is None else apart
                clear = (np.hypot(gap[..., 0], gap[..., 1]) >= least).all(axis=1)
                candidates, radii = np.concatenate([candidates, disc], axis=1)[clear], radii[clear]
                if not len(candidates):
                    barren += 1
                    break
            else:
                found, sizes = np.concatenate([found, candidates]), np.concatenate([sizes, radii])
                barren = 0
            if barren == _PATIENCE:
                raise crowded
        extra = {"sizes": sizes[:n]} if is_drawn(self.radius) else {}
        if is_drawn(self.mass):
            extra["masses"] = self._draw(self.mass, n, rng)
        return found[:n], extra

    def _draw(self, amount: Amount, n: int, rng: np.random.Generator) -> np.ndarray:
        """The amounts of n sequences, "n k"."""
        low, high = bounds(amount, self.num_balls)
        return rng.uniform(low, high, (n, len(low))) if is_drawn(amount) else np.tile(low, (n, 1))
