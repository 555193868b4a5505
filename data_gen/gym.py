"""Simulators as Gymnasium environments; importing this module registers them.

    import gymnasium, data_gen.gym
    env = gymnasium.make("seqvae/Avoidance-v0", num_balls=5)
    envs = gymnasium.make_vec("seqvae/Avoidance-v0", num_envs=64)     # one simulation, vectorised

Each file of configs/sim has its environment, except for emulators, for which ale-py registers its own. In a
world where nobody acts there is one action, to wait. Observations are frames uint8 "h w 3"; `info` holds the
true positions and velocities "k 2" and the number of collisions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from data_gen.cli.command import CONFIGS
from data_gen.errors import DataError, require_number
from data_gen.generate import read_settings
from data_gen.simulator import Emulator, State, Step, build_simulator

try:
    import gymnasium
    from gymnasium.spaces import Box, Discrete
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise ImportError(f"data_gen.gym needs gymnasium ({error}); pip install 'seqvae[gym]'") from None

EMULATORS = ("atari", "pong")
MAX_STEPS = 100  # per episode, unless gymnasium.make is given another limit

_RENDER_SIZE = 256  # pixels along an edge
_TEXT_SHAPE = (16, 32)  # rows and columns
_METADATA = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}


class _World:
    """The simulator of an environment, with its state "n k ..." and the ways to show it."""

    state: State

    def _build(self, sim: str, image_size: int | None, render_mode: str | None, fields: dict) -> None:
        settings = read_settings([f"sim={sim}"])
        simulator = build_simulator({**settings.sim, **fields})
        if isinstance(simulator, Emulator):
            raise DataError(f"sim={sim}: is an emulator, with environments of its own in ale-py")
        self.simulator = simulator
        self.image_size = settings.image_size if image_size is None else image_size
        require_number("image_size", self.image_size, minimum=1, integer=True)
        if render_mode not in (None, *_METADATA["render_modes"]):
            raise DataError(f"render_mode={render_mode}: must be rgb_array or ansi")
        self.render_mode = render_mode

    def _spaces(self) -> tuple[Box, Discrete | Box]:
        frame = Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
        low, high = (np.array(x, np.float32) for x in (self.simulator.action_low, self.simulator.action_high))
        return frame, Box(low, high) if low.size else Discrete(max(self.simulator.num_actions, 1))

    def _start(self, n: int, rng: np.random.Generator, options: dict[str, Any] | None) -> None:
        """Take the State in options["state"], or sample a start for each of n sequences."""
        self.state = (options or {}).get("state") or self.simulator.reset(n, rng)

    def _advance(self, actions: np.ndarray) -> Step:
        step = self.simulator.step(self.state, actions if self.simulator.has_actions else None)
        self.state = step.state
        return step

    def _frames(self, size: int) -> np.ndarray:
        return self.simulator.render(self.state, size)[0]

    def _render_all(self) -> list[Any]:
        """Render each sequence in the render mode; return an empty list without one."""
        if self.render_mode == "rgb_array":
            return list(self._frames(_RENDER_SIZE))
        if self.render_mode == "ansi":
            return [_text(positions, self.simulator.limit) for positions in self.state.positions]
        return []


class SimulatorEnv(_World, gymnasium.Env):
    """One sequence of a simulator: each step is a frame, and the first observation is the start itself.

    The observations after the steps are the frames of data_gen.simulator.simulate under the same actions.

    sim: name of a file in configs/sim
    image_size: by default the one in that file
    fields: of the simulator

    reset(options={"state": State}) starts from a given state of one sequence, "1 k ...".
    """

    metadata = _METADATA

    def __init__(
        self, sim: str, image_size: int | None = None, render_mode: str | None = None, **fields: Any
    ) -> None:
        """Build the simulator; raise DataError where that is impossible."""
        self._build(sim, image_size, render_mode, fields)
        self.observation_space, self.action_space = self._spaces()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple:
        super().reset(seed=seed)
        self._start(1, self.np_random, options)
        return self._frames(self.image_size)[0], self._info(0)

    def step(self, action: Any) -> tuple:
        step = self._advance(np.array([action]))
        frame, info = self._frames(self.image_size)[0], self._info(int(step.collisions[0]))
        return frame, float(step.rewards[0]), bool(step.dones[0]), False, info

    def render(self) -> Any:
        """Return a frame of 256x256 pixels, or a text with the number of each object at its position."""
        return next(iter(self._render_all()), None)

    def _info(self, collisions: int) -> dict[str, Any]:
        return {
            "positions": self.state.positions[0],
            "velocities": self.state.velocities[0],
            "collisions": collisions,
        }


class VectorSimulatorEnv(_World, gymnasium.vector.VectorEnv):
    """Many sequences of a simulator, simulated together; one generator draws all their starts.

    An episode that has ended, or has lasted max_episode_steps, starts again at the next step, whose action
    then has no effect.
    """

    metadata = {**_METADATA, "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        sim: str,
        num_envs: int = 1,
        image_size: int | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **fields: Any,
    ) -> None:
        """Build the simulator; raise DataError where that is impossible."""
        require_number("num_envs", num_envs, minimum=1, integer=True)
        self._build(sim, image_size, render_mode, fields)
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        self.single_observation_space, self.single_action_space = self._spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple:
        super().reset(seed=seed)
        self._start(self.num_envs, self.np_random, options)
        self._steps = np.zeros(self.num_envs, int)
        self._is_over = np.zeros(self.num_envs, bool)
        return self._frames(self.image_size), self._info(np.zeros(self.num_envs, int))

    def step(self, actions: np.ndarray) -> tuple:
        restarts = self._is_over
        step = self._advance(np.asarray(actions))
        if restarts.any():
            self._restart(restarts)
        self._steps = np.where(restarts, 0, self._steps + 1)
        rewards, terminated = np.where(restarts, 0.0, step.rewards), step.dones & ~restarts
        truncated = np.zeros(self.num_envs, bool)
        if self.max_episode_steps is not None:
            truncated = self._steps >= self.max_episode_steps
        self._is_over = terminated | truncated
        info = self._info(np.where(restarts, 0, step.collisions))
        return self._frames(self.image_size), rewards, terminated, truncated, info

    def render(self) -> tuple | None:
        """Return the result of SimulatorEnv.render for each sequence."""
        return None if self.render_mode is None else tuple(self._render_all())

    def _restart(self, restarts: np.ndarray) -> None:
        starts = self.simulator.reset(int(restarts.sum()), self.np_random)
        arrays = {name: array.copy() for name, array in self.state.arrays().items()}
        for name, array in starts.arrays().items():
            arrays[name][restarts] = array
        positions, velocities = arrays.pop("positions"), arrays.pop("velocities")
        self.state = replace(self.state, positions=positions, velocities=velocities, extra=arrays)

    def _info(self, collisions: np.ndarray) -> dict[str, np.ndarray]:
        info = {
            "positions": self.state.positions,
            "velocities": self.state.velocities,
            "collisions": collisions,
        }
        # Under its name with an underscore, Gymnasium marks the sequences that have an entry: here all.
        return info | {f"_{key}": np.ones(self.num_envs, bool) for key in info}


def _text(positions: np.ndarray, limit: float) -> str:
    """Draw the box in letters, with the number of each object "k 2" at its position in it."""
    grid = np.full(_TEXT_SHAPE, ".")
    cells = np.floor(positions / limit * _TEXT_SHAPE[::-1]).astype(int)
    for number, (column, row) in enumerate(cells):
        if 0 <= row < _TEXT_SHAPE[0] and 0 <= column < _TEXT_SHAPE[1]:
            grid[row, column] = str(number % 10)
    return "\n".join("".join(row) for row in grid)


def register() -> None:
    """Register seqvae/Avoidance-v0 and its siblings; done when this module is imported."""
    for file in sorted((CONFIGS / "sim").glob("*.yaml")):
        if file.stem not in EMULATORS:
            name = "".join(word.capitalize() for word in file.stem.split("_"))
            gymnasium.register(
                f"seqvae/{name}-v0",
                entry_point="data_gen.gym:SimulatorEnv",
                vector_entry_point="data_gen.gym:VectorSimulatorEnv",
                max_episode_steps=MAX_STEPS,
                kwargs={"sim": file.stem},
            )


register()
