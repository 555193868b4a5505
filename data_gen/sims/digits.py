"""Handwritten digits that move over each other, after Moving MNIST, or stand still, after multi-MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from data_gen.drawing import handwriting
from data_gen.drawing.shapes import pixel_centres
from data_gen.errors import DataError, require_range
from data_gen.sims._bouncing import BouncingWorld, reflect
from data_gen.simulator import State, Step, peaceful_step

BLENDS = ("max", "add")

_BATCH = 256  # frames drawn at once
_INK = 0.5  # the least brightness that belongs to a digit


@dataclass(frozen=True, kw_only=True)
class Digits(BouncingWorld):
    """White digits on black that bounce off the walls and pass through each other.

    A digit is drawn in a square, whose middle is its position; half the square's edge is its size in the
    dataset, and the digit that it shows is its shape. In the masks a pixel belongs to the digit that is
    brightest there, if it has at least half of full brightness (the first of equals).

    digit_size: [lowest, highest] edge of the square.
    blend: how digits overlap: max, the brightest shows, or add, light adds up to white.
    images: train, val or test, disjoint sets of images; a split of a dataset takes its own.

    Source: Srivastava et al. 2015, arXiv 1502.04681 (Moving MNIST); Eslami et al. 2016, arXiv 1603.08575
    (multi-MNIST), with the digits of scikit-learn.
    """

    counts: Sequence[int] = (2,)
    speed: Sequence[float] = (0.02, 0.06)
    digit_size: Sequence[float] = (0.35, 0.4)
    blend: str = "max"
    images: str = "train"

    shape_names = tuple(str(digit) for digit in range(10))

    def __post_init__(self) -> None:
        super().__post_init__()
        span = require_range("sim.digit_size", self.digit_size, above=0)
        object.__setattr__(self, "digit_size", span)
        self.require_room("sim.digit_size", span[1] / 2)
        if self.blend not in BLENDS:
            raise DataError(f"sim.blend={self.blend}: must be one of {', '.join(BLENDS)}")
        if self.images not in list(handwriting.STRETCHES):
            raise DataError(f"sim.images={self.images}: must be one of {', '.join(handwriting.STRETCHES)}")
        handwriting.load()  # before a file is begun, if it cannot

    def for_split(self, name: str) -> "Digits":
        """This world with the images of a split."""
        return replace(self, images=name)

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Digits anywhere between the walls, `apart`, moving in random directions."""
        exists = self.draw_counts(n, rng)
        sizes = rng.uniform(*self.digit_size, exists.shape) / 2
        places = self.draw_places(sizes, exists, rng)
        extra = {"images": rng.integers(*handwriting.stretch(self.images), exists.shape)}
        return State(places, self.draw_velocities(n, rng), {**extra, "sizes": sizes, "present": exists})

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """One frame; nobody acts and there is no reward."""
        reach = state.extra["sizes"][..., None]
        positions, velocities = reflect(state.positions, state.velocities, reach, 1 - reach)
        return peaceful_step(State(positions, velocities, state.extra))

    @staticmethod
    def reach(sizes: np.ndarray, shapes: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Distance from a wall at which a digit bounces: half the edge of its square."""
        return sizes

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Sizes, labels and presence of the digits, and the indices of their images, by their key in the
        dataset."""
        sizes = states.extra["sizes"].astype(np.float32)
        images, present = states.extra["images"], states.extra["present"]
        return {
            "sizes": sizes,
            "masses": np.ones_like(sizes),
            "colors": np.ones((*sizes.shape, 3), np.float32),
            "present": present,
            "layers": np.zeros(sizes.shape, np.int64),
            "shapes": handwriting.load()[1][images],
            "sources": np.where(present, images, -1)[:, 0],
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames uint8 "... size size 3" and masks uint8 "... size size"."""
        leading = states.positions.shape[:-2]
        flat = states.map(lambda array: array.reshape(-1, *array.shape[len(leading) :]))
        frames = np.empty((len(flat.positions), size, size, 3), np.uint8)
        masks = np.zeros((len(flat.positions), size, size), np.uint8)
        for start in range(0, len(frames), _BATCH):
            batch = slice(start, start + _BATCH)
            light = self._draw(flat.map(lambda array, batch=batch: array[batch]), masks[batch])
            # By way of int32, because NumPy turns floats into bytes one by one.
            frames[batch] = (255 * light + np.float32(0.5)).astype(np.int32)[..., None]
        return frames.reshape(*leading, *frames.shape[1:]), masks.reshape(*leading, *masks.shape[1:])

    def _draw(self, states: State, masks: np.ndarray) -> np.ndarray:
        """Brightness "m size size", float32, of states "m"; writes labels into masks "m size size"."""
        size = masks.shape[-1]
        width = min(int(self.digit_size[1] * size) + 1, size)
        edges, present = 2 * states.extra["sizes"], states.extra["present"]
        corners = states.positions - edges[..., None] / 2
        first = np.clip(np.ceil(corners * size - 0.5), 0, size - width).astype(np.intp)
        points = pixel_centres(size)[first[..., None] + np.arange(width)] - corners[..., None]
        points /= edges[..., None, None]
        light, brightest = np.zeros(masks.shape, np.float32), np.full(masks.shape, _INK, np.float32)
        views = [
            sliding_window_view(array, (width, width), axis=(1, 2), writeable=True)
            for array in (light, brightest, masks)
        ]
        for k in range(edges.shape[1]):
            frame = np.flatnonzero(present[:, k])
            column, row = first[frame, k].T
            where = frame, row, column
            images = handwriting.load()[0][states.extra["images"][frame, k]]
            ink = handwriting.enlarge(images, *points[frame, k].swapaxes(0, 1))
            below, best, labels = (view[where] for view in views)
            wins = (ink > best) | ((ink == best) & (labels == 0))
            views[0][where] = np.maximum(below, ink) if self.blend == "max" else np.minimum(below + ink, 1)
            views[1][where] = np.where(wins, ink, best)
            views[2][where] = np.where(wins, np.uint8(k + 1), labels)
        return light
