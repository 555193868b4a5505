"""The check of a model's shapes: one small pass through every method of its parts, before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.sequence import SequenceModel
from seqvae.types import Distribution, Encoding, Outcome, Scene, Transition

BATCH, FRAMES = 2, 2
OURS = ("seqvae.", "torch.")


def has_foreign_parts(model: SequenceModel) -> bool:
    """Return whether a part of the model, or a network in it, comes from another package."""
    return any(not type(part).__module__.startswith(OURS) for part in model.modules())


@torch.no_grad()
def check_shapes(model: SequenceModel) -> None:
    """Raise UserError unless every method of the parts returns what its base class describes.

    The random streams and the weights stay as they are.
    """
    training = model.training
    with torch.random.fork_rng(devices=[]):
        model.eval()
        try:
            _pass_through(model)
        finally:
            model.train(training)


def _pass_through(model: SequenceModel) -> None:
    frame, posterior, dynamics, spec = model.frame, model.posterior, model.dynamics, model.spec
    k, d, c, h, w = frame.slots, _dim(model), spec.channels, spec.height, spec.width
    like = next((x for x in model.parameters()), torch.zeros(()))
    video = torch.rand(BATCH, FRAMES, c, h, w, device=like.device).to(like.dtype)
    action = torch.zeros(BATCH, dtype=torch.long, device=like.device) if spec.actions else None

    method = _Method("model.frame", frame, "encode")
    encoding = method.returned(frame.encode(video), Encoding)
    shown = sum(f.size for f in frame.layout.fields if f.use != "dynamics")
    method.shaped("mean", encoding.mean, (BATCH, FRAMES, k, shown))
    method.shaped("precision", encoding.precision, (BATCH, FRAMES, k, shown))

    carry = dynamics.init(BATCH, encoding.mean)
    method = _Method("model.dynamics", dynamics, "predict")
    transition = method.returned(dynamics.predict(carry, action), Transition)
    for name in ("prior", "proposal"):
        method.density(name, getattr(transition, name), (BATCH, k, d))
    if dynamics.context:
        method.shaped("context", transition.context, (BATCH, dynamics.context))
    elif transition.context is not None:
        method.wrong("context", "None, as the attribute context is 0", _words(transition.context))

    method = _Method("model.posterior", posterior, "__call__")
    result = posterior(encoding.at(0), transition, posterior.init(BATCH, encoding.mean))
    if not isinstance(result, tuple) or len(result) != 3:
        method.wrong("result", "a distribution, an Encoding and the carry", _words(result))
    density, ordered, _ = result
    z = method.density("distribution", density, (BATCH, k, d))
    method.returned(ordered, Encoding, "second result")
    if ordered.mean.shape[:2] != (BATCH, k):  # it may also have the numbers that no frame shows
        method.wrong("second result, mean", f"a tensor ({BATCH}, {k}, ...)", _words(ordered.mean))

    dynamics.predict(dynamics.update(transition.carried(carry), z, ordered), action)

    states = torch.stack([z] * FRAMES, 1)
    context = None if transition.context is None else torch.stack([transition.context] * FRAMES, 1)
    method = _Method("model.frame", frame, "terms")
    terms = method.returned(frame.terms(video, states, encoding, context), Mapping)
    for name, value in terms.items():
        method.shaped(repr(name), value, (BATCH, FRAMES))
    for name in {*frame.unnormalised, *frame.auxiliary} - {*terms}:
        method.wrong("result", f"a term {name!r}, as unnormalised or auxiliary has it", f"{', '.join(terms)}")

    if model.reward is not None:
        acting = None if action is None else torch.stack([action] * (FRAMES - 1), 1)
        method = _Method("model.reward", model.reward, "__call__")
        outcome = model.reward(states[:, :-1], acting, states[:, 1:])
        method.returned(outcome, Outcome)
        steps = torch.zeros(BATCH, FRAMES - 1, device=like.device, dtype=states.dtype)
        for name, value in method.returned(outcome.log_prob(steps, steps), Mapping, "log_prob").items():
            method.shaped(f"log_prob, {name!r}", value, steps.shape)
        for name, value in zip(("reward", "end"), outcome.mean(), strict=True):
            method.shaped(f"mean, {name}", value, steps.shape)

    method = _Method("model.frame", frame, "decode")
    scene = method.returned(frame.decode(states, context), Scene)
    method.shaped("frames", scene.frames, (BATCH, FRAMES, c, h, w))
    if scene.masks is not None:
        method.shaped("masks", scene.masks, (BATCH, FRAMES, k, h, w))


def _dim(model: SequenceModel) -> int:
    """Return the size of the state, after a check that the dynamics has kept the frame model's fields."""
    ours, theirs = model.frame.layout, model.dynamics.layout
    for name, layout in (("frame", ours), ("dynamics", theirs)):
        if not isinstance(layout, StateLayout):
            _Method(f"model.{name}", getattr(model, name), "layout").wrong(
                "it", "a StateLayout", _words(layout)
            )
    if theirs.fields[: len(ours.fields)] != ours.fields:
        _Method("model.dynamics", model.dynamics, "layout").wrong(
            "it", "frame_layout, or frame_layout.extend(...)", ", ".join(f.name for f in theirs.fields)
        )
    return theirs.dim


class _Method:
    """A method of a part, for messages about its result."""

    def __init__(self, key: str, part: Any, name: str):
        self.name = f"{key}: {type(part).__module__}.{type(part).__qualname__}.{name}"

    def wrong(self, what: str, expected: str, got: str) -> None:
        raise UserError(f"{self.name}: {what}: expected {expected}, got {got}")

    def returned(self, value: Any, kind: type, what: str = "result") -> Any:
        if not isinstance(value, kind):
            self.wrong(what, f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}", _words(value))
        return value

    def shaped(self, what: str, value: Any, shape: Sequence[int]) -> None:
        if not isinstance(value, Tensor) or tuple(value.shape) != tuple(shape):
            self.wrong(what, f"a tensor {tuple(shape)}", _words(value))

    def density(self, what: str, value: Any, shape: Sequence[int]) -> Tensor:
        """Return its point, after checks of all that a distribution has to do."""
        if not isinstance(value, Distribution):
            self.wrong(what, "a distribution with rsample, log_prob and point", _words(value))
        point = value.point()
        self.shaped(f"{what}.point()", point, shape)
        self.shaped(f"{what}.rsample()", value.rsample(), shape)
        self.shaped(f"{what}.log_prob(z)", value.log_prob(point), shape[:-2])
        return point


def _words(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"
