"""A Gymnasium environment as a recording sees it: its frames, its actions, and for ours its true states."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_gen.errors import DataError, did_you_mean
from data_gen.gym import SimulatorEnv, gymnasium  # registers ours
from data_gen.media.reading import fit
from data_gen.simulator import Simulator

Box, Discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete
FRAMES = ("auto", "observation", "render")  # where frames come from


@dataclass(frozen=True)
class Actions:
    """The actions of an environment, as a dataset file holds them.

    field: key in the file, `actions` or `actions_continuous`; None where nobody acts
    count: number of different actions; 0 for numbers
    low, high: "a", limits of each number of an action, which may be infinite
    first: the environment's number for action 0
    """

    field: str | None
    count: int = 0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    first: int = 0

    @classmethod
    def of(cls, space: Any, name: str) -> Actions:
        """Describe the actions of a space.

        Raises:
            DataError: they are neither numbered nor vectors of numbers.
        """
        if isinstance(space, Discrete):
            return cls("actions", int(space.n), first=int(space.start))
        if isinstance(space, Box):
            low, high = (tuple(bound.ravel().astype(float).tolist()) for bound in (space.low, space.high))
            return cls("actions_continuous", 0, low, high)
        raise DataError(
            f"env={name}: its actions are {type(space).__name__}, and a dataset holds Discrete or Box; wrap "
            "the environment so that it has one of them"
        )

    def stored(self, action: Any) -> np.ndarray:
        """Return an action as in the file: int64, or float32 "a"."""
        if self.field == "actions_continuous":
            return np.asarray(action, np.float32).ravel()
        return np.asarray(int(action) - self.first, np.int64)

    def none(self) -> np.ndarray:
        """Return the entry of a frame to which no action led."""
        return np.zeros(len(self.low), np.float32) if self.low else np.zeros((), np.int64)


@dataclass(frozen=True)
class Environment:
    """An open environment.

    name: id, for messages
    env: of Gymnasium
    actions: as a file holds them
    renders: whether frames are rendered; else they are the observations
    image_size: pixels along an edge of recorded frames; None for those of the environment
    crop: whether frames of another shape are cropped to the middle, instead of being squeezed
    """

    name: str
    env: Any
    actions: Actions
    renders: bool
    image_size: int | None
    crop: bool

    @property
    def simulator(self) -> Simulator | None:
        """The simulator behind one of our environments, whose true states are known; None for others."""
        own = self.env.unwrapped
        return own.simulator if isinstance(own, SimulatorEnv) else None

    def frame(self, observation: Any) -> np.ndarray:
        """Return the frame of the present state, uint8 "h w 3".

        Raises:
            DataError: the environment renders none.
        """
        frame = _call(self.name, self.env.render) if self.renders else observation
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim not in (2, 3):
            raise DataError(f"env={self.name}: renders {type(frame).__name__}, and no picture uint8 'h w 3'")
        rgb = frame if frame.ndim == 3 else frame[..., None]
        rgb = np.ascontiguousarray(np.broadcast_to(rgb[..., :3], (*rgb.shape[:2], 3)))
        size = self.image_size
        return rgb if size is None else fit(rgb, (size, size), self.crop)

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        """Start an episode; return observation and info."""
        return _call(self.name, self.env.reset, seed=seed)


def open_environment(
    name: str, arguments: Mapping[str, Any], frames: str, image_size: int | None, crop: bool
) -> Environment:
    """Make an environment of Gymnasium, rendering where its observations are no images.

    name: id, or MODULE:ID, which imports the module that registers it
    frames: one of FRAMES

    Raises:
        DataError: there is no such environment, it lacks a package, shows no images, or has actions of
            another kind.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no window is opened, also without a screen
    env = _make(name, arguments)
    is_ours = isinstance(env.unwrapped, SimulatorEnv)
    if is_ours and image_size is not None:
        env, image_size = _make(name, {**arguments, "image_size": image_size}), None
    renders = frames == "render" or (frames == "auto" and not _is_image(env.observation_space))
    if renders:
        if "rgb_array" not in env.metadata.get("render_modes", ()):
            raise DataError(
                f"env={name}: shows no images, neither as observations ({env.observation_space}) nor by "
                "render_mode=rgb_array; name another environment"
            )
        env = _make(name, {**arguments, "render_mode": "rgb_array"})
    elif not _is_image(env.observation_space):
        raise DataError(
            f"env={name}: its observations are no images ({env.observation_space}); frames=render"
        )
    if is_ours and not env.unwrapped.simulator.has_actions:
        return Environment(name, env, Actions(None), renders, image_size, crop)
    return Environment(name, env, Actions.of(env.action_space, name), renders, image_size, crop)


def _make(name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return _call(name, gymnasium.make, name, **arguments)
    except TypeError as error:  # of the environment's own signature
        words = _first_line(error).partition(" was raised from")[0]
        raise DataError(f"arguments={dict(arguments)}: env={name} does not take them ({words})") from None


def _call(name: str, function: Any, *arguments: Any, **named: Any) -> Any:
    """Call a function of Gymnasium; what it refuses becomes one line."""
    try:
        return function(*arguments, **named)
    except gymnasium.error.DependencyNotInstalled as error:
        raise DataError(f"env={name}: {_first_line(error)}") from None
    except gymnasium.error.Error as error:
        known = did_you_mean(name, gymnasium.registry)
        remedy = known if known.startswith("did") else "MODULE:ID imports the module that registers it"
        words = _first_line(error).partition(". ")[0].rstrip(".")
        raise DataError(f"env={name}: {words}; {remedy}") from None
    except ImportError as error:
        words = _first_line(error).partition(". ")[0]
        raise DataError(f"env={name}: {words}; install the package that has the environment") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_image(space: Any) -> bool:
    """Return whether observations are pictures, uint8 "h w", "h w 1" or "h w 3"."""
    if not isinstance(space, Box) or space.dtype != np.uint8:
        return False
    return len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[-1] in (1, 3))
