"""From plain data to objects: a registry of the parts that a config may name, and the making of them.

A config is a nested dict. A dict with the key `_target_` stands for a part: the dotted name of a class, and
the arguments beside it. With `_partial_: true` it stands for a factory that takes the remaining arguments
later. Lists arrive as tuples.

Configs come with checkpoints, and checkpoints come from strangers. So a config makes nothing but registered
parts, each only where its kind is asked for: at the top by the caller of `instantiate`, within a part by the
annotation of the argument, as in `schedule: Schedule` or `encoder: Callable[..., BoxEncoder]`. A name is
looked up in the registry and never imported. Parts of other packages register when the user loads them as
plugins (data_gen/plugins.py), or imports their module.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from data_gen import plugins
from data_gen.plugins import PluginError
from seqvae.aliases import rename_target
from seqvae.errors import MissingPart, MissingWorld, UserError, did_you_mean
from seqvae.protocol import require_members

T = TypeVar("T")
Part = TypeVar("Part", bound=Callable[..., Any])

PACKAGE = "seqvae."
ROOMS = (  # modules, and packages with all their modules, that register parts
    "seqvae.frames",
    "seqvae.posteriors",
    "seqvae.dynamics",
    "seqvae.nn",
    "seqvae.objectives",
    "seqvae.collage",
    "seqvae.prediction",
    "seqvae.train.optim",
)
SCALARS = (bool, int, float, str)

_PARTS: dict[type, dict[str, Callable[..., Any]]] = {}  # kind -> dotted name -> class


def register(kind: type | None = None) -> Callable[[Part], Part]:
    """Let configs make the decorated class, or function, wherever a part of `kind` is asked for.

    kind: a base class or protocol that documents how its parts are made and used; None if the decorated class
    is the only part of its kind.

    Raises:
        DataError: the module registers two parts of this name.
    """

    def add(part: Part) -> Part:
        of_kind = kind or typing.cast(type, part)
        name = plugins.note_registration(part, f"{of_kind.__module__}.{of_kind.__qualname__}")
        _PARTS.setdefault(of_kind, {})[name] = part
        return part

    return add


def parts() -> dict[type, dict[str, Callable[..., Any]]]:
    """Return every registered part by its kind and its dotted name."""
    _import_rooms()
    return _PARTS


@functools.cache
def _import_rooms() -> None:
    """Import every module that holds parts, so that they are registered."""
    for room in ROOMS:
        path = getattr(importlib.import_module(room), "__path__", ())
        for module in pkgutil.iter_modules(path, f"{room}."):
            importlib.import_module(module.name)


def load_plugins(names: Sequence[str]) -> None:
    """Import the user's modules and files, so that their parts are registered.

    Raises:
        UserError: one is missing, cannot be imported or registers nothing.
    """
    try:
        plugins.load_plugins(names)
    except PluginError as error:
        raise UserError(str(error)) from None


@contextmanager
def parts_made_with(recorded: Sequence[str]) -> Iterator[None]:
    """Let messages about missing parts name the plugins that a file records; none of them is loaded.

    Raises:
        UserError: in place of MissingPart and MissingWorld.
    """
    try:
        yield
    except (MissingPart, MissingWorld) as error:
        if error.target.startswith(PACKAGE):
            raise UserError(str(error)) from None
        key = str(error).partition(":")[0].partition("=")[0]
        words = "; ".join([plugins.remedy(error.target, recorded), *plugins.load_installed()])
        raise UserError(f"{key}: {error.target} is not loaded; {words}") from None


def targets(config: Any) -> list[str]:
    """Return every `_target_` in plain data."""
    if isinstance(config, Mapping):
        own = [config["_target_"]] if isinstance(config.get("_target_"), str) else []
        return own + [target for value in config.values() for target in targets(value)]
    if isinstance(config, (list, tuple)):
        return [target for item in config for target in targets(item)]
    return []


def arguments_of(target: str) -> list[str] | None:
    """Return the arguments that a part takes over from the yaml of another one; None for an unknown part.

    A part of another package takes those that it inherits from a part of ours: names of its own may mean
    something else.
    """
    plugins.load_for([target])
    shipped = [p for of_kind in parts().values() for n, p in of_kind.items() if n.startswith(PACKAGE)]
    part = next((of_kind[target] for of_kind in parts().values() if target in of_kind), None)
    if part is None:
        return None
    own = list(inspect.signature(part).parameters)
    if target.startswith(PACKAGE):
        return own
    bases = [base for base in getattr(part, "__mro__", ()) if base in shipped]
    return [name for name in own if any(name in inspect.signature(base).parameters for base in bases)]


def instantiate(config: Any, key: str, kind: type[T], **given: Any) -> T:
    """Return the part of a kind that `config` stands for, made with its arguments and the `given` ones.

    key: where the config stands, for messages ("model.frame").

    Raises:
        UserError: the target is no part of the kind, or an argument is unknown, missing or of the wrong type.
    """
    return _instantiate(config, key, kind, False, given)


def make(cls: type[T], config: Any, key: str) -> T:
    """Return an object of the class, which the caller names, with the arguments of a config.

    Raises:
        UserError: an argument is unknown, missing or of the wrong type.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"{key}: expected a mapping, got {config!r}")
    return cls(**_checked(cls, key, _made(cls, config, key), False, frozenset()))


