"""Flat coloured shapes that move over each other, with exact masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_gen.drawing.colours import PALETTE, Ranges, palette_rgb, sample_combinations, sample_hsv
from data_gen.drawing.shapes import SHAPES, draw_curtain, render_background, render_sprites, to_uint8
from data_gen.errors import DataError, require_names, require_number, require_range
from data_gen.sims._batches import render_batches
from data_gen.sims._bouncing import BouncingWorld, reflect
from data_gen.simulator import State, Step, register, uneventful_step

BACKGROUNDS = ("black", "gray", "color", "gradient", "texture")
CURTAIN = (0.4, 0.25, 0.1)  # brown, which no object and no other background is

_GREYS = (0.0, 0.6)
_MUTED: Ranges = (0.2, 0.8), (0.15, 0.55)  # saturation and value of coloured backgrounds
_NUM_WAVES = 4  # of a texture


@register
@dataclass(frozen=True, kw_only=True)
class Sprites(BouncingWorld):
    """Squares, ellipses, hearts and triangles that bounce off the walls, and hide each other.

    The layers of a sequence are in random order, which does not change. A position is the centre of mass of
    the whole shape, and a radius is the one of the disc of the same area. An object bounces where the circle
    around it touches a wall. data_gen.drawing.shapes defines the masks.

    shapes: names of drawing.shapes.SHAPES
    colors: "random", or names of drawing.colours.PALETTE
    repeat_colors: whether two objects of a sequence may have the same colour (when random: hues in the same
        sector of the circle)
    held_out: combinations [color, shape] that never occur
    only_held_out: whether these combinations alone occur instead
    radius: [lowest, highest]
    growth: highest change of a radius per frame, up or down until it meets these bounds
    spin: highest turn per frame, in radians, to either side; each object starts at a random angle
    stay, away: [lowest, highest] numbers of frames that an object is there, and then not there, in turn;
        sampled for each object. The first min(counts) of a sequence always stay. None: all do
    background: one of BACKGROUNDS, sampled for each sequence
    curtain: [left, right], part of the width hidden behind a brown curtain, background in the masks

    Source: after Multi-dSprites (Burgess et al. 2019, arXiv 1901.11390).
    """

    shapes: tuple[str, ...] = tuple(SHAPES)
    colors: str | tuple[str, ...] = "random"
    repeat_colors: bool = True
    held_out: Sequence[Sequence[str]] = ()
    only_held_out: bool = False
    radius: tuple[float, float] = (0.1, 0.15)
    growth: float = 0.0
    spin: float = 0.0
    stay: tuple[int, int] | None = None
    away: tuple[int, int] | None = None
    background: str = "gray"
    curtain: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_values()
        # lists, when they come from YAML
        object.__setattr__(self, "shapes", tuple(self.shapes))
        if self.colors != "random":
            object.__setattr__(self, "colors", tuple(self.colors))
        limits: dict[str, dict[str, Any]] = {
            "radius": dict(above=0),
            "stay": dict(minimum=1, integer=True),
            "away": dict(minimum=1, integer=True),
            "curtain": dict(minimum=0, maximum=1),
        }
        for key, limit in limits.items():
            if getattr(self, key) is not None:
                object.__setattr__(self, key, require_range(f"sim.{key}", getattr(self, key), **limit))
        object.__setattr__(self, "held_out", self._checked_pairs())
        self._check_room()
        self._check_combinations()

    def _check_values(self) -> None:
        require_names("sim.shapes", self.shapes, SHAPES)
        if self.colors != "random":
            require_names("sim.colors", self.colors, PALETTE, "random, or ")
        for key in ("repeat_colors", "only_held_out"):
            if not isinstance(getattr(self, key), bool):
                raise DataError(f"sim.{key}={getattr(self, key)}: must be true or false")
        for key in ("growth", "spin"):
            require_number(f"sim.{key}", getattr(self, key), minimum=0)
        if self.background not in BACKGROUNDS:
            raise DataError(f"sim.background={self.background}: must be one of {', '.join(BACKGROUNDS)}")
        if (self.stay is None) != (self.away is None):
            raise DataError(f"sim.stay={self.stay} sim.away={self.away}: give both, or neither")

    def _checked_pairs(self) -> tuple[tuple[str, str], ...]:
        """Return held_out as pairs of known names."""
        pairs = self.held_out
        if not isinstance(pairs, list | tuple):
            raise DataError(f"sim.held_out={pairs}: must be a list of pairs [color, shape]")
        if (pairs or self.only_held_out) and self.colors == "random":
            raise DataError(f"sim.held_out={list(pairs)}: needs sim.colors to be a list of names")
        for pair in pairs:
            is_pair = isinstance(pair, list | tuple) and len(pair) == 2
            if not is_pair or pair[0] not in self.colors or pair[1] not in self.shapes:
                raise DataError(
                    f"sim.held_out={pair}: must be a pair [color, shape] from sim.colors and sim.shapes"
                )
        return tuple((colour, shape) for colour, shape in pairs)

    def _check_room(self) -> None:
        reach = max(SHAPES[name].reach for name in self.shapes)
        self.require_room("sim.radius", reach * self.radius[1], reach * self.growth)
        if self.growth > self.radius[1] - self.radius[0]:
            raise DataError(f"sim.growth={self.growth}: must be less than the range of sim.radius")

    def _check_combinations(self) -> None:
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
    def reach(sizes: np.ndarray, shapes: np.ndarray, shape_names: Sequence[str]) -> np.ndarray:
        """Return the distance from a wall at which an object bounces: the radius of the circle around it."""
        return np.array([SHAPES[name].reach for name in shape_names])[shapes] * sizes

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample objects anywhere between the walls, `apart`, moving in random directions."""
        exists = self.sample_presence(n, rng)
        n, k = nk = exists.shape
        shapes, colours = self._sample_appearance(n, k, rng)
        radii = rng.uniform(*self.radius, nk)
        stay, away = self._sample_turns(exists, rng)
        extra = {
            "shapes": shapes,
            "colors": colours,
            "layers": rng.permuted(np.broadcast_to(np.arange(k), nk), axis=1),
            "radii": radii,
            "growth": rng.uniform(-self.growth, self.growth, nk),
            "angles": rng.uniform(0, 2 * np.pi, nk),
            "spins": rng.uniform(-self.spin, self.spin, nk),
            "stay": stay,
            "away": away,
            "clock": rng.integers(stay + away),
            **self._sample_background(n, rng),
        }
        positions = self.sample_positions(self.reach(radii, shapes, self.shapes), exists, rng)
        return State(positions, self.sample_velocities(n, rng), extra)

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts and there is no reward."""
        old = state.extra
        radii, growth = reflect(old["radii"], old["growth"], *self.radius)
        reach = self.reach(radii, old["shapes"], self.shapes)[..., None]
        positions, velocities = reflect(state.positions, state.velocities, reach, 1 - reach)
        angles = (old["angles"] + old["spins"]) % (2 * np.pi)
        changed = {"radii": radii, "growth": growth, "angles": angles, "clock": old["clock"] + 1}
        return uneventful_step(State(positions, velocities, {**old, **changed}))

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return sizes, colours, shapes, layers and presence of the objects, by their keys in the dataset."""
        extra = states.extra
        return {
            "sizes": extra["radii"].astype(np.float32),
            "masses": np.ones(extra["radii"].shape, np.float32),
            "colors": extra["colors"].astype(np.float32),
            "present": _is_present(extra),
            "layers": extra["layers"],
            "shapes": extra["shapes"],
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw frames uint8 "... size size 3" and masks uint8 "... size size"."""
        return render_batches(states, size, self._draw_frames)

    def _draw_frames(self, states: State, frames: np.ndarray, masks: np.ndarray) -> None:
        """Draw states "m": write frames "m h w 3" and labels into masks "m h w"."""
        objects = {"positions": states.positions, **states.extra, "present": _is_present(states.extra)}
        objects["colors"] = 255 * objects["colors"]
        planes = render_background(255 * objects["background"], objects.get("waves"), masks.shape[-1])
        render_sprites(planes, masks, objects, self.shapes, self.radius[1])
        if self.curtain is not None:
            draw_curtain(planes, masks, self.curtain, 255 * np.array(CURTAIN))
        frames[:] = to_uint8(planes)

    def _allowed(self) -> np.ndarray:
        """Return the combinations that may occur, bool "colours shapes"."""
        held_out = [[(colour, shape) in self.held_out for shape in self.shapes] for colour in self.colors]
        return np.array(held_out) == self.only_held_out

    def _sample_appearance(self, n: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sample shapes, int64 "n k", and colours, RGB "n k 3"."""
        if self.colors == "random":
            shapes = rng.integers(len(self.shapes), size=(n, k))
            return shapes, sample_hsv(n, k, rng, repeat=self.repeat_colors)
        colours, shapes = sample_combinations(n, k, self._allowed(), rng, repeat=self.repeat_colors)
        return shapes, palette_rgb(self.colors)[colours]

    def _sample_turns(self, exists: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sample the numbers of frames that objects are there, and then not there, int64 "n k" each."""
        if self.stay is None or self.away is None:
            return exists.astype(np.int64), (~exists).astype(np.int64)
        comes_and_goes = exists & (np.arange(exists.shape[1]) >= min(self.counts))
        stay = rng.integers(*self.stay, exists.shape, endpoint=True)
        away = rng.integers(*self.away, exists.shape, endpoint=True)
        return np.where(comes_and_goes, stay, exists), np.where(comes_and_goes, away, ~exists)

    def _sample_background(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Sample two colours "n 2 3", and any waves "n w 3" that blend them (see render_background)."""
        if self.background == "black":
            return {"background": np.zeros((n, 2, 3))}
        if self.background == "gray":
            return {"background": np.broadcast_to(rng.uniform(*_GREYS, (n, 1, 1)), (n, 2, 3))}
        colours = {"background": sample_hsv(n, 2, rng, ranges=_MUTED)}
        if self.background == "color":
            return colours
        # A gradient is half a wave over the diagonal; a texture is several waves of 1 to 4 per picture.
        is_texture = self.background == "texture"
        cycles = rng.uniform(1, 4, (n, _NUM_WAVES)) if is_texture else np.full((n, 1), 0.35)
        angles, phases = rng.uniform(0, 2 * np.pi, (2, *cycles.shape))
        right, down = cycles * np.cos(angles), cycles * np.sin(angles)
        if not is_texture:
            phases = -np.pi * (right + down)  # half of each colour in the middle
        return {**colours, "waves": np.stack([right, down, phases], axis=-1)}


def _is_present(extra: Mapping[str, np.ndarray]) -> np.ndarray:
    return extra["clock"] % (extra["stay"] + extra["away"]) < extra["stay"]
