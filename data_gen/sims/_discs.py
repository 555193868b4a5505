"""Worlds of soft discs in a square: their radii and masses, starts, pictures and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from data_gen.drawing.colours import PALETTE, palette_rgb
from data_gen.drawing.discs import draw_discs
from data_gen.errors import DataError, require_number
from data_gen.physics import closest_approach
from data_gen.simulator import Simulator, State, Trajectory

# A quantity of each disc: one number for all, a list with one number per disc, or a mapping {min, max}, from
# which it is sampled uniformly for each disc of each sequence.
SampledValue = float | Sequence[float] | Mapping[str, float]

_CANDIDATES = 4096  # starts that are sampled at a time
_MAX_REJECTIONS = 300  # of all candidates, in a row
_MAX_LOG_ODDS = 25  # nats, about -log P(a candidate fits): pairs times the share of the box that one excludes

# Share of its radius that a disc may move in a substep: two that meet head on then approach by at most half
# of the distance at which they touch.
_LARGEST_MOVE = 0.5


def is_sampled(value: object) -> TypeGuard[Mapping[str, float]]:
    """Return whether the value differs between sequences."""
    return isinstance(value, Mapping)


def value_range(value: SampledValue | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each of k discs, "k" each."""
    low, high = (value["min"], value["max"]) if is_sampled(value) else (value, value)
    return np.full(k, low, dtype=np.float64), np.full(k, high, dtype=np.float64)


def require_sampled_value(key: str, value: Any, k: int) -> None:
    """Raise DataError unless `value` is a SampledValue of k discs, with positive numbers."""
    if is_sampled(value):
        if set(value) != {"min", "max"}:
            raise DataError(f"{key}={dict(value)}: a range is written {{min: 1, max: 2}}")
        require_number(f"{key}.min", value["min"], above=0)
        require_number(f"{key}.max", value["max"], minimum=value["min"])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != k:
            raise DataError(f"{key}={list(value)}: must have {k} numbers, one per ball, or be a single one")
        for number in value:
            require_number(key, number, above=0)
    else:
        require_number(key, value, above=0)


