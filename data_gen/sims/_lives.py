"""Lives of sprites that cross a picture: where, how large, of which shape and colour, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DRAWS = 7  # random numbers of a life

Life = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Lives:
    """Law of the lives.

    low, high: coordinates of the edges of the inner square, whole numbers
    speed: per frame
    edge: height and width of a sprite, before scaling
    scale, ratio: [lowest, highest] factors of both, and of height over width
    shapes, colors: number of each
    """

    low: int
    high: int
    speed: float
    edge: float
    scale: tuple[float, float]
    ratio: tuple[float, float]
    shapes: int
    colors: int

    def from_uniforms(self, uniforms: np.ndarray) -> Life:
        """Return lives from numbers uniform in [0, 1), "... 7": arrays "...", and "... 2" for x and y.

        starts: the first place of the centre; velocities; boxes: width and height, whole numbers;
        shapes, hues: indices.
        """
        side, begin, end, scale, ratio, shape, hue = np.moveaxis(uniforms, -1, 0)
        begin, end = (self.low + np.floor(u * (self.high + 1 - self.low)) for u in (begin, end))
        # Sides: from the top, from the bottom, from the left, from the right, to the opposite one.
        side = np.floor(4 * side).astype(np.int64)
        near = np.where(side % 2 == 0, self.low, self.high)
        along_y = (side < 2)[..., None]
        start, goal = (
            np.where(along_y, np.stack([across, along], -1), np.stack([along, across], -1))
            for across, along in ((begin, near), (end, self.low + self.high - near))
        )
        way = goal - start
        scale = self.scale[0] + scale * (self.scale[1] - self.scale[0])
        stretch = np.sqrt(self.ratio[0] + ratio * (self.ratio[1] - self.ratio[0]))
        return {
            "starts": start,
            "velocities": self.speed * way / np.linalg.norm(way, axis=-1, keepdims=True),
            "boxes": np.rint(self.edge * scale[..., None] * np.stack([1 / stretch, stretch], -1)),
            "shapes": np.floor(self.shapes * shape).astype(np.int64),
            "hues": np.floor(self.colors * hue).astype(np.int64),
        }

    def centres(self, life: Life, age: np.ndarray) -> np.ndarray:
        """Return the centres "... 2" at an age in frames, whole numbers."""
        return np.rint(life["starts"] + age[..., None] * life["velocities"])

    def is_inside(self, centres: np.ndarray) -> np.ndarray:
        """Return whether centres "... 2" lie in the inner square, bool "..."."""
        return np.all((centres >= self.low) & (centres <= self.high), axis=-1)

    @property
    def longest(self) -> int:
        """No life is shown in more frames than this: along the diagonal, and the first and last rounded."""
        return int(np.sqrt(2) * (self.high - self.low) / self.speed) + 3

    def frames(self, life: Life) -> np.ndarray:
        """Return the number of frames in which each life is shown, int64 "..."."""
        ages = np.broadcast_to(np.arange(self.longest), (*life["hues"].shape, self.longest))
        of_ages = {name: life[name][..., None, :] for name in ("starts", "velocities")}
        inside = self.is_inside(self.centres(of_ages, ages))
        return np.logical_and.accumulate(inside, axis=-1).sum(-1)


def sample_stationary(
    lives: Lives, m: int, wait: int, birth: float, rng: np.random.Generator
) -> tuple[Life, np.ndarray]:
    """Sample the lives and phases, "m", of places at any time of an endless stream.

    A place goes through phases: 0 to wait are the frames without a sprite, of which the last repeats until
    the birth, in phase wait + 1. The sprite is shown from phase wait + 2 on; after it comes phase 0.

    A frame lies in a cycle in proportion to the expected length of the cycle, given its sprite's life, and
    anywhere in it. So lives are accepted in this proportion.

    birth: probability of a birth per frame in phase wait
    """
    absent = wait + 1 / birth + 1
    kept: list[Life] = []
    phases: list[np.ndarray] = []
    while sum(map(len, phases)) < m:
        life = lives.from_uniforms(rng.random((m, DRAWS)))
        length = absent + lives.frames(life)
        is_kept = rng.random(m) * (absent + lives.longest) < length
        time = (rng.random(m) * length)[is_kept]
        without = np.minimum(np.floor(time), wait)
        phase = np.where(time < absent - 1, without, np.floor(time - absent) + wait + 2)
        kept.append({name: array[is_kept] for name, array in life.items()})
        phases.append(phase.astype(np.int64))
    joined = {name: np.concatenate([life[name] for life in kept])[:m] for name in kept[0]}
    return joined, np.concatenate(phases)[:m]
