"""Pong on the Atari: real frames, with the places of ball and paddles from the console's memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.errors import require_number
from data_gen.sims._ale import COLUMNS
from data_gen.sims.atari import Atari

# Bytes of the console's memory that hold x and y of each object (Anand et al. 2019, arXiv 1906.08226), and
# what turns them into the middle of what is drawn on the screen, in its pixels: measured on screens, within
# a pixel, because an object may be drawn a row above or below.
_OBJECTS = {"player": (46, 51), "opponent": (45, 50), "ball": (49, 54)}
_OFFSET = np.array([[-46.0, -5.5], [-46.0, -7.0], [-48.0, -12.0]])
_BALL_SEEN, _OPPONENT_SEEN = 46, 21  # the least y of an object that is drawn

_RGB = np.array([[92, 186, 92], [213, 130, 74], [236, 236, 236]]) / 255
_RADII = (8.0, 8.0, 2.0)  # half the height
_SHAPES = (0, 0, 1)

_STAY, _UP, _DOWN = 0, 1, 2
_NEAR = 4.0  # pixels within which the paddle is where the ball is


@dataclass(frozen=True, kw_only=True)
class Pong(Atari):
    """Pong with three actions: stay, up, down. Objects: the player (right), the opponent, the ball.

    follow: share of the frames in which the player goes after the ball, instead of as the random policy says.

    Positions are in pixels of the shown part of the screen, of which the height counts as its width. An
    object that is not drawn, as the ball between two points, is not present and has its place at 0; at the
    moment of a point the memory has lost the ball when the screen still shows it.
    """

    game: str = "pong"
    flicker: bool = False
    rows: tuple[int, int] = (34, 194)  # the field, without its borders and the score
    follow: float = 0.5

    num_objects = 3
    shape_names = ("paddle", "ball")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("sim.follow", self.follow, minimum=0, maximum=1)

    @property
    def buttons(self) -> list:
        stay, _, right, left, *_ = super().buttons  # of the console's paddle: right is up
        return [stay, right, left]

    def choose(self, action: int, memory: np.ndarray, rng: np.random.Generator) -> int:
        if rng.random() >= self.follow:
            return action
        places, seen = _places(memory)
        below = places[2, 1] - places[0, 1]
        if not seen[2] or abs(below) <= _NEAR:
            return _STAY
        return _DOWN if below > 0 else _UP

    def truth(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        places, seen = _places(memory)
        top, bottom = self.rows
        places = (places - [0, top]) * [1, COLUMNS / (bottom - top)]
        moved = np.diff(places, axis=1)
        seen, moving = seen[:, 1:], (seen[:, 1:] & seen[:, :-1])[..., None]
        constant = {
            "sizes": np.array(_RADII, np.float32),
            "layers": np.zeros(3, np.int64),
            "shapes": np.array(_SHAPES, np.int64),
        }
        return {
            "positions": np.where(seen[..., None], places[:, 1:], 0.0),
            "velocities": np.where(moving, moved, 0.0),
            "colors": np.broadcast_to(_RGB.astype(np.float32), (*seen.shape, 3)),
            **{key: np.broadcast_to(value, seen.shape) for key, value in constant.items()},
            "present": seen,
            "in_camera": seen,
            "ids": np.where(seen, np.arange(1, 4), 0),
        }


def _places(memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle of each object "... 3 2" in pixels of the whole screen, and which are drawn "... 3"."""
    raw = memory[..., list(_OBJECTS.values())].astype(np.float64)
    _, opponent, ball = np.moveaxis(raw[..., 1], -1, 0)
    seen = np.stack([np.ones(ball.shape, bool), opponent >= _OPPONENT_SEEN, ball >= _BALL_SEEN], axis=-1)
    return raw + _OFFSET, seen