@dataclass(frozen=True, kw_only=True)
class DiscWorld(Simulator):
    """Discs in the square [0, limit]^2.

    num_balls: number of discs
    radius, mass: of all discs, a list with one per disc, or {min, max}; sampled ones are part of the state
        (`sizes`, `masses`)
    limit: edge of the square
    substeps: integration steps per frame
    colors: names of drawing.colours.PALETTE, repeated as often as needed
    min_distance: a sequence is left out of datasets if in one of its frames a pair is closer than this share
        of the sum of its radii (None: all are kept)
    """

    num_balls: int = 3
    radius: SampledValue | None = 1.0
    mass: SampledValue = 1.0
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
            require_sampled_value(f"sim.{key}", getattr(self, key), self.num_balls)
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
        """The largest radius that a disc can have."""
        return float(value_range(self.radius, self.num_balls)[1].max())

    def radii_of(self, state: State) -> np.ndarray:
        """Return the radius of each disc, in units of the positions: "k", or if sampled "... k"."""
        if is_sampled(self.radius):
            return state.extra["sizes"]
        return value_range(self.radius, self.num_balls)[0]

    def masses_of(self, state: State) -> np.ndarray:
        """Return the mass of each disc: "k", or if sampled "... k"."""
        if is_sampled(self.mass):
            return state.extra["masses"]
        return value_range(self.mass, self.num_balls)[0]

    @property
    def rgb(self) -> np.ndarray:
        """Colour of each disc, "k 3", in [0, 1]."""
        return palette_rgb([self.colors[i % len(self.colors)] for i in range(self.num_balls)])

    def require_small_moves(self, key: str, value: float, fastest: float) -> None:
        """Raise DataError if a disc of speed `fastest`, set by the option `key`, may jump over another."""
        smallest = value_range(self.radius, self.num_balls)[0].min()
        enough = int(np.ceil(fastest / (_LARGEST_MOVE * smallest)))
        if self.substeps < enough:
            raise DataError(
                f"{key}={value}: a disc of radius {smallest:g} may move by {fastest:g} in a frame, "
                f"too far for sim.substeps={self.substeps}; take at least sim.substeps={enough}"
            )

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Return the sequences in which no two discs overlap too much, bool "n"."""
        states = trajectory.states
        if self.min_distance is None:
            return np.ones(len(states.positions), dtype=bool)
        distance = closest_approach(states.positions, self.radii_of(states))  # n t
        return np.all(distance >= self.min_distance, axis=1)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return sizes, masses, colours and visibility of the discs, by their keys in the dataset."""
        shape = states.positions.shape[:-1]
        radii = self.radii_of(states)
        reach = radii[..., None]
        in_camera = np.all((states.positions > -reach) & (states.positions < self.limit + reach), axis=-1)
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
        """Draw frames uint8 "... size size 3"; there are no masks, as soft edges have none."""
        radii = self.radii_of(states)
        return draw_discs(states.positions, radii, self.rgb, limit=self.limit, size=size), None

    def sample_central_positions(
        self, n: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Sample starts as in sample_positions, without overlaps.

        Up to six discs lie in the middle half of the box, more of them anywhere in it.
        """
        margin = max(self.largest_radius, self.limit / 4 if self.num_balls <= 6 else 0.0)
        return self.sample_positions(n, rng, margin, self.limit - margin)

    def sample_positions(
        self, n: int, rng: np.random.Generator, low: float, high: float, apart: float | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Sample n starts "n k 2", uniform over those in [low, high]^2 with all pairs at least `apart` apart.

        apart: by default the sum of the two radii, so that discs do not overlap.

        Returns with them, by name, the sampled ones of `sizes` and `masses`, "n k" each. Radii are sampled
        together with the positions, so that large ones, which fit less often, are a little rarer.

        Candidates get one disc after the other and drop out at the first that is too near: rejection
        sampling that does not sample the rest of a rejected candidate.

        Raises:
            DataError: nothing fits.
        """
        no_room = DataError(
            f"sim.num_balls={self.num_balls}: these balls of sim.radius={self.radius} "
            f"cannot start apart in a box of sim.limit={self.limit}; take fewer or smaller balls"
        )
        smallest = value_range(self.radius, self.num_balls)[0]
        least = np.add.outer(smallest, smallest) if apart is None else np.full(2 * smallest.shape, apart)
        if np.pi * np.triu(least**2, 1).sum() / (high - low) ** 2 > _MAX_LOG_ODDS:
            raise no_room
        positions, sizes = np.empty((0, self.num_balls, 2)), np.empty((0, self.num_balls))
        rejections = 0
        while len(positions) < n:
            candidates, radii = self._sample_candidates(rng, low, high, apart)
            positions, sizes = np.concatenate([positions, candidates]), np.concatenate([sizes, radii])
            rejections = 0 if len(candidates) else rejections + 1
            if rejections == _MAX_REJECTIONS:
                raise no_room
        extra = {"sizes": sizes[:n]} if is_sampled(self.radius) else {}
        if is_sampled(self.mass):
            extra["masses"] = self._sample_value(self.mass, n, rng)
        return positions[:n], extra

    def _sample_candidates(
        self, rng: np.random.Generator, low: float, high: float, apart: float | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return those of _CANDIDATES starts that fit, "m k 2", and their radii, "m k"."""
        candidates, radii = np.empty((_CANDIDATES, 0, 2)), self._sample_value(self.radius, _CANDIDATES, rng)
        for i in range(self.num_balls):
            disc = rng.uniform(low, high, size=(len(candidates), 1, 2))
            gap = candidates - disc  # m i 2
            least = radii[:, :i] + radii[:, i : i + 1] if apart is None else apart
            fits = np.all(np.hypot(gap[..., 0], gap[..., 1]) >= least, axis=1)
            candidates, radii = np.concatenate([candidates, disc], axis=1)[fits], radii[fits]
            if not len(candidates):
                return np.empty((0, self.num_balls, 2)), np.empty((0, self.num_balls))
        return candidates, radii

    def _sample_value(self, value: SampledValue | None, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return the value of each disc in n sequences, "n k"."""
        low, high = value_range(value, self.num_balls)
        return rng.uniform(low, high, (n, len(low))) if is_sampled(value) else np.tile(low, (n, 1))
