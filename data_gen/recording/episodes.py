"""Episodes of an environment, and the sequences of one length that are cut out of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.recording.environment import Environment
from data_gen.recording.policies import Policy
from data_gen.simulator import Simulator, State
from data_gen.splits import draw_states


@dataclass(frozen=True)
class Episode:
    """One episode of t frames, the first of which is that of its start.

    pixels: its frames uint8 "t h w 3", compressed
    shape: of the frames
    arrays: the other arrays "t ..." by their keys in the dataset; an action stands under the frame that it
        led to, and the first one is 0
    """

    pixels: bytes
    shape: tuple[int, ...]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.shape[0]

    def frames(self) -> np.ndarray:
        return np.frombuffer(zlib.decompress(self.pixels), np.uint8).reshape(self.shape)


def record_episode(environment: Environment, policy: Policy, seed: int, steps: int) -> Episode:
    """Act until the episode ends, or for `steps` actions.

    A frame is done where the environment has terminated the episode; one that is cut off is not.

    Raises:
        DataError: a frame is no picture, or of another size than the one before; or the policy's action is
            none of the environment's.
    """
    name, env, actions = environment.name, environment.env, environment.actions
    truth = _Truth(environment.simulator, env.unwrapped)
    observation, info = environment.reset(seed)
    frames = [] if truth.known else [environment.frame(observation)]
    truth.note(info)
    led, rewards, dones = [actions.none()], [0.0], [False]
    for _ in range(steps):
        action = policy(observation, info)
        if not env.action_space.contains(action):
            raise DataError(f"policy: gives the action {action!r}, and env={name} takes {env.action_space}")
        observation, reward, terminated, truncated, info = env.step(action)
        if not truth.known:
            frames.append(environment.frame(observation))
        truth.note(info)
        led.append(actions.stored(action))
        rewards.append(float(reward))
        dones.append(bool(terminated))
        if terminated or truncated:
            break
    arrays = {"rewards": np.array(rewards, np.float32), "dones": np.array(dones)}
    if actions.field is not None:
        arrays[actions.field] = np.stack(led)
    if truth.known:
        arrays |= truth.arrays()
    elif any(frame.shape != frames[0].shape for frame in frames):
        raise DataError(f"env={name}: its frames differ in size; image_size= brings them to one")
    pixels = arrays.pop("imgs") if truth.known else np.stack(frames)
    return Episode(zlib.compress(pixels.tobytes(), 1), pixels.shape, arrays)


class _Truth:
    """True states of an episode in one of our worlds, which also draw its frames.

    known: whether there are any
    """

    def __init__(self, simulator: Simulator | None, env: Any) -> None:
        self.simulator, self.env, self.known = simulator, env, simulator is not None
        self.states: list[State] = []
        self.collisions: list[int] = []

    def note(self, info: dict[str, Any]) -> None:
        """Keep the present state."""
        if self.known:
            self.states.append(self.env.state)
            self.collisions.append(int(info["collisions"]))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return frames and truth, "t ...", by their keys in the dataset."""
        assert self.simulator is not None
        by_name = [state.arrays() for state in self.states]
        joined = {name: np.concatenate([a[name] for a in by_name]) for name in by_name[0]}  # t k ...
        positions, velocities = joined.pop("positions"), joined.pop("velocities")
        state = State(positions, velocities, joined)
        states = state.map(lambda x: x[None])  # 1 t k ..., as worlds draw and describe whole sequences
        drawn = draw_states(self.simulator, states, self.env.image_size)
        return {
            "positions": positions,
            "velocities": velocities,
            "collisions": np.array(self.collisions, np.int64),
            **{key: array[0] for key, array in drawn.items()},
        }


def starts_of(frames: int, length: int) -> list[int]:
    """Return the first frame of each sequence of an episode: one after the other from its start.

    If frames are left over, one more sequence ends with the episode and overlaps the one before it.
    """
    starts = list(range(0, frames - length + 1, length))
    return starts if not starts or starts[-1] + length == frames else [*starts, frames - length]


def cut_episodes(episodes: Sequence[tuple[int, Episode]], length: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield the sequences of numbered episodes, episode by episode: arrays "n t ..." by their keys.

    No sequence crosses an end. Those of one episode share a source, its number.
    """
    for number, episode in episodes:
        starts = starts_of(len(episode), length)
        if not starts:
            continue
        arrays = {"imgs": episode.frames(), **episode.arrays}
        cut = {key: np.stack([x[s : s + length] for s in starts]) for key, x in arrays.items()}
        for key in {"actions", "actions_continuous"} & cut.keys():
            cut[key] = np.roll(cut[key], -1, axis=1)  # on disk under the frame before; the first comes last
        yield {**cut, "sources": np.full((len(starts), 1), number, np.int64)}
