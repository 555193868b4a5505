"""Pong on the Atari: real frames, with the positions of ball and paddles from the console's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_gen.errors import require_number
from data_gen.sims._ale import COLUMNS
from data_gen.sims.atari import Atari
from data_gen.simulator import register

# Bytes of the console's memory that hold x and y of each object (Anand et al. 2019, arXiv 1906.08226), and
# the offset from them to the middle of its image on the screen, in pixels: measured on screens, exact to a
# pixel, as an object may be drawn a row above or below.
_MEMORY_BYTES = {"player": (46, 51), "opponent": (45, 50), "ball": (49, 54)}
_OFFSET = np.array([[-46.0, -5.5], [-46.0, -7.0], [-48.0, -12.0]])
_MIN_BALL_Y, _MIN_OPPONENT_Y = 46, 21  # in memory, of an object that is drawn

_RGB = np.array([[92, 186, 92], [213, 130, 74], [236, 236, 236]]) / 255
_RADII = (8.0, 8.0, 2.0)  # half the height
_SHAPES = (0, 0, 1)

_STAY, _UP, _DOWN = 0, 1, 2
_NEAR = 4.0  # pixels: a paddle that is no farther from the ball stays


@register
@dataclass(frozen=True, kw_only=True)
class Pong(Atari):
    """Pong with three actions: stay, up, down. Objects: the player (right), the opponent, the ball.

    follow: share of the frames in which the player follows the ball instead of the random policy

    Positions are in pixels of the shown part of the screen, whose height counts as its width. An object that
    is not drawn, such as the ball between two points, is not present and has the position 0. At the moment of
    a point the memory has lost the ball while the screen still shows it.
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
    def buttons(self) -> list[Any]:
        """The emulator's input for the actions stay, up and down."""
        stay, _, right, left, *_ = super().buttons  # of the console's paddle: right is up
        return [stay, right, left]

    def choose(self, action: int, memory: np.ndarray, rng: np.random.Generator) -> int:
        """Follow the ball with probability `follow`, else take the action of the random policy."""
        if rng.random() >= self.follow:
            return action
        positions, visible = _screen_positions(memory)
        below = positions[2, 1] - positions[0, 1]
        if not visible[2] or abs(below) <= _NEAR:
            return _STAY
        return _DOWN if below > 0 else _UP

    def truth(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        """Return positions, velocities and visibility of the three objects, and their constants."""
        positions, visible = _screen_positions(memory)
        top, bottom = self.rows
        positions = (positions - [0, top]) * [1, COLUMNS / (bottom - top)]
        velocities = np.diff(positions, axis=1)
        visible, is_moving = visible[:, 1:], (visible[:, 1:] & visible[:, :-1])[..., None]
        constant = {
            "sizes": np.array(_RADII, np.float32),
            "layers": np.zeros(3, np.int64),
            "shapes": np.array(_SHAPES, np.int64),
        }
        return {
            "positions": np.where(visible[..., None], positions[:, 1:], 0.0),
            "velocities": np.where(is_moving, velocities, 0.0),
            "colors": np.broadcast_to(_RGB.astype(np.float32), (*visible.shape, 3)),
            **{key: np.broadcast_to(value, visible.shape) for key, value in constant.items()},
            "present": visible,
            "in_camera": visible,
            "ids": np.where(visible, np.arange(1, 4), 0),
        }


def _screen_positions(memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of each object "... 3 2", in pixels of the screen, and whether it is drawn."""
    in_memory = memory[..., list(_MEMORY_BYTES.values())].astype(np.float64)
    _, opponent_y, ball_y = np.moveaxis(in_memory[..., 1], -1, 0)
    visible = np.stack(
        [np.ones(ball_y.shape, bool), opponent_y >= _MIN_OPPONENT_Y, ball_y >= _MIN_BALL_Y], axis=-1
    )
    return in_memory + _OFFSET, visible
