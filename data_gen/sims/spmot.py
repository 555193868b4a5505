"""Sprites that come and go: they cross the picture, and others are born (Sprites-MOT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_gen.drawing.boxes import BOX_SHAPES, box_distances
from data_gen.drawing.colours import PALETTE, palette_rgb
from data_gen.drawing.shapes import halve, to_uint8
from data_gen.drawing.windows import blend, label, place_windows, window_offsets
from data_gen.errors import DataError, require_names, require_number, require_range
from data_gen.sims._batches import render_batches
from data_gen.sims._counted import counted_uniforms
from data_gen.sims._lives import DRAWS, Life, Lives, sample_stationary
from data_gen.simulator import Simulator, State, Step, register, uneventful_step


@register
@dataclass(frozen=True, kw_only=True)
class SpMOT(Simulator):
    """Up to `places` sprites at a time, each of which crosses the picture once, straight and at one speed.

    A place without a sprite waits, and then has one born with a certain probability per frame. It starts at a
    random point of one of the four edges of the inner square, is shown from the next frame on, and heads for
    a random point of the opposite edge. It is gone as soon as its centre would leave the inner square. Its
    centre lies on whole pixels of a picture of limit x limit. Sprites of later places are drawn over those of
    earlier ones. Sequences begin at any time of an endless stream.

    places: most sprites at a time
    edge: height and width of a sprite, before scaling
    scale: [lowest, highest] factor of both
    ratio: [lowest, highest] factor of height over width
    shapes: names of drawing.boxes.BOX_SHAPES
    colors: names of drawing.colours.PALETTE
    speed: per frame
    wait: frames without a birth after a sprite has gone
    birth: probability of a birth per frame after that
    margin: of the inner square
    limit: edge of the picture, pixels of the generator; the published frames have half as many

    Source: He et al. 2019, arXiv 1809.03137 (Sprites-MOT), with the settings of Weis et al. 2021, arXiv
    2006.07034 (SpMOT).
    """

    places: int = 3
    edge: float = 21.0
    scale: tuple[float, float] = (0.9, 1.1)
    ratio: tuple[float, float] = (0.8, 1.2)
    shapes: tuple[str, ...] = tuple(BOX_SHAPES)
    colors: tuple[str, ...] = tuple(PALETTE)
    speed: float = 5.3
    wait: int = 5
    birth: float = 0.5
    margin: int = 10
    limit: int = 128

    num_actions = 0

    def __post_init__(self) -> None:
        require_number("sim.places", self.places, minimum=1, maximum=100, integer=True)
        require_number("sim.limit", self.limit, minimum=8, integer=True)
        require_number("sim.margin", self.margin, minimum=0, maximum=self.limit // 2 - 1, integer=True)
        require_number("sim.edge", self.edge, minimum=2)
        require_number("sim.speed", self.speed, minimum=0.1, maximum=self.limit)
        require_number("sim.wait", self.wait, minimum=0, maximum=10**6, integer=True)
        require_number("sim.birth", self.birth, above=0, maximum=1)
        for key in ("scale", "ratio"):
            limits: dict[str, Any] = dict(above=0)
            object.__setattr__(self, key, require_range(f"sim.{key}", getattr(self, key), **limits))
        require_names("sim.shapes", self.shapes, BOX_SHAPES)
        require_names("sim.colors", self.colors, PALETTE)
        # lists, when they come from YAML
        object.__setattr__(self, "shapes", tuple(self.shapes))
        object.__setattr__(self, "colors", tuple(self.colors))
        if self._largest > self.limit:
            raise DataError(
                f"sim.edge={self.edge}: a sprite may exceed the picture of sim.limit={self.limit}"
            )

    @property
    def num_objects(self) -> int:
        return self.places

    @property
    def shape_names(self) -> tuple[str, ...]:
        return self.shapes

    @property
    def lives(self) -> Lives:
        """Law of the sprites."""
        return Lives(
            low=self.margin,
            high=self.limit - 1 - self.margin,
            speed=self.speed,
            edge=self.edge,
            scale=self.scale,
            ratio=self.ratio,
            shapes=len(self.shapes),
            colors=len(self.colors),
        )

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample starts from the stationary law: that of any frame of an endless stream."""
        shape = n, self.places
        life, phase = sample_stationary(self.lives, n * self.places, self.wait, self.birth, rng)
        extra = {
            "keys": rng.integers(2**64, size=shape, dtype=np.uint64),
            "clock": np.zeros(shape, np.int64),
            "births": np.zeros(shape, np.int64),
        }
        return self._state(
            {name: array.reshape(*shape, *array.shape[1:]) for name, array in life.items()},
            phase.reshape(shape),
            extra,
        )

    def _state(self, life: Life, phase: np.ndarray, extra: Life) -> State:
        """Return the state of places "n k" in their phases."""
        centres = self.lives.centres(life, np.maximum(phase - self.wait - 2, 0))
        # A box of an even number of pixels reaches one pixel farther up and left than down and right.
        positions = centres + 0.5 * (life["boxes"] % 2)
        rest = {name: array for name, array in life.items() if name != "velocities"}
        return State(positions, life["velocities"], {**extra, **rest, "phase": phase})

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts and there is no reward."""
        old, lives = state.extra, self.lives
        clock, phase = old["clock"] + 1, old["phase"]
        uniforms = counted_uniforms(old["keys"], clock, DRAWS + 1)  # n k draw
        born = (phase == self.wait) & (uniforms[..., -1] < self.birth)
        fresh = lives.from_uniforms(uniforms[..., :DRAWS])
        life = {"velocities": state.velocities, **{name: old[name] for name in fresh if name in old}}
        ahead = lives.centres(life, phase - self.wait - 1)
        gone = (phase > self.wait) & ~lives.is_inside(ahead)
        waits_on = (phase == self.wait) & ~born
        phase = np.where(gone, 0, np.where(waits_on, phase, phase + 1))
        life = {
            name: np.where(born.reshape(born.shape + (1,) * (array.ndim - 2)), array, life[name])
            for name, array in fresh.items()
        }
        extra = {"keys": old["keys"], "clock": clock, "births": old["births"] + born}
        return uneventful_step(self._state(life, phase, extra))

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return presence, numbers, layers and looks of the sprites, by their keys in the dataset."""
        extra, shape = states.extra, states.positions.shape[:-1]
        place = np.arange(self.places)
        return {
            "sizes": (np.sqrt(extra["boxes"].prod(-1)) / 2).astype(np.float32),
            "masses": np.ones(shape, np.float32),
            "colors": palette_rgb(self.colors)[extra["hues"]].astype(np.float32),
            "present": self._is_shown(extra),
            "ids": extra["births"] * self.places + place + 1,  # where it shows a pixel
            "layers": np.broadcast_to(place, shape),
            "shapes": extra["shapes"],
        }

    def _is_shown(self, extra: Life) -> np.ndarray:
        return extra["phase"] >= self.wait + 2

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw frames uint8 "... size size 3" and masks uint8 "... size size".

        Frames are drawn at twice their size and averaged two by two, as the published ones are.
        """
        return render_batches(states, size, self._draw_frames)

    def _draw_frames(self, states: State, frames: np.ndarray, masks: np.ndarray) -> None:
        """Draw states "m": write frames "m size size 3" and labels into masks "m size size"."""
        size, extra = masks.shape[-1], states.extra
        layers = np.broadcast_to(np.arange(self.places), extra["phase"].shape)
        distance, corners = self._distances(states, size)
        label(masks, distance < 0, corners, layers)
        distance, corners = self._distances(states, 2 * size)
        planes = np.zeros((len(frames), 3, 2 * size, 2 * size), np.float32)
        colours = 255 * palette_rgb(self.colors)[extra["hues"]]
        blend(planes, colours, np.clip(np.float32(0.5) - distance, 0, 1), corners, layers)
        frames[:] = to_uint8(halve(planes))

    def _distances(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return signed distances in pixels "m k w w" in a window around each sprite, and its corners."""
        extra, pixels = states.extra, size / self.limit
        centres = states.positions / self.limit
        reach = self._largest / 2 / self.limit + 0.5 / size
        corners, width = place_windows(centres, reach, size)
        offsets = window_offsets(centres, corners, width, size) * size
        extents, shown = extra["boxes"] / 2 * pixels, self._is_shown(extra)
        return box_distances(offsets, extents, extra["shapes"], shown, self.shapes), corners

    @property
    def _largest(self) -> float:
        """The largest edge of a box."""
        stretch = np.sqrt(max(self.ratio[1], 1 / self.ratio[0]))
        return float(np.rint(self.edge * self.scale[1] * stretch))
