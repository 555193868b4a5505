"""Simulated worlds: their records, the base class of a world, and the loop that runs one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from data_gen.drawing.colours import PALETTE, palette_rgb
from data_gen.drawing.discs import draw_discs
from data_gen.errors import DataError


@dataclass(frozen=True)
class State:
    """State of n sequences, at one moment ("n ...") or at t of them ("n t ...").

    positions: "... k 2", float64, simulator units, x right and y down
    velocities: "... k 2", float64, simulator units per frame
    extra: the other arrays of a world's state, by name, with the same leading axes
    """

    positions: np.ndarray
    velocities: np.ndarray
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def map(self, fn: Callable[[np.ndarray], np.ndarray]) -> State:
        """Apply fn to every array."""
        extra = {name: fn(array) for name, array in self.extra.items()}
        return State(fn(self.positions), fn(self.velocities), extra)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every array by its name."""
        return {"positions": self.positions, "velocities": self.velocities, **self.extra}


@dataclass(frozen=True)
class Step:
    """Result of one frame.

    state: the new state
    rewards: "n", float32, received on arriving at the new state
    dones: "n", bool
    collisions: "n", int64, contacts between objects within the frame
    """

    state: State
    rewards: np.ndarray
    dones: np.ndarray
    collisions: np.ndarray


def uneventful_step(state: State) -> Step:
    """Return a step to `state` without contacts, rewards and ends."""
    n = len(state.positions)
    return Step(state, np.zeros(n, np.float32), np.zeros(n, bool), np.zeros(n, np.int64))


@dataclass(frozen=True)
class Trajectory:
    """Sequences of states, "n t ...", with the results of their steps, "n t".

    actions: "n t", or vectors "n t a"; None where nobody acts; actions[:, t] acts between frame t and t + 1,
        and the last entry is the action that led to frame 0
    """

    states: State
    rewards: np.ndarray
    dones: np.ndarray
    collisions: np.ndarray
    actions: np.ndarray | None = None


