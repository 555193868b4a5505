"""Building of a model from the configs of its parts, and the refusal of parts that do not fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqvae.config import check_names, instantiate
from seqvae.errors import UserError
from seqvae.layout import refuse_presence
from seqvae.sequence import SequenceModel
from seqvae.shapes import check_shapes, has_foreign_parts
from seqvae.types import DataSpec, Dynamics, FrameModel, Posterior, RewardModel


def build(config: Mapping[str, Any], spec: DataSpec) -> SequenceModel:
    """Build the model of a config for data of `spec`.

    The dynamics appends its own fields to the frame model's layout.

    config: `frame`, `posterior` and `dynamics`, each with a `_target_`, and optionally `reward`, likewise,
        and `slots` (by default the data's object count)

    Raises:
        UserError: a key is unknown or missing, a target is no part of its kind, slots are not known, parts do
            not fit each other, or a part of another package does not do what its base class says.
    """
    check_names("model", config, required=("frame", "posterior", "dynamics"), optional=("slots", "reward"))
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
    reward = _build_reward(config.get("reward"), dynamics, frame.slots, spec)
    for part, name in ((frame, "frame"), (posterior, "posterior")):
        _check_context(part, name, dynamics)
    _check_order(frame, posterior, dynamics)
    _check_presence(posterior, dynamics)
    _check_background(frame, posterior)
    _check_held(frame, dynamics)
    model = SequenceModel(frame, posterior, dynamics, spec, config, reward)
    if has_foreign_parts(model):  # the tests check ours
        check_shapes(model)
    return model


def _build_reward(
    config: Mapping[str, Any] | None, dynamics: Dynamics, slots: int, spec: DataSpec
) -> RewardModel | None:
    """Build the reward part, if the config has one.

    Raises:
        UserError: frames do not depend on each other, so that there are no steps with rewards.
    """
    if config is None:
        return None
    if dynamics.frames_independent:
        raise UserError(
            f"model.reward: rewards belong to steps, and {type(dynamics).__name__} takes frames for "
            "independent; leave it out, or use dynamics such as GraphDynamics"
        )
    return instantiate(
        config, "model.reward", RewardModel, layout=dynamics.layout, slots=slots, actions=spec.actions
    )


def _check_context(part: FrameModel | Posterior, name: str, dynamics: Dynamics) -> None:
    """Raise UserError if a part reads another context than the dynamics gives."""
    if part.context not in (0, dynamics.context):
        raise UserError(
            f"model.{name}.context={part.context}: the dynamics gives a context of {dynamics.context} numbers"
        )


def _check_order(frame: FrameModel, posterior: Posterior, dynamics: Dynamics) -> None:
    """Raise UserError if the dynamics follows slots over time, but the posterior does not order them so."""
    follows = not dynamics.frames_independent
    if frame.slots > 1 and follows and posterior.keeps_frame_order:
        raise UserError(
            f"model.posterior: {type(posterior).__name__} leaves slots in the order in which each frame "
            f"shows them, but {type(dynamics).__name__} follows slots over time; use Fused, which matches"
        )


def _check_background(frame: FrameModel, posterior: Posterior) -> None:
    """Raise UserError if a posterior that matches slots is not told which of them are background."""
    if posterior.keeps_frame_order:
        return
    ours, theirs = posterior.background_slots, frame.background_slots
    if ours != theirs:
        raise UserError(
            f"model.posterior.background_slots={ours}: {type(frame).__name__} has {theirs} slots of "
            f"background that keep their place; give background_slots: {theirs}"
        )


def _check_presence(posterior: Posterior, dynamics: Dynamics) -> None:
    """Raise UserError if slots can be absent and a part does not infer or predict their presence."""
    for part, name, remedy in ((dynamics, "dynamics", "AIRPrior"), (posterior, "posterior", "AIRPosterior")):
        if not part.has_presence:
            refuse_presence(dynamics.layout, f"model.{name}: {type(part).__name__}", remedy)


def _check_held(frame: FrameModel, dynamics: Dynamics) -> None:
    """Raise UserError if fields without a density over time would spoil a bound."""
    if dynamics.held and not frame.unnormalised:
        raise UserError(
            f"model.dynamics.held: {type(frame).__name__} is a density of frames, and with fields that have "
            "none over time there would be no bound; leave it out"
        )
