"""Handwritten digits that move over each other, after Moving MNIST, or stand still, after multi-MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from data_gen.drawing.handwriting import SPLIT_SHARES, enlarge, load_digit_images, split_range
from data_gen.drawing.windows import pixel_shares
from data_gen.errors import DataError, require_choice, require_range
from data_gen.sims._batches import render_batches
from data_gen.sims._bouncing import BouncingWorld, reflect
from data_gen.simulator import State, Step, register, uneventful_step

BLENDS = ("max", "add")

_BATCH = 256  # frames drawn at once
_INK = 0.5  # least brightness of a pixel that belongs to a digit


@register
@dataclass(frozen=True, kw_only=True)
class Digits(BouncingWorld):
    """White digits on black that bounce off the walls and pass through each other.

    A digit is drawn in a square, whose middle is its position. In the dataset, half the edge of the square is
    its size, and the digit that it shows is its shape. In the masks a pixel belongs to the digit that is
    brightest there (the first of equals), if it has at least half of full brightness.

    digit_size: [lowest, highest] edge of the square
    blend: overlap of digits: max, the brightest shows; or add, light adds up to white
    images: train, val or test, disjoint sets of images; a split of a dataset uses its own

    Source: Srivastava et al. 2015, arXiv 1502.04681 (Moving MNIST); Eslami et al. 2016, arXiv 1603.08575
    (multi-MNIST), with the digits of scikit-learn.
    """

    counts: Sequence[int] = (2,)
    speed: tuple[float, float] = (0.02, 0.06)
    digit_size: tuple[float, float] = (0.35, 0.4)
    blend: str = "max"
    images: str = "train"

    shape_names = tuple(str(digit) for digit in range(10))

    def __post_init__(self) -> None:
        super().__post_init__()
        digit_size = require_range("sim.digit_size", self.digit_size, above=0)
        object.__setattr__(self, "digit_size", digit_size)  # a list, when it comes from YAML
        self.require_room("sim.digit_size", digit_size[1] / 2)
        require_choice("sim.blend", self.blend, BLENDS)
        if self.images not in list(SPLIT_SHARES):
            raise DataError(f"sim.images={self.images}: must be one of {', '.join(SPLIT_SHARES)}")
        load_digit_images()  # fails before a file is begun

    def for_split(self, name: str) -> Digits:
        """Return this world with the images of a split."""
        return replace(self, images=name)

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample digits anywhere between the walls, `apart`, moving in random directions."""
        exists = self.sample_presence(n, rng)
        sizes = rng.uniform(*self.digit_size, exists.shape) / 2
        positions = self.sample_positions(sizes, exists, rng)
        images = rng.integers(*split_range(self.images), exists.shape)
        velocities = self.sample_velocities(n, rng)
        return State(positions, velocities, {"images": images, "sizes": sizes, "present": exists})

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; nobody acts and there is no reward."""
        reach = state.extra["sizes"][..., None]
        positions, velocities = reflect(state.positions, state.velocities, reach, 1 - reach)
        return uneventful_step(State(positions, velocities, state.extra))

    @staticmethod
    def reach(sizes: np.ndarray, shapes: np.ndarray, shape_names: Sequence[str]) -> np.ndarray:
        """Return the distance from a wall at which a digit bounces: half the edge of its square."""
        return sizes

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return sizes, labels, presence and image indices of the digits, by their keys in the dataset."""
        sizes = states.extra["sizes"].astype(np.float32)
        images, present = states.extra["images"], states.extra["present"]
        _, labels = load_digit_images()
        return {
            "sizes": sizes,
            "masses": np.ones_like(sizes),
            "colors": np.ones((*sizes.shape, 3), np.float32),
            "present": present,
            "layers": np.zeros(sizes.shape, np.int64),
            "shapes": labels[images],
            "sources": np.where(present, images, -1)[:, 0],
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw frames uint8 "... size size 3" and masks uint8 "... size size"."""
        return render_batches(states, size, self._draw_frames, _BATCH)

    def _draw_frames(self, states: State, frames: np.ndarray, masks: np.ndarray) -> None:
        """Draw states "m": write frames "m h w 3" and labels into masks "m h w"."""
        light = self._draw(states, masks)
        # By way of int32, as NumPy converts floats to bytes one by one.
        frames[:] = (255 * light + np.float32(0.5)).astype(np.int32)[..., None]

    def _draw(self, states: State, masks: np.ndarray) -> np.ndarray:
        """Draw states "m": return the brightness "m h w", float32, and write labels into masks "m h w"."""
        # 1. Place a window of w pixels around each digit, and find its pixels in the square of the digit.
        size = masks.shape[-1]
        width = min(int(self.digit_size[1] * size) + 1, size)
        edges, present = 2 * states.extra["sizes"], states.extra["present"]  # m k
        corners = states.positions - edges[..., None] / 2  # m k 2, of the squares
        first = np.clip(np.ceil(corners * size - 0.5), 0, size - width).astype(np.intp)  # m k 2
        points = pixel_shares(size)[first[..., None] + np.arange(width)] - corners[..., None]
        points /= edges[..., None, None]  # m k 2 w, shares of an edge
        # 2. Blend the digits one after the other; a pixel belongs to the brightest so far.
        light, brightest = np.zeros(masks.shape, np.float32), np.full(masks.shape, _INK, np.float32)
        light_windows, brightest_windows, label_windows = (
            sliding_window_view(array, (width, width), axis=(1, 2), writeable=True)
            for array in (light, brightest, masks)
        )
        digit_images, _ = load_digit_images()
        for k in range(edges.shape[1]):
            frame = np.flatnonzero(present[:, k])
            column, row = first[frame, k].T
            window = frame, row, column
            images = digit_images[states.extra["images"][frame, k]]
            ink = enlarge(images, *points[frame, k].swapaxes(0, 1))  # m' w w
            below, best, labels = light_windows[window], brightest_windows[window], label_windows[window]
            wins = (ink > best) | ((ink == best) & (labels == 0))
            light_windows[window] = (
                np.maximum(below, ink) if self.blend == "max" else np.minimum(below + ink, 1)
            )
            brightest_windows[window] = np.where(wins, ink, best)
            label_windows[window] = np.where(wins, np.uint8(k + 1), labels)
        return light
