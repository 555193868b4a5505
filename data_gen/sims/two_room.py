"""Two rooms with a door between them, and an agent that an action moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError, require_number
from data_gen.sims._policies import sticky_vectors
from data_gen.simulator import Simulator, State, Step, register

EDGE = 224.0  # of the picture, and of the units of positions
INNER = (14.0, 210.0)  # where the agent may be, with its radius
BORDER = 4.0  # thickness of the lines around
WALL = (107.0, 117.0)  # in x
MARGIN = 1.75  # beyond the edges of the door, within which the agent passes
GAP = 0.5  # between the agent and the wall that has stopped it
RED = np.array([1.0, 0.0, 0.0])


@register
@dataclass(frozen=True, kw_only=True)
class TwoRoom(Simulator):
    """An agent in two rooms. An action is a vector in [-1, 1]^2, in units of its speed; there is no reward.

    A step into the wall beside the door ends in front of the wall, on the side from which it came.

    speed: pixels per frame, of a picture of 224
    size: std of the dot that stands for the agent, pixels; the radius with which it meets walls
    door: y of the middle of the door, pixels
    door_size: half of its height, pixels

    Source: the world "two room" of stable-worldmodel (arXiv 2605.21800), from its description.
    """

    speed: float = 5.0
    size: float = 7.0
    door: float = 49.0
    door_size: float = 14.0

    num_objects = 1
    action_low = (-1.0, -1.0)
    action_high = (1.0, 1.0)
    limit = EDGE

    def __post_init__(self) -> None:
        for name in ("speed", "size", "door_size"):
            require_number(f"sim.{name}", getattr(self, name), above=0)
        require_number("sim.door", self.door, minimum=0)
        low, high = INNER[0] + self.door_size, INNER[1] - self.door_size
        if not low <= self.door <= high:
            raise DataError(f"sim.door={self.door}: must be from {low:g} to {high:g}, within the wall")
        if 2 * self.size + self.speed >= WALL[0] - INNER[0]:
            raise DataError(f"sim.size={self.size}: the agent must fit into a room")

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample places uniformly in both rooms, at rest."""
        low, high = INNER[0] + self.size, INNER[1] - self.size
        left, right = WALL[0] - self.size - GAP, WALL[1] + self.size + GAP
        x = rng.uniform(0, (left - low) + (high - right), n)
        x = np.where(x < left - low, low + x, right + x - (left - low))
        positions = np.stack([x, rng.uniform(low, high, n)], -1)[:, None]
        return State(positions, np.zeros_like(positions))

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame; without actions the agent stays where it is."""
        before = state.positions[:, 0]
        move = 0.0 if actions is None else self.speed * np.clip(np.asarray(actions, np.float64), -1, 1)
        after = np.clip(before + move, INNER[0] + self.size, INNER[1] - self.size)
        # 1. the wall, but for the door
        x, y = after.T
        beside = np.abs(y - self.door) > self.door_size + MARGIN
        from_left = before[:, 0] < EDGE / 2
        stop_left, stop_right = WALL[0] - self.size, WALL[1] + self.size
        x = np.where(beside & from_left & (x > stop_left), stop_left - GAP, x)
        x = np.where(beside & ~from_left & (x < stop_right), stop_right + GAP, x)
        positions = np.stack([x, y], -1)[:, None]
        # 2. no rewards, no ends, no contacts of objects
        n = len(positions)
        new_state = State(positions, positions - state.positions, state.extra)
        return Step(new_state, np.zeros(n, np.float32), np.zeros(n, bool), np.zeros(n, np.int64))

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """Sample actions "n length 2" that mostly repeat the one before, so that the agent gets about."""
        return sticky_vectors(n, length, self.action_low, self.action_high, rng, change=(0.05, 0.15))

    def colours(self) -> np.ndarray:
        return RED[None]

    def render(self, states: State, size: int) -> tuple[np.ndarray, None]:
        """Draw a Gaussian dot over white rooms and black walls; pixels that a wall cuts are grey."""
        pixel = EDGE / size
        centres = (np.arange(size) + 0.5) * pixel
        position = states.positions[..., 0, :]
        across, down = ((centres - position[..., i, None]) ** 2 for i in (0, 1))  # ... size
        dot = np.exp(-(down[..., :, None] + across[..., None, :]) / (2 * self.size**2))[..., None]
        image = (1 - dot) * self._rooms(size)[..., None] + dot * RED
        return np.floor(255 * image + 0.5).astype(np.uint8), None

    def _rooms(self, size: int) -> np.ndarray:
        """Return the grey picture "size size" without the agent, 1 where there is no wall."""

        def share(low: float, high: float) -> np.ndarray:
            """Return the share of each pixel, along one axis, that lies in an interval."""
            edges = np.arange(size + 1) * (EDGE / size)
            overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
            return np.clip(overlap, 0, None) / (EDGE / size)

        whole, inner = share(INNER[0] - BORDER, INNER[1] + BORDER), share(*INNER)
        lines = np.outer(whole, whole) - np.outer(inner, inner)
        door = share(self.door - self.door_size, self.door + self.door_size)
        return 1 - lines - np.outer(inner - door, share(*WALL))
