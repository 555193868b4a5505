"""What a simulator is, and the one loop that runs it.

A simulator is a frozen dataclass: its fields are its whole configuration, and its methods are pure.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from data_gen.errors import DataError

if TYPE_CHECKING:
    from data_gen.schema import DatasetInfo


@dataclass(frozen=True)
class State:
    """Where the objects are: positions and velocities "... k 2", float64, x right and y down.

    Simulator units; velocity per frame. Leading axes are "n" for one moment, "n t" for a trajectory.
    extra: whatever else a world's state consists of, by name, with the same leading axes.
    """

    positions: np.ndarray
    velocities: np.ndarray
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def map(self, fn: Callable[[np.ndarray], np.ndarray]) -> "State":
        """Apply fn to every array."""
        extra = {name: fn(array) for name, array in self.extra.items()}
        return State(fn(self.positions), fn(self.velocities), extra)

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by its name."""
        return {"positions": self.positions, "velocities": self.velocities, **self.extra}


@dataclass(frozen=True)
class Step:
    """What one frame brought: the new state, and per sequence "n" what was received on arriving there."""

    state: State
    rewards: np.ndarray  # float32
    dones: np.ndarray  # bool
    collisions: np.ndarray  # int64, contacts between objects within the frame


def peaceful_step(state: State) -> Step:
    """A step to `state` without contacts, rewards and ends."""
    n = len(state.positions)
    return Step(state, np.zeros(n, np.float32), np.zeros(n, bool), np.zeros(n, np.int64))


@dataclass(frozen=True)
class Trajectory:
    """A whole sequence: `states` "n t k 2", the rest "n t"; `actions` is None where there are none.

    actions[:, t] acts between frame t and t + 1; the last entry is the action that led to frame 0.
    """

    states: State
    rewards: np.ndarray
    dones: np.ndarray
    collisions: np.ndarray
    actions: np.ndarray | None = None


class Simulator(Protocol):
    """A world of k objects, vectorised over n sequences.

    A world in which objects bounce off the walls of [0, limit]^2 also has a static method
    `reach(sizes, shapes, shape_names)`: the distance from a wall at which the centre of each object bounces.
    """

    num_objects: int
    num_actions: int  # 0 where nobody acts
    limit: float  # positions lie in [0, limit]
    shape_names: tuple[str, ...]

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Draw n starts. They are not frames: the first frame is the state after the first step."""

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame under actions "n" (int); does not change `state`."""

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray | None:
        """The data policy's actions "n length", in the order in which they act; None: there are none."""

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Which sequences "n" belong in a dataset; the others are drawn anew."""

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Everything else the dataset records of the objects: arrays "... k" by their key in the file."""

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Frames uint8 "... size size 3", and masks uint8 "... size size" (None where edges are soft)."""


class Emulator(Protocol):
    """A world that cannot be stepped from any state, and records whole sequences instead.

    In place of the methods of Simulator it has one; its fields and these attributes are the same.
    """

    num_objects: int  # 0 where nothing is known of objects
    num_actions: int
    limit: float
    shape_names: tuple[str, ...]

    def record(self, seeds: np.ndarray, length: int, size: int) -> dict[str, np.ndarray]:
        """Sequences by the keys of the dataset, frames "n length size size 3" among them.

        seeds: int64 "n"; each sequence depends on its own and on nothing else.
        """


def simulate(
    simulator: Simulator, start: State, length: int, actions: np.ndarray | None = None
) -> Trajectory:
    """Run `length` steps from `start` ("n k 2"), under actions "n length" in the order in which they act."""
    n = len(start.positions)
    states = start.map(lambda array: np.empty((n, length, *array.shape[1:]), array.dtype))
    rewards, dones = np.empty((n, length), np.float32), np.empty((n, length), bool)
    collisions = np.empty((n, length), np.int64)
    state = start
    for t in range(length):
        step = simulator.step(state, None if actions is None else actions[:, t])
        state = step.state
        for kept, array in zip(states.arrays().values(), state.arrays().values(), strict=True):
            kept[:, t] = array
        rewards[:, t], dones[:, t], collisions[:, t] = step.rewards, step.dones, step.collisions
    # The first action led to frame 0: on disk it comes last.
    recorded = None if actions is None else np.roll(actions, -1, axis=1)
    return Trajectory(states, rewards, dones, collisions, recorded)


def build_simulator(config: Mapping[str, Any]) -> Simulator:
    """The simulator that a configuration names: `_target_`, a class in data_gen.sims, and its fields.

    Raises DataError for another target, an unknown field or a value that makes no world.
    """
    options = dict(config)
    target = str(options.pop("_target_", ""))
    module, _, name = target.rpartition(".")
    if not module.startswith("data_gen.sims."):
        raise DataError(f"sim._target_={target!r}: must name a class in data_gen.sims")
    try:
        simulator_class = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        simulator_class = None
    if not is_dataclass(simulator_class):
        raise DataError(f"sim._target_={target!r}: there is no such simulator")
    known = [field.name for field in fields(simulator_class)]
    for key in options:
        if key not in known:
            raise DataError(f"sim.{key}: unknown; {name} takes {', '.join(known)}")
    return simulator_class(**options)


def simulator_config(simulator: Simulator) -> dict[str, Any]:
    """The configuration from which build_simulator makes this simulator again; JSON can hold it."""
    kind = type(simulator)
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **asdict(simulator)}


Reach = Callable[..., np.ndarray]

_DISCS = ("billiards", "avoidance", "springs", "charged")


def wall_rule(info: DatasetInfo) -> Reach | None:
    """The method `reach` of the file's world (see data_gen.simulator), None where no walls are known.

    A generated file names its simulator's class. An imported one only has a name for the world: it has the
    walls of our world of discs of that name, with or without something behind it (billiards6).
    """
    target = info.config.get("simulator", {}).get("_target_", "")
    name = re.match("[a-z]*", info.simulator).group()
    if "import" in info.config and name in _DISCS:
        target = f"data_gen.sims.{name}.{name.capitalize()}"
    module, _, kind = target.rpartition(".")
    if not module.startswith("data_gen.sims."):
        return None
    try:
        return getattr(getattr(importlib.import_module(module), kind, None), "reach", None)
    except ImportError:  # another program's world, or one that needs what is not installed
        return None
