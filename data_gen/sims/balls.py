"""Coloured balls in layers, which hide each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.drawing.colours import PALETTE, palette_rgb
from data_gen.drawing.windows import blend, label, place_windows, window_offsets
from data_gen.errors import DataError, require_choice, require_names, require_number
from data_gen.physics.layers import advance_layers, pairs_within
from data_gen.sims._apart import MAX_TRIES, is_apart, no_room, sample_apart
from data_gen.sims._batches import render_batches
from data_gen.simulator import Simulator, State, Step, register

COLORING = ("any", "distinct", "layer")
SPLITS = ("train", "val", "test")

# The published pictures hold a stamp: a disc of 15 pixels in a square of 16, scaled to the square around a
# ball and interpolated. Its first pixel is put on the centre of a pixel, so that a ball is drawn 1/2 - r/16
# pixels too far to the right and below; at r = 8 that is nothing.
_DISC = 15 / 16  # radius of the drawn disc, in radii of the ball
_EDGE = 1.6 / 8  # width of its soft edge, in radii of the ball

_LARGEST_MOVE = 0.5  # of a ball in a substep, in radii


@register
@dataclass(frozen=True, kw_only=True)
class Balls(Simulator):
    """Balls of one radius and mass in the square [0, limit]^2, drawn over each other in layers.

    Balls of one layer bounce off each other, those of different layers pass. All start at one speed, in
    random directions, where they overlap no other ball of any layer. A position is a ball's centre; with a
    limit of 64 it is in pixels of the published frames.

    layers: number of balls in each layer, the farthest layer first
    speed: at the start, per frame
    collide: False: all balls pass through each other, and start anywhere
    colors: names of drawing.colours.PALETTE
    coloring: "any": each ball has one of the colours; "distinct": one that no other ball has; "layer": that
        of its layer
    published: split -> seed of the published set, which a dataset of seed 0 reproduces; None, or another seed
        of the dataset: new sequences

    Source: Lin et al. 2020, arXiv 2010.02054 (G-SWM), whose states are reproduced exactly.
    """

    layers: Sequence[int] = (3,)
    radius: float = 8.0
    limit: float = 64.0
    substeps: int = 10
    speed: float = 3.0
    collide: bool = True
    colors: Sequence[str] = ("blue", "red", "yellow", "magenta", "cyan")
    coloring: str = "any"
    published: Mapping[str, int] | None = None

    num_actions = 0
    shape_names = ("disc",)
    records_start = True

    def __post_init__(self) -> None:
        for key in ("layers", "colors"):
            value = getattr(self, key)
            if not isinstance(value, list | tuple) or not value:
                raise DataError(f"sim.{key}={value}: must be a list")
            object.__setattr__(self, key, tuple(value))  # a list, when it comes from YAML
        for number in self.layers:
            require_number("sim.layers", number, minimum=1, maximum=100, integer=True)
        require_number("sim.substeps", self.substeps, minimum=1, integer=True)
        require_number("sim.radius", self.radius, above=0)
        require_number("sim.limit", self.limit, above=0)
        require_number("sim.speed", self.speed, minimum=0)
        if not isinstance(self.collide, bool):
            raise DataError(f"sim.collide={self.collide}: must be true or false")
        self._check_room()
        self._check_colours()
        self._check_published()

    def _check_room(self) -> None:
        if 2 * self.radius >= self.limit:
            raise DataError(
                f"sim.radius={self.radius}: a ball must fit into the box of sim.limit={self.limit}"
            )
        fastest = self.speed * np.sqrt(self.num_objects if self.collide else 1)  # one ball has all the energy
        enough = int(np.ceil(fastest / (_LARGEST_MOVE * self.radius)))
        if self.substeps < enough:
            raise DataError(
                f"sim.speed={self.speed}: a ball of radius {self.radius:g} may move by {fastest:g} in a "
                f"frame, too far for sim.substeps={self.substeps}; take at least sim.substeps={enough}"
            )

    def _check_colours(self) -> None:
        require_choice("sim.coloring", self.coloring, COLORING)
        require_names("sim.colors", self.colors, PALETTE)
        needed = {"any": 1, "distinct": self.num_objects, "layer": len(self.layers)}[self.coloring]
        if len(self.colors) < needed:
            raise DataError(
                f"sim.colors={list(self.colors)}: sim.coloring={self.coloring} needs {needed} colours for "
                f"sim.layers={list(self.layers)}"
            )

    def _check_published(self) -> None:
        if self.published is None:
            return
        if not isinstance(self.published, Mapping) or set(self.published) != set(SPLITS):
            raise DataError(
                f"sim.published={self.published}: must be null, or a seed for each of {', '.join(SPLITS)}"
            )
        for split, seed in self.published.items():
            require_number(f"sim.published.{split}", seed, minimum=0, maximum=2**32 - 1, integer=True)

    @property
    def num_objects(self) -> int:
        return sum(self.layers)

    @property
    def layer_of(self) -> np.ndarray:
        """Layer of each ball, int64 "k", higher is nearer."""
        return np.repeat(np.arange(len(self.layers)), self.layers)

    @staticmethod
    def reach(sizes: np.ndarray, shapes: np.ndarray, shape_names: Sequence[str]) -> np.ndarray:
        """Return the distance from a wall at which a ball bounces: its radius."""
        return sizes

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample colours, directions, and places one ball after the other."""
        k, palette = self.num_objects, palette_rgb(self.colors)
        if self.coloring == "layer":
            colours = np.tile(self.layer_of, (n, 1))
        elif self.coloring == "any":
            colours = rng.integers(len(palette), size=(n, k))
        else:
            colours = rng.permuted(np.tile(np.arange(len(palette)), (n, 1)), axis=1)[:, :k]
        directions = rng.standard_normal((n, k, 2))
        velocities = directions / np.linalg.norm(directions, axis=-1, keepdims=True) * self.speed
        positions = sample_apart(n, k, self.radius, self.limit, rng, apart=self.collide)
        return State(positions, velocities, {"colors": palette[colours]})

    def published_starts(self, split: str, first: int, last: int) -> State | None:
        """Return the starts of sequences first ... last - 1 of a published set, None without one."""
        if self.published is None:
            return None
        seeds = np.random.RandomState(self.published[split]).randint(0, 2**32 - 1, size=last)  # noqa: NPY002
        starts = [self._published_start(int(seed)) for seed in seeds[first:]]
        positions, velocities, colours = (np.stack(arrays) for arrays in zip(*starts, strict=True))
        return State(positions, velocities, {"colors": colours})

    def _published_start(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return positions and velocities "k 2" and colours "k 3", drawn as the published generator does."""
        k, palette, rng = self.num_objects, palette_rgb(self.colors), np.random.RandomState(seed)  # noqa: NPY002
        if self.coloring == "layer":
            colours = self.layer_of
        else:
            colours = rng.choice(len(palette), k, replace=self.coloring == "any")
        directions = rng.randn(k, 2)
        velocities = directions / np.linalg.norm(directions, axis=-1, keepdims=True) * self.speed
        positions = np.empty((k, 2))
        for i in range(k):
            for _ in range(MAX_TRIES):
                positions[i] = rng.uniform(self.radius, self.limit - self.radius, size=2)
                if not self.collide or is_apart(positions[:i], positions[i], self.radius):
                    break
            else:
                raise no_room(k, self.radius, self.limit)
        return positions, velocities, palette[colours]

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts and there is no reward."""
        none = np.array([], dtype=int)
        positions, velocities, contacts = advance_layers(
            state.positions,
            state.velocities,
            radius=self.radius,
            pairs=pairs_within(self.layer_of) if self.collide else (none, none),
            limit=self.limit,
            substeps=self.substeps,
        )
        n = len(positions)
        new_state = State(positions, velocities, state.extra)
        return Step(new_state, np.zeros(n, np.float32), np.zeros(n, bool), contacts)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return sizes, masses, colours and layers of the balls, by their keys in the dataset."""
        shape = states.positions.shape[:-1]
        return {
            "sizes": np.full(shape, self.radius, np.float32),
            "masses": np.ones(shape, np.float32),
            "colors": states.extra["colors"].astype(np.float32),
            "present": np.ones(shape, bool),
            "layers": np.broadcast_to(self.layer_of, shape),
            "shapes": np.zeros(shape, np.int64),
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw frames uint8 "... size size 3", floor(255 x), and masks uint8 "... size size"."""
        return render_batches(states, size, self._draw_frames)

    def _draw_frames(self, states: State, frames: np.ndarray, masks: np.ndarray) -> None:
        """Draw states "m": write frames "m size size 3" and labels into masks "m size size"."""
        # 1. Distances of the pixels in a window around each ball from its centre, in radii.
        size, radius = masks.shape[-1], self.radius / self.limit
        centres = (states.positions + (1 / 2 - self.radius / 16)) / self.limit
        corners, width = place_windows(centres, (_DISC + _EDGE / 2) * radius, size)
        offsets = (window_offsets(centres, corners, width, size) / radius).astype(np.float32)
        x, y = offsets[..., 0, None, :], offsets[..., 1, :, None]
        distance = np.sqrt(x * x + y * y)  # m k w w
        # 2. Balls over each other, by layer and then by number.
        layers = np.broadcast_to(self.layer_of, distance.shape[:2])
        label(masks, distance < _DISC, corners, layers)
        coverage = np.clip(np.float32(0.5) + (np.float32(_DISC) - distance) / np.float32(_EDGE), 0, 1)
        planes = np.zeros((len(frames), 3, size, size), np.float32)
        blend(planes, 255 * states.extra["colors"], coverage, corners, layers)
        # 3. Cut off fractions of levels. A blend of full coverage may be a rounding error below its colour.
        frames[:] = np.moveaxis((planes + np.float32(1e-3)).astype(np.int32), 1, -1)