class Simulator:
    """World of k objects, vectorised over n sequences: a frozen dataclass whose fields are its configuration.

    A world needs the attribute `num_objects` and the methods `reset` and `step`. For pictures and truth it
    also needs the sizes of its objects: an attribute `size` (one number, or one per object), `sizes` "n k" in
    the extra arrays of its states, or methods `sizes_of`, or `render` and `truth`, of its own. All other
    methods have defaults. Methods are pure: they change nothing, and draw only from the generator given.

    A world with walls, in which objects bounce off those of [0, limit]^2, also has a static method
    `reach(sizes, shapes, shape_names)`: the distance from a wall at which the centre of each object bounces.

    num_objects: k
    num_actions: number of discrete actions; 0 where nobody acts, or acts by numbers
    action_low, action_high: limits of each number of an action, in worlds in which actions are vectors
    limit: positions lie in [0, limit] in the picture, x to the right and y down
    shape_names: names of the shapes that the record `shapes` counts
    records_start: whether the first frame of a sequence is its start, and not the state after the first step
    """

    num_objects: int
    num_actions: int = 0
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    limit: float = 1.0
    shape_names: tuple[str, ...] = ("disc",)
    records_start: bool = False
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def has_actions(self) -> bool:
        """Whether somebody acts in this world."""
        return self.num_actions > 0 or len(self.action_low) > 0

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample n starts. They are no frames: the first frame is the state after the first step.

        In a world that `records_start` they are the first frames.
        """
        raise NotImplementedError

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame under actions "n" (int), or "n a" (float), and leave `state` as it is."""
        raise NotImplementedError

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray | None:
        """Sample the data policy's actions in the order in which they act; None where nobody acts.

        They are numbers "n length" (int64), or vectors "n length a" (float32). By default each is drawn
        uniformly.
        """
        if self.action_low:
            size = (n, length, len(self.action_low))
            return rng.uniform(self.action_low, self.action_high, size).astype(np.float32)
        return rng.integers(self.num_actions, size=(n, length)) if self.num_actions else None

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Return the sequences that belong in a dataset, bool "n"; the others are sampled again.

        By default all do.
        """
        return np.ones(len(trajectory.states.positions), dtype=bool)

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return the other records of the objects: arrays "... k" by their keys in the dataset.

        By default every object exists, is a disc of its size and colour, and is visible if a part of it lies
        in the picture. Keys, axes and types are those of data_gen.schema.FIELDS.
        """
        shape, sizes = states.positions.shape[:-1], self.sizes_of(states)
        reach = sizes[..., None]
        visible = np.all((states.positions > -reach) & (states.positions < self.limit + reach), axis=-1)
        return {
            "sizes": sizes.astype(np.float32),
            "colors": np.broadcast_to(self.colours().astype(np.float32), (*shape, 3)),
            "present": np.ones(shape, dtype=bool),
            "in_camera": visible,
            "ids": np.where(visible, np.arange(1, shape[-1] + 1), 0),
            "layers": np.zeros(shape, dtype=np.int64),
            "shapes": np.zeros(shape, dtype=np.int64),
        }

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw frames uint8 "... size size 3" and masks uint8 "... size size" (None for soft edges).

        By default objects are soft discs on black, without masks.
        """
        sizes = self.sizes_of(states)
        return draw_discs(states.positions, sizes, self.colours(), limit=self.limit, size=size), None

    def sizes_of(self, states: State) -> np.ndarray:
        """Return the radius of each object, "... k", in units of the positions.

        By default `sizes` of the states, or the attribute `size`.

        Raises:
            DataError: the world has neither.
        """
        sizes = states.extra.get("sizes", getattr(self, "size", None))
        if sizes is None:
            raise DataError(
                f"{type(self).__name__} has no sizes: give it a field `size` (a radius, in units of the "
                "positions) or put `sizes` into the extra arrays of its states; or write `render` and `truth`"
            )
        return np.broadcast_to(np.asarray(sizes, dtype=np.float64), states.positions.shape[:-1])

    def colours(self) -> np.ndarray:
        """Return the colour of each object, RGB "k 3" in [0, 1]; by default six of a palette in turn."""
        names = list(PALETTE)
        return palette_rgb([names[k % len(names)] for k in range(self.num_objects)])


@runtime_checkable
class Emulator(Protocol):
    """World that cannot be stepped from an arbitrary state, and records whole sequences instead.

    It has one method in place of those of Simulator; the attributes are the same.

    num_objects: 0 where the objects are not known
    """

    num_objects: int
    num_actions: int
    limit: float
    shape_names: tuple[str, ...]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def record(self, seeds: np.ndarray, length: int, size: int) -> dict[str, np.ndarray]:
        """Return sequences by the keys of the dataset, frames "n length size size 3" among them.

        seeds: int64 "n"; each sequence depends on its own seed alone.
        """
        ...


@runtime_checkable
class SplitDependent(Protocol):
    """World that has objects of its own for each split."""

    def for_split(self, name: str) -> Simulator:
        """Return the world of the split called train, val or test."""
        ...


@runtime_checkable
class Published(Protocol):
    """World whose sequences are those of a published set where the seed of the data is 0."""

    def published_starts(self, split: str, first: int, last: int) -> State | None:
        """Return the starts of sequences first ... last - 1 of the split called train, val or test.

        None where the configuration names no published set.
        """
        ...


def simulate(
    simulator: Simulator, start: State, length: int, actions: np.ndarray | None = None
) -> Trajectory:
    """Simulate `length` frames from `start` ("n k 2"), under actions "n length ..." in their order.

    In a world that records its start, the first action acts on nothing.
    """
    n = len(start.positions)
    states = start.map(lambda array: np.empty((n, length, *array.shape[1:]), array.dtype))
    rewards, dones = np.empty((n, length), np.float32), np.empty((n, length), bool)
    collisions = np.empty((n, length), np.int64)
    state = start
    for t in range(length):
        if t == 0 and simulator.records_start:
            step = uneventful_step(start)
        else:
            step = simulator.step(state, None if actions is None else actions[:, t])
        state = step.state
        for stored, array in zip(states.arrays().values(), state.arrays().values(), strict=True):
            stored[:, t] = array
        rewards[:, t], dones[:, t], collisions[:, t] = step.rewards, step.dones, step.collisions
    # The first action led to frame 0: on disk it comes last.
    recorded_actions = None if actions is None else np.roll(actions, -1, axis=1)
    return Trajectory(states, rewards, dones, collisions, recorded_actions)
