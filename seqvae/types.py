"""Records and protocols: what the parts of a model pass to each other, and what each part must offer.

Axes: b batch, t frame, k slot, d latent, c h w image, a action. Log-probabilities are in nats and up is
good. Records are frozen and hold unreduced tensors; an explicit carry crosses a time step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.tree import concat_frames, short_repr


@runtime_checkable
class Distribution(Protocol):
    """A density over the last two axes (k d) of z, with any leading batch axes."""

    def rsample(self) -> Tensor: ...

    def log_prob(self, z: Tensor) -> Tensor: ...

    def point(self) -> Tensor: ...


@dataclass(frozen=True)
class Evidence:
    """What frames say about z, slot by slot: a Gaussian likelihood for the leading fields of the layout.

    mean, precision: (b, [t,] k, e). Precision 0 means "not observed": fusion then returns the prior.
    features: further tensors (b, [t,] k, ...) that belong to a slot and follow its order.
    """

    __repr__ = short_repr

    mean: Float[Tensor, "b *t k e"]
    precision: Float[Tensor, "b *t k e"]
    features: dict[str, Tensor] = field(default_factory=dict)

    def map(self, fn: Callable[[Tensor], Tensor]) -> Evidence:
        """Apply fn to every tensor."""
        return Evidence(fn(self.mean), fn(self.precision), {n: fn(x) for n, x in self.features.items()})

    def at(self, t: int) -> Evidence:
        return self.map(lambda x: x[:, t])

    def observed(self, seen: Bool[Tensor, "b t"]) -> Evidence:
        """The same evidence with nothing known of the frames that were not seen, whatever their pixels."""
        mean, precision = (x.masked_fill(~seen[..., None, None], 0) for x in (self.mean, self.precision))
        return Evidence(mean, precision, self.features)


@dataclass(frozen=True)
class Transition:
    """What the dynamics says of the next state before its frame is seen.

    prior: p(z_t | z_<t), the generative density. proposal: the dynamics' part of the posterior, the
    same or with its own std. context: h_t "b h" that conditions frame model and posterior, or None. carry:
    the carry with the action taken in, from which `update` goes on; None where it is the one given.
    """

    __repr__ = short_repr

    prior: Distribution
    proposal: Distribution
    context: Tensor | None = None
    carry: Any = None

    def carried(self, given: Any) -> Any:
        """What `update` goes on from, after a prediction from the carry `given`."""
        return given if self.carry is None else self.carry


@dataclass(frozen=True)
class LastState:
    """What a Markov dynamics carries: the last state, or None before the first frame.

    like: zeros of a state's shape, on its device.
    """

    __repr__ = short_repr

    z: Float[Tensor, "b k d"] | None
    like: Float[Tensor, "b k d"]


@dataclass(frozen=True)
class Carry:
    """Everything that crosses a time step of a SequenceModel."""

    __repr__ = short_repr

    dynamics: Any
    posterior: Any


@dataclass(frozen=True)
class Scene:
    """Rendered frames in [0, 1], and the weight with which each slot shows at each pixel, if defined."""

    __repr__ = short_repr

    frames: Float[Tensor, "b t c h w"]
    masks: Float[Tensor, "b t k h w"] | None = None


@dataclass(frozen=True)
class Trace:
    """Latent states over time, filtered or imagined, and the densities they were drawn from.

    z: (b, t, k, d). prior: p(z_t | z_<t) stacked over t. posterior: q(z_t | x_<=t, z_<t) stacked over t
    (None when imagined). evidence: in the trace's slot order (None when imagined). carry: the state
    after the last frame, from which filtering or imagination goes on. log_posterior: log q(z_t | ...), nats,
    where drawing z gave it and the posterior could tell it only at a price (a flow); else None.
    """

    __repr__ = short_repr

    z: Float[Tensor, "b t k d"]
    prior: Distribution
    posterior: Distribution | None
    evidence: Evidence | None
    context: Tensor | None
    carry: Carry
    log_posterior: Float[Tensor, "b t"] | None = None

    def then(self, later: Trace) -> Trace:
        """This trace and one that goes on from its carry, as one."""
        names = ("z", "prior", "posterior", "evidence", "context", "log_posterior")
        joined = {n: concat_frames([getattr(self, n), getattr(later, n)]) for n in names}
        return Trace(**joined, carry=later.carry)


@dataclass(frozen=True)
class Terms:
    """Terms of an objective in nats, per sequence and frame: name -> "b t".

    weights: name -> weight of a term that is trained beside the bound, as no part of it. defined: name -> the
    frames on which a term is defined, if these are not all; on the other frames its value is 0.

    The mean of `total` is what an optimiser maximises: it counts the zeros. Numbers that are reported come
    from `per_frame` and `bound`, which do not.
    """

    __repr__ = short_repr

    values: dict[str, Float[Tensor, "b t"]]
    weights: dict[str, float] = field(default_factory=dict)
    defined: dict[str, Bool[Tensor, "b t"]] = field(default_factory=dict)

    def total(self) -> Float[Tensor, "b t"]:
        """Return what is trained: the bound and the weighted terms beside it, nats per frame."""
        return sum(self.weights.get(name, 1.0) * value for name, value in self.values.items())

    def unweighted(self) -> Float[Tensor, "b t"]:
        """The sum of all terms without a weight: the bound, or the energy that stands in for it."""
        bound = [value for name, value in self.values.items() if name not in self.weights]
        return sum(bound) if bound else torch.zeros_like(self.total())

    def per_frame(self, *names: str) -> Float[Tensor, ""]:
        """Return the sum of the named terms over the batch, divided by the frames on which all are defined.

        The result is NaN if there is no such frame.
        """
        total = sum(self.values[name] for name in names)
        defined = [self.defined[name] for name in names if name in self.defined]
        if not defined:
            return total.mean()
        frames = torch.stack(defined).all(0).sum()
        return torch.where(frames > 0, total.sum() / frames, torch.nan)

    @property
    def bounded(self) -> bool:
        """Whether any term has no weight, and so is part of a bound."""
        return any(name not in self.weights for name in self.values)

    def bound(self) -> Float[Tensor, ""]:
        """Return `per_frame` of all terms without a weight: a bound only if each is a log-density.

        The result is NaN if every term has a weight.
        """
        names = [name for name in self.values if name not in self.weights]
        return self.per_frame(*names) if self.bounded else self.total().new_full((), torch.nan)


@runtime_checkable
class FrameModel(Protocol):
    """p(x_t | z_t, h_t), and what a frame says about z_t.

    unnormalised: names of the terms that are energies, not log-densities; with any there is no bound. Where
    the model has them: beside: term -> weight of those that are no part of the bound; background_slots: how
    many slots, the first ones, are no objects and keep their place. One whose slots can be absent has a
    field `presence`, the first of its layout, and a method `terms_by_count`: as `terms`, but "n b t", of the
    first n = 0 to k slots of z alone.
    """

    layout: StateLayout
    slots: int
    unnormalised: frozenset[str]

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Evidence: ...

    def terms(
        self, video: Float[Tensor, "b t c h w"], z: Float[Tensor, "b t k d"], evidence: Evidence, context: Any
    ) -> dict[str, Float[Tensor, "b t"]]: ...

    def decode(self, z: Float[Tensor, "b t k d"], context: Any = None) -> Scene: ...


@runtime_checkable
class Posterior(Protocol):
    """q(z_t | x_<=t, z_<t).

    One that draws the presence of slots says so with `counts = True`, as such a dynamics does.
    """

    def init(self, batch: int, like: Tensor) -> Any: ...

    def __call__(
        self, evidence: Evidence, transition: Transition, carry: Any
    ) -> tuple[Distribution, Evidence, Any]: ...


@runtime_checkable
class Dynamics(Protocol):
    """p(z_t | z_<t, a_<t).

    `update` goes on from the carry that `predict` was given, or from the one in its Transition, where the
    action must be remembered. One whose `update` needs the evidence of every frame says so with
    `reads_frames = True`: in imagination it then gets what the frame model sees of its own frames. One that
    takes no notice of actions says so with `ignores_actions = True`.
    """

    layout: StateLayout

    def init(self, batch: int, like: Tensor) -> Any: ...

    def predict(self, carry: Any, prev_action: Tensor | None) -> Transition: ...

    def update(self, carry: Any, z: Float[Tensor, "b k d"], evidence: Evidence | None) -> Any: ...


@runtime_checkable
class Schedule(Protocol):
    """A factor on the learning rate or on the weight of a term, a pure function of where a training stands.

    step: updates so far, from 0
    progress: the share of the budget that is used up, in [0, 1]
    """

    def __call__(self, step: int, progress: float) -> float: ...


def require_fields(layout: StateLayout, names: tuple[str, ...], part: str, remedy: str) -> None:
    """Raise UserError unless the layout has the fields that `part` ("model.dynamics: X") needs."""
    if not all(name in layout for name in names):
        has = ", ".join(field.name for field in layout.fields)
        raise UserError(f"{part} needs {' and '.join(names)} in the state, which has {has}; {remedy}")


def refuse_presence(layout: StateLayout, part: str, remedy: str) -> None:
    """Raise UserError where slots can be absent, of which `part` ("model.dynamics: X") knows nothing."""
    if "presence" in layout:
        raise UserError(
            f"{part} takes every slot for an object, and in this frame model some are absent; use {remedy}"
        )


def require_names(layout: StateLayout, names: Iterable[str], key: str) -> None:
    """Raise UserError unless every name, given for the config's `key`, is that of a field."""
    for name in names:
        if name not in layout:
            has = ", ".join(field.name for field in layout.fields)
            raise UserError(f"{key}.{name}: the state has no such field; it has {has}")
