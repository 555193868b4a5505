"""Flat coloured shapes that move over each other, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.drawing.colours import PALETTE, draw_hsv, draw_named, palette
from data_gen.drawing.shapes import BATCH, SHAPES, backdrop, hang_curtain, paint, to_bytes
from data_gen.errors import DataError, require_number, require_range
from data_gen.sims._bouncing import BouncingWorld, reflect
from data_gen.simulator import State, Step, peaceful_step

BACKGROUNDS = ("black", "gray", "color", "gradient", "texture")
CURTAIN = (0.4, 0.25, 0.1)  # brown, which no object and no other background is

_GRAYS = (0.0, 0.6)
_MUTED = (0.2, 0.8), (0.15, 0.55)  # saturation and value of coloured backgrounds
_WAVES = 4  # in a texture


@dataclass(frozen=True, kw_only=True)
class Sprites(BouncingWorld):
    """Squares, ellipses, hearts and triangles that bounce off the walls, and hide each other.

    The layers of a sequence are a random order, and stay. A position is the centre of mass of the whole
    shape, and a radius that of the disc of the same area. An object bounces where the circle around it
    touches a wall. How masks are defined: data_gen.drawing.shapes.

    shapes: names from drawing.shapes.SHAPES.
    colors: "random", or names from drawing.colours.PALETTE.  repeat_colors: whether two objects of a
        sequence may have the same colour (the same part of the circle of hues, when random).
    held_out: combinations [color, shape] that never occur; with only_held_out, the only ones that do.
    radius: [lowest, highest].  growth: its highest change a frame, up or down until it meets these bounds.
    spin: highest turn a frame, in radians, to either side; each object starts at a random angle.
    stay, away: [lowest, highest] numbers of frames that an object is there, and then not there, in turn;
        drawn for each object. The first min(counts) of a sequence always stay. None: all do.
    background: one of BACKGROUNDS, drawn anew for each sequence.
    curtain: [left, right], the part of the width hidden behind a brown curtain, background in the masks.

    Source: after Multi-dSprites (Burgess et al. 2019, arXiv 1901.11390).
    """

    shapes: Sequence[str] = tuple(SHAPES)
    colors: str | Sequence[str] = "random"
    repeat_colors: bool = True
    held_out: Sequence[Sequence[str]] = ()
    only_held_out: bool = False
    radius: Sequence[float] = (0.1, 0.15)
    growth: float = 0.0
    spin: float = 0.0
    stay: Sequence[int] | None = None
    away: Sequence[int] | None = None
    background: str = "gray"
    curtain: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_names("shapes", self.shapes, SHAPES)
        if self.colors != "random":
            _require_names("colors", self.colors, PALETTE, "random, or ")
            object.__setattr__(self, "colors", tuple(self.colors))
        for key in ("repeat_colors", "only_held_out"):
            if not isinstance(getattr(self, key), bool):
                raise DataError(f"sim.{key}={getattr(self, key)}: must be true or false")
        for key in ("growth", "spin"):
            require_number(f"sim.{key}", getattr(self, key), minimum=0)
        if self.background not in BACKGROUNDS:
            raise DataError(f"sim.background={self.background}: must be one of {', '.join(BACKGROUNDS)}")
        if (self.stay is None) != (self.away is None):
            raise DataError(f"sim.stay={self.stay} sim.away={self.away}: give both, or neither")
        spans = {
            "radius": dict(above=0),
            "stay": dict(minimum=1, integer=True),
            "away": dict(minimum=1, integer=True),
            "curtain": dict(minimum=0, maximum=1),
        }
        for key, bounds in spans.items():
            if getattr(self, key) is not None:
                object.__setattr__(self, key, require_range(f"sim.{key}", getattr(self, key), **bounds))
        object.__setattr__(self, "shapes", tuple(self.shapes))
        object.__setattr__(self, "held_out", self._pairs())
        reach = max(SHAPES[name].reach for name in self.shapes)
        self.require_room("sim.radius", reach * self.radius[1], reach * self.growth)
        if self.growth > self.radius[1] - self.radius[0]:
            raise DataError(f"sim.growth={self.growth}: must be less than the range of sim.radius")
        usable = self._allowed().any(axis=1).sum() if self.colors != "random" else self.num_objects
        if usable < (1 if self.repeat_colors else self.num_objects):
            raise DataError(
                f"sim.held_out={[list(pair) for pair in self.held_out]}: leaves {usable} colours for "
                f"{self.num_objects} objects (sim.colors, sim.only_held_out, sim.repeat_colors)"
            )

    @property
    def shape_names(self) -> tuple[str, ...]:
        return self.shapes

    @staticmethod
    def reach(sizes: np.ndarray, shapes: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Distance from a wall at which an object bounces: the radius of the circle around it."""
        return np.array([SHAPES[name].reach for name in names])[shapes] * sizes

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Objects anywhere between the walls, `apart`, moving in random directions."""
        exists = self.draw_counts(n, rng)
        shape = exists.shape
        kinds, colors = self._draw_looks(*shape, rng)
        radii = rng.uniform(*self.radius, shape)
        stay, away = self._draw_turns(exists, rng)
        extra = {
            "shapes": kinds,
            "colors": colors,
            "layers": rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1),
            "radii": radii,
            "growth": rng.uniform(-self.growth, self.growth, shape),
            "angles": rng.uniform(0, 2 * np.pi, shape),
            "spins": rng.uniform(-self.spin, self.spin, shape),
            "stay": stay,
            "away": away,
            "clock": rng.integers(stay + away),
            **self._draw_background(n, rng),
        }
        places = self.draw_places(self.reach(radii, kinds, self.shapes), exists, rng)
        return State(places, self.draw_velocities(n, rng), extra)

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """One frame; nobody acts and there is no reward."""
        old = state.extra
        radii, growth = reflect(old["radii"], old["growth"], *self.radius)
        reach = self.reach(radii, old["shapes"], self.shapes)[..., None]
        positions, velocities = reflect(state.positions, state.velocities, reach, 1 - reach)
        turned = (old["angles"] + old["spins"]) % (2 * np.pi)
        moved = {"radii": radii, "growth": growth, "angles": turned, "clock": old["clock"] + 1}
        return peaceful_step(State(positions, velocities, {**old, **moved}))

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Sizes, colours, shapes, layers and presence of the objects, by their key in the dataset."""
        extra = states.extra
        return {
            "sizes": extra["radii"].astype(np.float32),
            "masses": np.ones(extra["radii"].shape, np.float32),
            "colors": extra["colors"].astype(np.float32),
            "present": _present(extra),
            "layers": extra["layers"],
            "shapes": extra["shapes"],
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames uint8 "... size size 3" and masks uint8 "... size size"."""
        leading = states.positions.shape[:-2]
        flat = states.map(lambda array: array.reshape(-1, *array.shape[len(leading) :]))
        objects = {"positions": flat.positions, **flat.extra, "present": _present(flat.extra)}
        objects["colors"] = 255 * objects["colors"]
        frames = np.empty((len(flat.positions), size, size, 3), np.uint8)
        masks = np.zeros((len(flat.positions), size, size), np.uint8)
        for start in range(0, len(frames), BATCH):
            batch = slice(start, start + BATCH)
            some = {name: array[batch] for name, array in objects.items()}
            planes = backdrop(255 * some["background"], some.get("waves"), size)
            paint(planes, masks[batch], some, self.shapes, self.radius[1])
            if self.curtain is not None:
                hang_curtain(planes, masks[batch], self.curtain, 255 * np.array(CURTAIN))
            frames[batch] = to_bytes(planes)
        return frames.reshape(*leading, *frames.shape[1:]), masks.reshape(*leading, *masks.shape[1:])

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        """held_out as pairs of names that are known, checked."""
        pairs = self.held_out
        if not isinstance(pairs, list | tuple):
            raise DataError(f"sim.held_out={pairs}: must be a list of pairs [color, shape]")
        if (pairs or self.only_held_out) and self.colors == "random":
            raise DataError(f"sim.held_out={list(pairs)}: needs sim.colors to be a list of names")
        for pair in pairs:
            known = isinstance(pair, list | tuple) and len(pair) == 2
            if not known or pair[0] not in self.colors or pair[1] not in self.shapes:
                raise DataError(
                    f"sim.held_out={pair}: must be a pair [color, shape] from sim.colors and sim.shapes"
                )
        return tuple((color, shape) for color, shape in pairs)

    def _allowed(self) -> np.ndarray:
        """Which combinations may occur, bool "colors shapes"."""
        held_out = [[(color, shape) in self.held_out for shape in self.shapes] for color in self.colors]
        return np.array(held_out) == self.only_held_out

    def _draw_looks(self, n: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Shapes, int64 "n k", and colours, RGB "n k 3"."""
        if self.colors == "random":
            kinds = rng.integers(len(self.shapes), size=(n, k))
            return kinds, draw_hsv(n, k, rng, repeat=self.repeat_colors)
        named, kinds = draw_named(n, k, self._allowed(), rng, repeat=self.repeat_colors)
        return kinds, palette(self.colors)[named]

    def _draw_turns(self, exists: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of frames that objects are there, and then not there, int64 "n k" each."""
        comes_and_goes = exists & (np.arange(exists.shape[1]) >= min(self.counts))
        if self.stay is None:
            return exists.astype(np.int64), (~exists).astype(np.int64)
        stay = rng.integers(*self.stay, exists.shape, endpoint=True)
        away = rng.integers(*self.away, exists.shape, endpoint=True)
        return np.where(comes_and_goes, stay, exists), np.where(comes_and_goes, away, ~exists)

    def _draw_background(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Two colours "n 2 3", and the waves "n w 3" that blend them where there are any (see paint)."""
        if self.background == "black":
            return {"background": np.zeros((n, 2, 3))}
        if self.background == "gray":
            return {"background": np.broadcast_to(rng.uniform(*_GRAYS, (n, 1, 1)), (n, 2, 3))}
        colors = {"background": draw_hsv(n, 2, rng, strong=_MUTED)}
        if self.background == "color":
            return colors
        # A gradient is half a wave over the diagonal; a texture is several waves of 1 to 4 in the picture.
        cycles = rng.uniform(1, 4, (n, _WAVES)) if self.background == "texture" else np.full((n, 1), 0.35)
        angles, phases = rng.uniform(0, 2 * np.pi, (2, *cycles.shape))
        right, down = cycles * np.cos(angles), cycles * np.sin(angles)
        if self.background == "gradient":
            phases = -np.pi * (right + down)  # half of each colour in the middle
        return {**colors, "waves": np.stack([right, down, phases], axis=-1)}


def _present(extra: dict[str, np.ndarray]) -> np.ndarray:
    return extra["clock"] % (extra["stay"] + extra["away"]) < extra["stay"]


def _require_names(key: str, names: object, known: Sequence[str], otherwise: str = "") -> None:
    good = isinstance(names, list | tuple) and names and all(name in list(known) for name in names)
    if not good or len(set(names)) < len(names):
        raise DataError(
            f"sim.{key}={names}: must be {otherwise}a list of different names from {', '.join(known)}"
        )
