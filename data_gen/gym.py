"""Simulators as Gymnasium environments; importing this module registers them.

    import gymnasium, data_gen.gym
    env = gymnasium.make("seqvae/Avoidance-v0", num_balls=5)
    envs = gymnasium.make_vec("seqvae/Avoidance-v0", num_envs=64)     # one simulation, vectorised

Each file of configs/sim has its environment, apart from emulators, for which ale-py registers its own. In
worlds where nobody acts there is one action, to wait. Observations are frames uint8 "h w 3"; `info` holds
the true positions and velocities "k 2" and the number of collisions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from data_gen.cli.command import CONFIGS
from data_gen.errors import DataError, require_number
from data_gen.generate import read_settings
from data_gen.simulator import Simulator, State, Step, build_simulator

try:
    import gymnasium
    from gymnasium.spaces import Box, Discrete
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise ImportError(f"data_gen.gym needs gymnasium ({error}); pip install 'seqvae[gym]'") from None

EMULATORS = ("atari", "pong")
MAX_STEPS = 100  # of an episode, unless gymnasium.make is told otherwise

_RENDERED = 256  # pixels along an edge
_TEXT = (16, 32)  # rows and columns
_METADATA = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}


class _World:
    """What both kinds of environment consist of: a simulator, a state "n k ..." and how it is shown."""

    def _build(self, sim: str, image_size: int | None, render_mode: str | None, fields: dict) -> None:
        settings = read_settings([f"sim={sim}"])
        self.simulator: Simulator = build_simulator({**settings.sim, **fields})
        self.image_size = settings.image_size if image_size is None else image_size
        require_number("image_size", self.image_size, minimum=1, integer=True)
        if render_mode not in (None, *_METADATA["render_modes"]):
            raise DataError(f"render_mode={render_mode}: must be rgb_array or ansi")
        self.render_mode = render_mode
        self.state: State | None = None

    def _spaces(self) -> tuple[Box, Discrete]:
        frame = Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
        return frame, Discrete(max(self.simulator.num_actions, 1))

    def _start(self, n: int, rng: np.random.Generator, options: dict[str, Any] | None) -> None:
        """Draw a start for each of n sequences, or take the State that options["state"] holds."""
        self.state = (options or {}).get("state") or self.simulator.reset(n, rng)

    def _advance(self, actions: np.ndarray) -> Step:
        step = self.simulator.step(self.state, actions if self.simulator.num_actions else None)
        self.state = step.state
        return step

    def _frames(self, size: int) -> np.ndarray:
        return self.simulator.render(self.state, size)[0]

    def _shown(self) -> list[Any]:
        """What `render` returns of each sequence."""
        if self.render_mode == "rgb_array":
            return list(self._frames(_RENDERED))
        if self.render_mode == "ansi":
            return [_text(places, self.simulator.limit) for places in self.state.positions]
        return []


class SimulatorEnv(_World, gymnasium.Env):
    """One sequence of a simulator: each step is a frame, and the first observation is the start itself.

    So the observations after the steps are the frames of data_gen.simulator.simulate under the same actions.

    sim: a file in configs/sim.  image_size: by default that file's.  fields: of the simulator.
    reset(options={"state": State}) starts from a given state, of one sequence "1 k ...".
    """

    metadata = _METADATA

    def __init__(
        self, sim: str, image_size: int | None = None, render_mode: str | None = None, **fields: Any
    ) -> None:
        """Raises DataError for a simulator that cannot be made."""
        self._build(sim, image_size, render_mode, fields)
        self.observation_space, self.action_space = self._spaces()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple:
        super().reset(seed=seed)
        self._start(1, self.np_random, options)
        return self._frames(self.image_size)[0], self._info(0)

    def step(self, action: int) -> tuple:
        step = self._advance(np.array([action]))
        frame, info = self._frames(self.image_size)[0], self._info(int(step.collisions[0]))
        return frame, float(step.rewards[0]), bool(step.dones[0]), False, info

    def render(self) -> np.ndarray | str | None:
        """A frame of 256x256 pixels, or a text with the number of each object at its place."""
        return next(iter(self._shown()), None)

    def _info(self, collisions: int) -> dict[str, Any]:
        places = {"positions": self.state.positions[0], "velocities": self.state.velocities[0]}
        return {**places, "collisions": collisions}


class VectorSimulatorEnv(_World, gymnasium.vector.VectorEnv):
    """Many sequences of a simulator, simulated together. One generator draws all their starts.

    An episode that has ended, or has lasted max_episode_steps, starts anew at the next step, whose action is
    then without effect.
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
        """Raises DataError for a simulator that cannot be made."""
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
        self._over = np.zeros(self.num_envs, bool)
        return self._frames(self.image_size), self._info(np.zeros(self.num_envs, int))

    def step(self, actions: np.ndarray) -> tuple:
        anew = self._over
        step = self._advance(np.asarray(actions))
        if anew.any():
            self._restart(anew)
        self._steps = np.where(anew, 0, self._steps + 1)
        rewards, ended = np.where(anew, 0.0, step.rewards), step.dones & ~anew
        cut = np.zeros(self.num_envs, bool)
        if self.max_episode_steps is not None:
            cut = self._steps >= self.max_episode_steps
        self._over = ended | cut
        info = self._info(np.where(anew, 0, step.collisions))
        return self._frames(self.image_size), rewards, ended, cut, info

    def render(self) -> tuple | None:
        """What SimulatorEnv.render gives, of each sequence."""
        return None if self.render_mode is None else tuple(self._shown())

    def _restart(self, anew: np.ndarray) -> None:
        fresh = self.simulator.reset(int(anew.sum()), self.np_random)
        arrays = {name: array.copy() for name, array in self.state.arrays().items()}
        for name, array in fresh.arrays().items():
            arrays[name][anew] = array
        places = {name: arrays.pop(name) for name in ("positions", "velocities")}
        self.state = replace(self.state, **places, extra=arrays)

    def _info(self, collisions: np.ndarray) -> dict[str, np.ndarray]:
        info = {
            "positions": self.state.positions,
            "velocities": self.state.velocities,
            "collisions": collisions,
        }
        # Gymnasium's sign for "this entry is there": of every sequence
        return info | {f"_{key}": np.ones(self.num_envs, bool) for key in info}


def _text(places: np.ndarray, limit: float) -> str:
    """The box in letters, with the number of each object "k 2" that is in it."""
    grid = np.full(_TEXT, ".")
    cells = np.floor(places / limit * _TEXT[::-1]).astype(int)
    for number, (column, row) in enumerate(cells):
        if 0 <= row < _TEXT[0] and 0 <= column < _TEXT[1]:
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
