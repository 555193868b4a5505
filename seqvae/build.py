"""The joining of frame model, posterior and dynamics to a model, and what fits what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seqvae.config import check_names, instantiate
from seqvae.errors import UserError
from seqvae.sequence import SequenceModel
from seqvae.types import Dynamics, FrameModel, Posterior, refuse_presence


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
        UserError: a key is unknown or missing, a target is no part of its kind, slots are not known, or
            parts do not fit each other.
    """
    check_names("model", config, required=("frame", "posterior", "dynamics"), optional=("slots",))
    slots = config.get("slots") or spec.objects
    if slots is None:
        raise UserError("model.slots: the data does not say how many objects it shows, so give a number")
    frame = instantiate(
        config["frame"],
        "model.frame",
        FrameModel,
        height=spec.height,
        width=spec.width,
        channels=spec.channels,
        slots=slots,
    )
    dynamics = instantiate(
        config["dynamics"],
        "model.dynamics",
        Dynamics,
        frame_layout=frame.layout,
        slots=frame.slots,
        actions=spec.actions,
    )
    posterior = instantiate(config["posterior"], "model.posterior", Posterior, layout=dynamics.layout)
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
