"""From plain data to a model: a small instantiator, and the joining of frame model, posterior and dynamics.

A config is a nested dict. A dict with the key `_target_` stands for an object of this package: the target's
dotted name, and its arguments beside it. With `_partial_: true` it stands for a factory that takes the
remaining arguments later. Lists arrive as tuples. Targets outside of `seqvae` are refused, so that a config
cannot run foreign code.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seqvae.errors import UserError, did_you_mean
from seqvae.sequence import SequenceModel
from seqvae.types import refuse_presence

PACKAGE = "seqvae."
SCALARS = (bool, int, float, str)
MOVED = {  # former module -> the module that holds its classes now, for configs in older checkpoints
    "seqvae.calibration": "seqvae.objectives",
    "seqvae.counted_objectives": "seqvae.objectives",
    "seqvae.frame_objectives": "seqvae.objectives",
    "seqvae.nn.attention": "seqvae.nn.masks",
    "seqvae.nn.counting": "seqvae.nn.boxes",
    "seqvae.nn.encoders": "seqvae.nn.boxes",
    "seqvae.nn.likelihoods": "seqvae.nn.images",
    "seqvae.train.schedule": "seqvae.train.optim",
}


@dataclass(frozen=True)
class DataSpec:
    """What a model has to know of its data: image size, number of actions and objects, coordinates.

    actions: number of discrete actions, 0 without. objects: None where the data does not say.
    coord_limit: positions on disk lie in [0, coord_limit]; None where the data has no positions.
    """

    height: int
    width: int
    channels: int
    actions: int = 0
    objects: int | None = None
    coord_limit: float | None = None

    def require_same_input(self, other: DataSpec, name: str) -> None:
        """Raise UserError unless data of `other`, read from `name`, fits a model built for this one."""
        for key in ("height", "width", "channels", "actions"):
            ours, theirs = getattr(self, key), getattr(other, key)
            if ours != theirs:
                raise UserError(f"{name}: {key} is {theirs}, but the model was trained with {key} {ours}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def build(config: Mapping[str, Any], spec: DataSpec) -> SequenceModel:
    """The model that `config` describes, for data of `spec`; it keeps both as `.config` and `.spec`.

    config: `frame`, `posterior` and `dynamics`, each with a `_target_`, and optionally `slots` (by default
    the data's object count). The dynamics appends its own fields to the frame model's layout.

    Raises:
        UserError: a key is unknown or missing, a target lies outside of seqvae, slots are not known, or
            parts do not fit each other.
    """
    _check_names("model", config, required=("frame", "posterior", "dynamics"), optional=("slots",))
    slots = config.get("slots") or spec.objects
    if slots is None:
        raise UserError("model.slots: the data does not say how many objects it shows, so give a number")
    frame = instantiate(
        config["frame"],
        "model.frame",
        height=spec.height,
        width=spec.width,
        channels=spec.channels,
        slots=slots,
    )
    dynamics = instantiate(
        config["dynamics"],
        "model.dynamics",
        frame_layout=frame.layout,
        slots=frame.slots,
        actions=spec.actions,
    )
    posterior = instantiate(config["posterior"], "model.posterior", layout=dynamics.layout)
    for part, name in ((frame, "frame"), (posterior, "posterior")):
        _check_context(part, name, dynamics)
    _check_order(frame, posterior, dynamics)
    _check_counts(posterior, dynamics)
    _check_background(frame, posterior)
    _check_held(frame, dynamics)
    model = SequenceModel(frame, posterior, dynamics, spec.actions)
    model.spec, model.config = spec, dict(config)
    return model


def _check_context(part: Any, name: str, dynamics: Any) -> None:
    """Raise UserError where a part reads a context (`.context` numbers) that the dynamics does not give."""
    wanted, given = getattr(part, "context", 0), getattr(dynamics, "context", 0)
    if wanted not in (0, given):
        raise UserError(f"model.{name}.context={wanted}: the dynamics gives a context of {given} numbers")


def _check_order(frame: Any, posterior: Any, dynamics: Any) -> None:
    """Raise UserError where slots in the order of each frame meet a dynamics that follows them over time."""
    follows = not getattr(dynamics, "independent", False)
    if frame.slots > 1 and follows and getattr(posterior, "frame_order", False):
        raise UserError(
            f"model.posterior: {type(posterior).__name__} leaves slots in the order in which each frame "
            f"shows them, but {type(dynamics).__name__} follows slots over time; use Fused, which matches"
        )


def _check_background(frame: Any, posterior: Any) -> None:
    """Raise UserError where a posterior that matches slots does not know which of them are background."""
    if getattr(posterior, "frame_order", False):
        return
    ours, theirs = getattr(posterior, "background_slots", 0), getattr(frame, "background_slots", 0)
    if ours != theirs:
        raise UserError(
            f"model.posterior.background_slots={ours}: {type(frame).__name__} has {theirs} slots of "
            f"background that keep their place; give background_slots: {theirs}"
        )


def _check_counts(posterior: Any, dynamics: Any) -> None:
    """Raise UserError where slots can be absent and a part does not say that it counts (`counts`)."""
    for part, name, remedy in ((dynamics, "dynamics", "CountPrior"), (posterior, "posterior", "Counted")):
        if not getattr(part, "counts", False):
            refuse_presence(dynamics.layout, f"model.{name}: {type(part).__name__}", remedy)


def _check_held(frame: Any, dynamics: Any) -> None:
    """Raise UserError where fields without a density over time would spoil a bound."""
    if getattr(dynamics, "held", ()) and not frame.unnormalised:
        raise UserError(
            f"model.dynamics.held: {type(frame).__name__} is a density of frames, and with fields that have "
            "none over time there would be no bound; leave it out"
        )


def instantiate(config: Mapping[str, Any], key: str, **given: Any) -> Any:
    """The object that `config` stands for, with the arguments of the config and the `given` ones.

    key: where the config stands, for messages ("model.frame").

    Raises:
        UserError: the target is foreign or unknown, or an argument is unknown, missing or of the wrong type.
    """
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise UserError(f"{key}: expected a mapping with a _target_, got {config!r}")
    make = _locate(config["_target_"], key)
    partial = config.get("_partial_", False)
    arguments = {
        name: _nested(value, f"{key}.{name}")
        for name, value in config.items()
        if name not in ("_target_", "_partial_")
    }
    for name in given:
        if name in arguments:
            raise UserError(f"{key}.{name}: is set by the data or by another part; leave it out")
    arguments |= given
    arguments = _checked(make, key, arguments, partial, frozenset(given))
    return functools.partial(_finished, make, key, arguments) if partial else make(**arguments)


def _finished(make: Callable[..., Any], key: str, arguments: dict[str, Any], **given: Any) -> Any:
    """What a factory makes of its config's arguments and those of the part that calls it."""
    return make(**_checked(make, key, arguments | given, False, frozenset(given)))


def make(kind: type, config: Mapping[str, Any], key: str) -> Any:
    """An object of this package's class `kind` with the arguments of a config; faults are `instantiate`'s."""
    return instantiate({"_target_": f"{kind.__module__}.{kind.__qualname__}", **config}, key)


def _nested(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return instantiate(value, key)
        return {name: _nested(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_nested(item, f"{key}[{i}]") for i, item in enumerate(value))
    return value


def _locate(target: Any, key: str) -> Callable[..., Any]:
    """The class or function of a dotted name, if it is one that this package defines itself."""
    if not isinstance(target, str) or not target.startswith(PACKAGE):
        raise UserError(f"{key}._target_: only names inside {PACKAGE} are allowed, got {target!r}")
    module_name, _, name = target.rpartition(".")
    module_name = MOVED.get(module_name, module_name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # a missing third-party package inside one of our modules is another fault: let that one speak
        if not (error.name or "").startswith(PACKAGE):
            raise
        raise UserError(f"{key}._target_: there is no module {error.name}") from None
    found = getattr(module, name, None)
    # `seqvae.build.importlib` is reachable through this package, yet not part of it
    if not callable(found) or not getattr(found, "__module__", "").startswith(PACKAGE):
        ours = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module_name]
        raise UserError(f"{key}._target_: {module_name} has no {name}; {did_you_mean(name, ours)}")
    return found


def _checked(
    make: Callable[..., Any], key: str, arguments: dict[str, Any], partial: bool, given: frozenset[str]
) -> dict[str, Any]:
    """The arguments, if `make` takes them; whole numbers become floats where it wants floats.

    given: names of the arguments that do not come from the config, so of no use in a message.
    """
    parameters = inspect.signature(make).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        required = [] if partial else [n for n, p in parameters.items() if p.default is p.empty]
        for name in given - parameters.keys():
            raise UserError(f"{key}: {make.__name__} does not take {name}, so it cannot stand here")
        _check_names(key, arguments, required, parameters, given)
    return arguments | {
        name: _scalar(arguments[name], kinds, f"{key}.{name}")
        for name, kinds in _annotations(make).items()
        if name in arguments
    }


def _check_names(
    key: str,
    names: Iterable[str],
    required: Iterable[str],
    optional: Iterable[str],
    hidden: frozenset[str] = frozenset(),
) -> None:
    required, names = list(required), list(names)
    known = [*required, *(name for name in optional if name not in required)]
    accepted = ", ".join(name for name in known if name not in hidden) or "nothing"
    for name in names:
        if name not in known:
            raise UserError(f"{key}.{name}: unknown; accepted: {accepted}")
    missing = [name for name in required if name not in names]
    if missing:
        raise UserError(f"{key}: needs {', '.join(missing)}; accepted: {accepted}")


def _annotations(make: Callable[..., Any]) -> dict[str, tuple[type, ...]]:
    """Argument -> its types, for those annotated with nothing but plain scalars (and None)."""
    function = make.__init__ if inspect.isclass(make) else make
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # an annotation that only a shape checker can read
        return {}
    plain = {}
    for name, hint in hints.items():
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if all(kind in (*SCALARS, types.NoneType) for kind in kinds):
            plain[name] = kinds
    return plain


def _scalar(value: Any, kinds: tuple[type, ...], key: str) -> Any:
    """The value, if it is of one of the kinds; in Python True is an int, in a config it is none."""
    if type(value) in kinds:
        return value
    if type(value) is int and float in kinds:
        return float(value)
    words = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in kinds)
    raise UserError(f"{key}: expected {words}, got {value!r}")
