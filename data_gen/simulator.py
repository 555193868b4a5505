"""The protocols of simulated worlds, the loop that runs one, and its configuration.

A simulator is a frozen dataclass: its fields are its whole configuration, and its methods are pure.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from data_gen.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from data_gen.schema import DatasetInfo

# Distance from a wall at which the centre of each object bounces, from sizes, shapes and shape_names.
Reach = Callable[..., np.ndarray]

_SIMS = "data_gen.sims"  # modules of it that do not begin with an underscore register worlds
_WORLDS: dict[str, type] = {}  # dotted name -> class
_DISC_WORLDS = ("billiards", "avoidance", "springs", "charged")


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

    actions: None where nobody acts; actions[:, t] acts between frame t and t + 1, and the last entry is the
        action that led to frame 0
    """

    states: State
    rewards: np.ndarray
    dones: np.ndarray
    collisions: np.ndarray
    actions: np.ndarray | None = None


class Simulator(Protocol):
    """World of k objects, vectorised over n sequences.

    A world with walls, in which objects bounce off those of [0, limit]^2, also has a static method
    `reach(sizes, shapes, shape_names)`: the distance from a wall at which the centre of each object bounces.

    num_actions: 0 where nobody acts
    limit: positions lie in [0, limit]
    """

    num_objects: int
    num_actions: int
    limit: float
    shape_names: tuple[str, ...]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def reset(self, n: int, rng: np.random.Generator) -> State:
        """Sample n starts. They are not frames: the first frame is the state after the first step."""
        ...

    def step(self, state: State, actions: np.ndarray | None = None) -> Step:
        """Advance by one frame under actions "n" (int), and leave `state` as it is."""
        ...

    def sample_actions(self, n: int, length: int, rng: np.random.Generator) -> np.ndarray | None:
        """Sample the data policy's actions "n length", in the order in which they act; None without any."""
        ...

    def accept(self, trajectory: Trajectory) -> np.ndarray:
        """Return the sequences that belong in a dataset, bool "n"; the others are sampled again."""
        ...

    def truth(self, states: State) -> dict[str, np.ndarray]:
        """Return the other records of the objects: arrays "... k" by their keys in the dataset."""
        ...

    def render(self, states: State, size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw frames uint8 "... size size 3" and masks uint8 "... size size" (None for soft edges)."""
        ...


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
        for stored, array in zip(states.arrays().values(), state.arrays().values(), strict=True):
            stored[:, t] = array
        rewards[:, t], dones[:, t], collisions[:, t] = step.rewards, step.dones, step.collisions
    # The first action led to frame 0: on disk it comes last.
    recorded_actions = None if actions is None else np.roll(actions, -1, axis=1)
    return Trajectory(states, rewards, dones, collisions, recorded_actions)


World = TypeVar("World", bound=type)


def register(world: World) -> World:
    """Let configurations name the decorated simulator, and nothing that is not decorated so."""
    _WORLDS[f"{world.__module__}.{world.__qualname__}"] = world
    return world


def worlds() -> Mapping[str, type]:
    """Return every registered simulator by its dotted name."""
    _import_worlds()
    return _WORLDS


@functools.cache
def _import_worlds() -> None:
    """Import the modules of worlds, so that these are registered; no name from a file is imported."""
    for module in pkgutil.iter_modules(importlib.import_module(_SIMS).__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{_SIMS}.{module.name}")


def build_simulator(config: Mapping[str, Any]) -> Simulator | Emulator:
    """Build the world of a configuration: `_target_`, a registered class, and its fields.

    Raises:
        DataError: there is no such class, a field is unknown, or its value makes no world.
    """
    options = dict(config)
    simulator_class: Any = _find_class(str(options.pop("_target_", "")))
    known = [field.name for field in fields(simulator_class)]
    for key in options:
        if key not in known:
            raise DataError(f"sim.{key}: unknown to {simulator_class.__name__}; {did_you_mean(key, known)}")
    return simulator_class(**options)


def _find_class(target: str) -> type:
    if target in worlds():
        return worlds()[target]
    if not target.startswith(f"{_SIMS}."):
        raise DataError(f"sim._target_={target!r}: must name a class in {_SIMS}")
    near = did_you_mean(target, worlds(), 1)
    raise DataError(f"sim._target_={target!r}: there is no such simulator; {near}")


def simulator_config(simulator: Simulator | Emulator) -> dict[str, Any]:
    """Return the configuration from which build_simulator makes this simulator again; JSON can hold it."""
    simulator_class = type(simulator)
    target = f"{simulator_class.__module__}.{simulator_class.__qualname__}"
    return {"_target_": target, **asdict(simulator)}


def wall_rule(info: DatasetInfo) -> Reach | None:
    """Return the method `reach` of a dataset file's world, None where no walls are known.

    A generated file names the class of its simulator. An imported one names only the world: it has the walls
    of our world of discs of that name, with or without a suffix (billiards6).
    """
    target = info.config.get("simulator", {}).get("_target_", "")
    world = re.sub("[^a-z].*", "", info.simulator, flags=re.DOTALL)
    if "import" in info.config and world in _DISC_WORLDS:
        target = f"data_gen.sims.{world}.{world.capitalize()}"
    return getattr(worlds().get(str(target)), "reach", None)