def _instantiate(config: Any, key: str, kind: type, factory: bool, given: dict[str, Any]) -> Any:
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise UserError(f"{key}: expected a mapping with a _target_, got {config!r}")
    config = rename_target(config)
    part = _find(config["_target_"], key, kind)
    partial = bool(config.get("_partial_", False))
    if partial != factory:
        remedy = "is made by another part later; give true" if factory else "is made at once; leave it out"
        raise UserError(f"{key}._partial_: {part.__name__} {remedy}")
    own = {name: value for name, value in config.items() if name not in ("_target_", "_partial_")}
    for name in given:
        if name in own:
            raise UserError(f"{key}.{name}: is set by the data or by another part; leave it out")
    arguments = _checked(part, key, _made(part, own, key) | given, partial, frozenset(given))
    if partial:
        return functools.partial(_finish, part, kind, key, arguments)
    return _complete(part(**arguments), part, kind, key)


def _finish(part: Callable[..., Any], kind: type, key: str, arguments: dict[str, Any], **given: Any) -> Any:
    """Make a part from its config's arguments and those of the part that calls its factory."""
    made = part(**_checked(part, key, arguments | given, False, frozenset(given)))
    return _complete(made, part, kind, key)


def _complete(made: Any, part: Callable[..., Any], kind: type, key: str) -> Any:
    """Return a part, if it has everything that its kind asks for; ours are checked by the tests."""
    if not part.__module__.startswith(PACKAGE):
        require_members(made, kind, f"{key}: {part.__module__}.{part.__qualname__}")
    return made


def _find(target: Any, key: str, kind: type) -> Callable[..., Any]:
    """Return the registered part of a dotted name, if it is one of the kind."""
    known = parts().get(kind, {})
    if not isinstance(target, str):
        raise UserError(f"{key}._target_: expected the dotted name of a part, got {target!r}")
    faults = plugins.load_for([target])
    known = parts().get(kind, {})
    if target in known:
        return known[target]
    for other, of_kind in parts().items():
        if target in of_kind:
            raise UserError(
                f"{key}._target_: expected a part of kind {kind.__name__}, got {target} of kind "
                f"{other.__name__}; known: {', '.join(sorted(known))}"
            )
    if target.startswith(PACKAGE) or plugins.from_same_package(target):
        hint = did_you_mean(target, known, 1)
    else:
        hint = f"{plugins.remedy(target, [])}; or {did_you_mean(target, known, 1)}"
    words = "; ".join([f"{key}._target_: there is no {kind.__name__} {target}", hint, *faults])
    raise MissingPart(words, target)


def _made(part: Callable[..., Any], config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a config's arguments, with each nested part made as the annotation of its argument asks."""
    hints = _hints(part)
    return {name: _made_value(value, hints.get(name), f"{key}.{name}") for name, value in config.items()}


def _made_value(value: Any, hint: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            kind, factory = _asked_for(hint)
            if kind is None:
                raise UserError(f"{key}: takes no part with a _target_; give a plain value")
            return _instantiate(value, key, kind, factory, {})
        return {name: _made_value(item, hint, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_made_value(item, hint, f"{key}[{i}]") for i, item in enumerate(value))
    return value


def _asked_for(hint: Any) -> tuple[type | None, bool]:
    """Return the kind of part in an annotation, None without one, and whether a factory of it is asked for.

    Both K | None and Mapping[str, K] ask for parts of the kind K, Callable[..., K] for a factory.
    """
    if hint in parts():
        return hint, False
    for inner in typing.get_args(hint):
        kind, factory = _asked_for(inner)
        if kind is not None:
            return kind, factory or typing.get_origin(hint) is Callable
    return None, False


def _checked(
    part: Callable[..., Any], key: str, arguments: dict[str, Any], partial: bool, given: frozenset[str]
) -> dict[str, Any]:
    """Return the arguments, if the part takes them; whole numbers become floats where it wants floats.

    given: names of the arguments that do not come from the config, so of no use in a message.
    """
    parameters = inspect.signature(part).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        required = [] if partial else [n for n, p in parameters.items() if p.default is p.empty]
        for name in given - parameters.keys():
            raise UserError(f"{key}: {part.__name__} does not take {name}, so it cannot stand here")
        check_names(key, arguments, required, parameters, given)
    plain = {name: kinds for name, hint in _hints(part).items() if (kinds := _scalars(hint))}
    return arguments | {
        name: _scalar(arguments[name], kinds, f"{key}.{name}")
        for name, kinds in plain.items()
        if name in arguments
    }


def check_names(
    key: str,
    names: Iterable[str],
    required: Iterable[str],
    optional: Iterable[str],
    hidden: frozenset[str] = frozenset(),
) -> None:
    """Raise UserError unless all required names are there, and no other than the optional ones.

    hidden: names that a message does not offer.
    """
    required, names = list(required), list(names)
    known = [*required, *(name for name in optional if name not in required)]
    accepted = ", ".join(name for name in known if name not in hidden) or "nothing"
    for name in names:
        if name not in known:
            near = did_you_mean(name, set(known) - hidden)
            guess = f"{near} " if near.startswith("did") else ""
            raise UserError(f"{key}.{name}: unknown; {guess}accepted: {accepted}")
    missing = [name for name in required if name not in names]
    if missing:
        raise UserError(f"{key}: needs {', '.join(missing)}; accepted: {accepted}")


@functools.cache
def _hints(part: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotation of each argument."""
    function = part.__init__ if inspect.isclass(part) else part
    return typing.get_type_hints(function)


def _scalars(hint: Any) -> tuple[type, ...]:
    """Return the types in an annotation of nothing but plain scalars (and None), else nothing."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return kinds if all(kind in (*SCALARS, types.NoneType) for kind in kinds) else ()


def _scalar(value: Any, kinds: tuple[type, ...], key: str) -> Any:
    """Return the value, if it is of one of the kinds; in Python True is an int, in a config it is none."""
    if type(value) in kinds:
        return value
    if type(value) is int and float in kinds:
        return float(value)
    words = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in kinds)
    raise UserError(f"{key}: expected {words}, got {value!r}")
