"""Any Atari game, played at random: frames, actions and rewards, but no truth about objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data_gen.errors import DataError, require_number
from data_gen.sims._ale import COLUMNS, ROWS, area_average, open_game
from data_gen.sims._policies import sticky_actions
from data_gen.simulator import register


@register
@dataclass(frozen=True, kw_only=True)
class Atari:
    """Game that records sequences (data_gen.simulator.Emulator).

    game: a name of ale_py.roms, such as breakout
    frame_skip: screens per frame; action and reward of a frame are those of all its screens
    flicker: whether a frame shows the maximum of its last two screens, for games that draw their objects in
        turns
    rows: first row of the screen that is shown, and the one after the last
    warm_up: range of the number of frames between the start of a game and the first frame of a sequence
    """

    game: str = "breakout"
    frame_skip: int = 4
    flicker: bool = True
    rows: tuple[int, int] = (0, ROWS)
    warm_up: tuple[int, int] = (0, 100)

    num_objects = 0
    limit = float(COLUMNS)
    shape_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_number("sim.frame_skip", self.frame_skip, minimum=1, integer=True)
        if not isinstance(self.flicker, bool):
            raise DataError(f"sim.flicker={self.flicker}: must be true or false")
        for key, most in {"rows": ROWS, "warm_up": 10**6}.items():
            pair = getattr(self, key)
            if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(x, int) for x in pair):
                raise DataError(f"sim.{key}={pair}: must be two whole numbers, [first, last]")
            if not 0 <= pair[0] <= pair[1] <= most:
                raise DataError(f"sim.{key}={list(pair)}: must rise, from 0 to {most}")
            object.__setattr__(self, key, tuple(pair))  # a list, when it comes from YAML
        if self.rows[0] == self.rows[1]:
            raise DataError(f"sim.rows={list(self.rows)}: shows nothing")

    @property
    def num_actions(self) -> int:
        return len(self.buttons)

    @property
    def buttons(self) -> list[Any]:
        """The emulator's input for each action: those that have an effect in this game."""
        return open_game(self.game).getMinimalActionSet()

    def choose(self, action: int, memory: np.ndarray, rng: np.random.Generator) -> int:
        """Return the action to take, given that of the random policy and the console's 128 bytes."""
        return action

    def truth(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        """Return the truth of the objects for the dataset, from the console's memory uint8 "n t+1 128".

        The first moment is the one before frame 0.
        """
        return {}

    def record(self, seeds: np.ndarray, length: int, size: int) -> dict[str, np.ndarray]:
        """Record sequences "n length ..." by the keys of the dataset, each determined by its seed."""
        played = [self._play(np.random.default_rng(seed), length, size) for seed in seeds]
        arrays = {key: np.stack([sequence[key] for sequence in played]) for key in played[0]}
        return arrays | self.truth(arrays.pop("memory"))

    def _play(self, rng: np.random.Generator, length: int, size: int) -> dict[str, np.ndarray]:
        # 1. Restart the game, and sample the warm-up and the actions.
        emulator, buttons = open_game(self.game), self.buttons
        emulator.reset_game()
        skipped = 1 + int(rng.integers(self.warm_up[0], self.warm_up[1] + 1))  # frames
        actions = sticky_actions(1, skipped + length, len(buttons), rng)[0]
        memory = np.empty((len(actions), emulator.getRAMSize()), np.uint8)
        screens = np.empty((len(actions), self.rows[1] - self.rows[0], COLUMNS, 3), np.uint8)
        rewards, dones = np.empty(len(actions), np.float32), np.empty(len(actions), bool)
        # 2. Play frame by frame; a game that is over starts again.
        for t in range(len(actions)):
            if emulator.game_over():
                emulator.reset_game()
            actions[t] = self.choose(int(actions[t]), emulator.getRAM(), rng)
            button = buttons[actions[t]]
            rewards[t] = sum(emulator.act(button) for _ in range(self.frame_skip - 1))
            last_but_one = emulator.getScreenRGB() if self.flicker and t >= skipped else None
            rewards[t] += emulator.act(button)
            dones[t], memory[t] = emulator.game_over(), emulator.getRAM()
            if t >= skipped:
                screen = emulator.getScreenRGB()
                screen = screen if last_but_one is None else np.maximum(screen, last_but_one)
                screens[t] = screen[slice(*self.rows)]
        return {
            "imgs": area_average(screens[skipped:], size),
            "memory": memory[skipped - 1 :],
            "rewards": rewards[skipped:],
            "dones": dones[skipped:],
            "actions": np.roll(actions[skipped:], -1),  # the first led to frame 0: on disk it comes last
        }
