"""Simulated worlds: the registry of those that a configuration may name, and the making of them.

Everything that a new world needs can be imported from here: the base class and the records, which are those
of data_gen/world.py, and the decorator `register`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from data_gen import plugins
from data_gen.errors import DataError, MissingWorld, did_you_mean
from data_gen.world import (
    Emulator,
    Published,
    Simulator,
    SplitDependent,
    State,
    Step,
    Trajectory,
    simulate,
    uneventful_step,
)

if TYPE_CHECKING:
    from data_gen.schema import DatasetInfo

__all__ = [
    "Emulator",
    "Published",
    "Simulator",
    "SplitDependent",
    "State",
    "Step",
    "Trajectory",
    "build_simulator",
    "register",
    "simulate",
    "simulator_config",
    "uneventful_step",
    "wall_rule",
    "world_arguments",
    "world_fields",
    "worlds",
]

# Distance from a wall at which the centre of each object bounces, from sizes, shapes and shape_names.
Reach = Callable[..., np.ndarray]

_SIMS = "data_gen.sims"  # modules of it that do not begin with an underscore register worlds
_WORLDS: dict[str, type] = {}  # dotted name -> class
_DISC_WORLDS = ("billiards", "avoidance", "springs", "charged", "balls")

World = TypeVar("World", bound=type)


def register(world: World) -> World:
    """Let configurations name the decorated simulator, and nothing that is not decorated so."""
    _WORLDS[plugins.note_registration(world, "world")] = world
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
    known = world_fields(simulator_class)
    for key in options:
        if key not in known:
            raise DataError(f"sim.{key}: unknown to {simulator_class.__name__}; {did_you_mean(key, known)}")
    for key, default in known.items():
        value = options.get(key, default)
        if value is MISSING or (isinstance(value, str) and value == "???"):
            raise DataError(f"sim.{key}: is missing; say sim.{key}=...")
    simulator = simulator_class(**options)
    _require_methods(simulator)
    return simulator


def world_fields(simulator_class: type) -> dict[str, Any]:
    """Return the fields of a world with their defaults, MISSING for none.

    Raises:
        DataError: the class is no dataclass.
    """
    if not is_dataclass(simulator_class):
        raise DataError(
            f"{simulator_class.__name__}: its fields are its configuration, so put @dataclass(frozen=True, "
            "kw_only=True) below @register"
        )
    return {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(simulator_class)
        if f.init
    }


def world_arguments(target: str) -> list[str] | None:
    """Return the fields that a world takes over from the yaml of another one; None for an unknown world.

    A world of another package takes those that it inherits from a world of ours.
    """
    plugins.load_for([target])
    world = worlds().get(target)
    if world is None or target.startswith(f"{_SIMS}."):
        return None if world is None else list(world_fields(world))
    bases = [base for base in world.__mro__ if base.__module__.startswith(f"{_SIMS}.") and is_dataclass(base)]
    return [name for name in world_fields(world) if any(name in world_fields(base) for base in bases)]


def _require_methods(simulator: Any) -> None:
    """Raise DataError unless a world has what has no default: the methods and attributes of its protocol."""
    kind = type(simulator)
    if isinstance(simulator, Emulator):
        needed = ()
    elif not isinstance(simulator, Simulator):
        raise DataError(f"{kind.__name__}: is no world; derive it from data_gen.simulator.Simulator")
    else:
        needed = [name for name in ("reset", "step") if getattr(kind, name) is getattr(Simulator, name)]
    for name in needed:
        says = str(getattr(Simulator, name).__doc__).partition("\n")[0]
        raise DataError(f"{kind.__name__} has no method {name}; write it: {says}")
    for name in ("num_objects", "num_actions", "limit", "shape_names"):
        if not hasattr(simulator, name):
            raise DataError(f"{kind.__name__} has no attribute {name}; add it as a field or to the class")


def _find_class(target: str) -> type:
    if target not in worlds() and not target.startswith(f"{_SIMS}."):
        faults = plugins.load_for([target])
        if target not in worlds():
            near = did_you_mean(target, worlds(), 1) if plugins.from_same_package(target) else ""
            why = (
                near or "name a world of configs/sim, or the plugin that registers yours, plugins=[./FILE.py]"
            )
            message = "; ".join([f"sim._target_={target!r}: there is no such simulator", why, *faults])
            raise MissingWorld(message, target)
    if target in worlds():
        return worlds()[target]
    near = did_you_mean(target, worlds(), 1)
    raise MissingWorld(f"sim._target_={target!r}: there is no such simulator; {near}", target)


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
