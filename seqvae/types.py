"""Records that the parts of a model pass to each other, and the base classes of the parts.

Axes: b batch, t frame, k slot, d latent, c h w image, a action. Log-probabilities are in nats and up is
good. Records are frozen and hold unreduced tensors; an explicit carry crosses a time step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.tree import concat_frames, short_repr, sum_tensors


@dataclass(frozen=True)
class ActionSpace:
    """The actions of a world: one of `count` numbers, a vector inside of limits, or none at all.

    count: number of discrete actions, 0 without
    low, high: limits of each number of a vector, which may be infinite
    """

    count: int = 0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return self.count > 0 or self.size > 0

    @property
    def size(self) -> int:
        """Count of numbers of a vector, 0 for discrete actions."""
        return len(self.low)

    def __str__(self) -> str:
        return f"vectors of {self.size} numbers" if self.size else f"{self.count} actions"


@dataclass(frozen=True)
class DataSpec:
    """Everything that a model has to know of its data.

    height, width, channels: size of a frame, pixels
    actions: number of discrete actions; 0 without
    objects: number of objects; None if the data does not say
    coord_limit: positions on disk lie in [0, coord_limit]; None if the data has no positions
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


@runtime_checkable
class Distribution(Protocol):
    """A density over the last two axes (k d) of z, with any leading batch axes."""

    def rsample(self) -> Tensor: ...

    def log_prob(self, z: Tensor) -> Tensor: ...

    def point(self) -> Tensor: ...


@dataclass(frozen=True)
class Encoding:
    """A Gaussian likelihood of z per slot, from frames: N(mean; z, 1 / precision) over the leading fields.

    mean: (b, [t,] k, e)
    precision: (b, [t,] k, e), 0 for "not observed": fusion then returns the prior
    features: further tensors (b, [t,] k, ...) that belong to a slot and follow its order
    """

    __repr__ = short_repr

    mean: Float[Tensor, "b *t k e"]
    precision: Float[Tensor, "b *t k e"]
    features: dict[str, Tensor] = field(default_factory=dict)

    def map(self, fn: Callable[[Tensor], Tensor]) -> Encoding:
        """Apply fn to every tensor."""
        return Encoding(fn(self.mean), fn(self.precision), {n: fn(x) for n, x in self.features.items()})

    def at(self, t: int) -> Encoding:
        """Return the encoding of one frame."""
        return self.map(lambda x: x[:, t])

    def observed(self, seen: Bool[Tensor, "b t"]) -> Encoding:
        """Return the encoding with mean and precision 0 in the frames that were not seen."""
        mean, precision = (x.masked_fill(~seen[..., None, None], 0) for x in (self.mean, self.precision))
        return Encoding(mean, precision, self.features)


@dataclass(frozen=True)
class Transition:
    """The prediction of the next state before its frame is seen.

    prior: p(z_t | z_<t), the generative density
    proposal: the dynamics' factor in the posterior; the prior, or the same mean with a std of its own
    context: h_t "b h", which frame model and posterior condition on; None without
    carry: the carry with the action taken in, from which `update` goes on; None if it is the one given
    """

    __repr__ = short_repr

    prior: Distribution
    proposal: Distribution
    context: Tensor | None = None
    carry: Any = None

    def carried(self, given: Any) -> Any:
        """Return the carry from which `update` goes on, after a prediction from the carry `given`."""
        return given if self.carry is None else self.carry


@dataclass(frozen=True)
class LastState:
    """The carry of a Markov dynamics.

    z: the last state; None before the first frame
    like: zeros of a state's shape, on its device
    """

    __repr__ = short_repr

    z: Float[Tensor, "b k d"] | None
    like: Float[Tensor, "b k d"]


@dataclass(frozen=True)
class Carry:
    """Everything that crosses a time step of a SequenceModel.

    dynamics: the carry of the dynamics
    posterior: the carry of the posterior
    """

    __repr__ = short_repr

    dynamics: Any
    posterior: Any


@dataclass(frozen=True)
class Imagined:
    """States that a dynamics imagined by itself.

    z: (b, t, k, d)
    prior: p(z_t | z_<t), over "b t k d"
    carry: of the dynamics, after the last state
    """

    __repr__ = short_repr

    z: Float[Tensor, "b t k d"]
    prior: Distribution
    carry: Any


@dataclass(frozen=True)
class Scene:
    """Rendered frames.

    frames: pixels in [0, 1]
    masks: the weight of each slot at each pixel; None for models without masks
    """

    __repr__ = short_repr

    frames: Float[Tensor, "b t c h w"]
    masks: Float[Tensor, "b t k h w"] | None = None


@dataclass(frozen=True)
class Trace:
    """Latent states over time, filtered or imagined, and the densities from which they were drawn.

    z: (b, t, k, d)
    prior: p(z_t | z_<t), stacked over t
    posterior: q(z_t | x_<=t, z_<t), stacked over t; None if imagined
    encoding: the encoded frames, in the trace's slot order; None if imagined
    context: h_t "b t h"; None for dynamics without
    carry: the state after the last frame, from which filtering or imagination goes on
    log_posterior: log q(z_t | ...), nats, if drawing z gave it for free (a flow); else None
    """

    __repr__ = short_repr

    z: Float[Tensor, "b t k d"]
    prior: Distribution
    posterior: Distribution | None
    encoding: Encoding | None
    context: Tensor | None
    carry: Carry
    log_posterior: Float[Tensor, "b t"] | None = None

    def then(self, later: Trace) -> Trace:
        """Return this trace and one that goes on from its carry as one trace.

        What either of them lacks is None: a filtered trace with its imagined future has no posterior.
        """
        names = ("z", "prior", "posterior", "encoding", "context", "log_posterior")
        pairs = {n: [getattr(self, n), getattr(later, n)] for n in names}
        joined: dict[str, Any] = {
            n: None if any(x is None for x in pair) else concat_frames(pair) for n, pair in pairs.items()
        }
        return Trace(**joined, carry=later.carry)


@dataclass(frozen=True)
class Terms:
    """Terms of an objective in nats, per sequence and frame.

    values: name -> term "b t"
    weights: name -> weight of an auxiliary term, which is trained and is no part of the bound
    defined: name -> the frames on which a term is defined, if these are not all; its value is 0 on the others

    The mean of `objective` is maximised by the optimiser and counts the zeros. Reported numbers come from
    `per_frame` and `bound_per_frame`, which do not.
    """

    __repr__ = short_repr

    values: dict[str, Float[Tensor, "b t"]]
    weights: dict[str, float] = field(default_factory=dict)
    defined: dict[str, Bool[Tensor, "b t"]] = field(default_factory=dict)

    def objective(self) -> Float[Tensor, "b t"]:
        """Return the bound plus the weighted auxiliary terms, nats per frame."""
        return sum_tensors([self.weights.get(name, 1.0) * value for name, value in self.values.items()])

    def bound(self) -> Float[Tensor, "b t"]:
        """Return the sum of all terms without a weight: the bound, or the energy that stands in for it."""
        bound = [value for name, value in self.values.items() if name not in self.weights]
        return sum_tensors(bound) if bound else torch.zeros_like(self.objective())

    @property
    def bounded(self) -> bool:
        """True if any term has no weight, and so is part of a bound."""
        return any(name not in self.weights for name in self.values)

    def per_frame(self, *names: str) -> Float[Tensor, ""]:
        """Return the sum of the named terms over the batch, divided by the frames on which all are defined.

        The result is NaN if there is no such frame.
        """
        total = sum_tensors([self.values[name] for name in names])
        defined = [self.defined[name] for name in names if name in self.defined]
        if not defined:
            return total.mean()
        frames = torch.stack(defined).all(0).sum()
        return torch.where(frames > 0, total.sum() / frames, torch.nan)

    def bound_per_frame(self) -> Float[Tensor, ""]:
        """Return `per_frame` of all terms without a weight: a bound only if each is a log-density.

        The result is NaN if every term has a weight.
        """
        names = [name for name in self.values if name not in self.weights]
        return self.per_frame(*names) if self.bounded else self.objective().new_full((), torch.nan)


class FrameModel(nn.Module):
    """p(x_t | z_t, h_t), and the encoder of a frame. Made with height, width, channels and slots.

    layout: the fields of a slot's state, and how the posterior forms each
    slots: number of slots, those of a background included
    context: numbers of the dynamics' context h_t that it reads; 0 for none
    background_slots: number of slots, the first ones, that are no objects and keep their place
    unnormalised: names of terms that are energies, no log-densities; with any there is no bound
    auxiliary: term -> weight of the terms that are no part of the bound
    size_limits: smallest and largest half-extent of a box, half-widths; None for models without boxes
    has_background: whether `begin_background` is of use
    """

    layout: StateLayout
    slots: int
    context: int = 0
    background_slots: int = 0
    unnormalised: frozenset[str] = frozenset()
    auxiliary: Mapping[str, float] = MappingProxyType({})
    size_limits: tuple[float, float] | None = None
    has_background: bool = False

    def begin_background(self, image: Float[Tensor, "c h w"]) -> None:  # noqa: B027  most have none
        """Begin with this image behind the objects; a new training calls it with the median of its frames."""

    @abstractmethod
    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Return a Gaussian over the fields of `layout` for each slot, from each frame alone.

        The precision is 0 for what a frame does not show, such as a velocity.
        """
        raise NotImplementedError

    @abstractmethod
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Return the terms of log p(x_t | z_t, h_t), by name, nats per frame.

        encoding: that of the trace, in its order of slots; None for imagined frames
        context: h_t "b t h", None for dynamics that give none
        """
        raise NotImplementedError

    def terms_by_count(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "n b t"]]:
        """Return `terms` of the first n slots of z alone, for n = 0 to k.

        Only for models whose slots can be absent, with a field `presence`, the first of the layout.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the frames in [0, 1], and masks if there are any, for which states stand."""
        raise NotImplementedError


class Posterior(nn.Module):
    """q(z_t | x_<=t, z_<t). Made with the layout.

    context: numbers of the dynamics' context h_t that it reads; 0 for none
    background_slots: number of slots, the first ones, that keep their place
    keeps_frame_order: whether slots stay in the order in which the encoder gives those of each frame
    has_presence: whether it infers which slots are present
    """

    context: int = 0
    background_slots: int = 0
    keeps_frame_order: bool = False
    has_presence: bool = False

    def init(self, batch: int, like: Tensor) -> Any:
        """Return the carry before the first frame: None if nothing crosses a time step.

        like: a tensor of any shape, whose device and dtype the carry has
        """
        return None

    @abstractmethod
    def __call__(
        self, encoding: Encoding, transition: Transition, carry: Any
    ) -> tuple[Distribution, Encoding, Any]:
        """Return q(z_t), the frame's encoding in the order of z_t's slots, and the carry.

        encoding: of one frame, "b k e"; precision 0 marks what was not observed
        transition: the prediction of the dynamics, in the order of its slots
        carry: of `init` before the first frame, later the one that the last call returned
        """
        raise NotImplementedError

    def identity(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b n"] | None:
        """Return the numbers by whose squared distances slots are told apart; None for positions alone.

        z: states, or what a frame says of them
        """
        return None

    def baseline(self, encoding: Encoding) -> Float[Tensor, "b t"] | None:
        """Return a guess of the frame's objective, nats above the mean of a batch; None without one."""
        return None


class Dynamics(nn.Module):
    """p(z_t | z_<t, a_<t). Made with the frame model's layout (frame_layout), slots and actions.

    layout: the fields of a slot's state: those of the frame model, then its own
    context: numbers of the context h_t that it gives; 0 for none
    held: names of fields without a density over time
    frames_independent: whether z_t does not depend on the past
    has_presence: whether it predicts which slots are present
    reads_frames: whether `update` reads the encoding of every frame; in imagination, that of the model's own
    ignores_actions: whether actions make no difference
    fixed_start: whether p(z_1) is wide and not learned, so that frame 1 of a sample is no frame of the data
    """

    layout: StateLayout
    context: int = 0
    held: tuple[str, ...] = ()
    frames_independent: bool = False
    has_presence: bool = False
    reads_frames: bool = False
    ignores_actions: bool = False
    fixed_start: bool = False

    @abstractmethod
    def init(self, batch: int, like: Tensor) -> Any:
        """Return the carry before the first frame: a tensor, or a record of tensors with b as first axis.

        like: a tensor of any shape, whose device and dtype the carry has
        """
        raise NotImplementedError

    @abstractmethod
    def predict(self, carry: Any, prev_action: Int[Tensor, "b"] | None) -> Transition:
        """Return the prediction of the next state, before its frame is seen.

        carry: of `init` before the first frame, later of `update`
        prev_action: the action that leads to this frame; None for data without actions
        """
        raise NotImplementedError

    @abstractmethod
    def update(self, carry: Any, z: Float[Tensor, "b k d"], encoding: Encoding | None) -> Any:
        """Return the carry after the state z.

        carry: that of the Transition if it has one, else the one that `predict` was given
        encoding: of the frame, in the order of z's slots; None in imagination, unless it `reads_frames`
        """
        raise NotImplementedError

    def unchanged(self) -> AbstractContextManager[None]:
        """Return a context in which no weight changes, so that something can be prepared for many steps."""
        return nullcontext()

    def imagine(
        self, carry: Any, horizon: int, actions: Tensor | None, sample: bool | Bool[Tensor, "b"]
    ) -> Imagined | None:
        """Return what `SequenceModel.imagine` finds frame by frame, at once; None, the default, if it cannot.

        carry: of the last `update`
        actions: "b t"; actions[:, 0] leads to the first imagined frame
        sample: whether to draw each state instead of taking its mean; a tensor says so per sequence
        """
        return None


@runtime_checkable
class Outcome(Protocol):
    """p(r_t, end_t) of a step, with any leading batch axes."""

    def log_prob(self, reward: Tensor, end: Tensor) -> dict[str, Tensor]:
        """Return log p of a reward and of whether the episode ends (0 or 1), by name, nats."""
        ...

    def mean(self) -> tuple[Tensor, Tensor]:
        """Return the expected reward and the probability of an end."""
        ...


class RewardModel(nn.Module):
    """p(r_t, end_t | z_t-1, a_t-1, z_t), alike for every order of slots. Made with layout, slots and actions.

    An optional part of a model: what a step is worth, and whether the episode ends with it.
    """

    @abstractmethod
    def __call__(
        self, before: Float[Tensor, "*b k d"], action: Tensor | None, after: Float[Tensor, "*b k d"]
    ) -> Outcome:
        """Return the outcome of a step.

        before, after: the states of all slots, in one order
        action: the one that led to `after`, "*b"; None for data without actions
        """
        raise NotImplementedError

    def require_rewards(self, rewards: Float[Tensor, "n t"]) -> None:
        """Raise UserError if the rewards of a training are not of the kind that this part is made for."""


@runtime_checkable
class Schedule(Protocol):
    """A factor on the learning rate or on the weight of a term, a pure function of where a training stands.

    step: updates so far, from 0
    progress: the share of the budget that is used up, in [0, 1]
    """

    def __call__(self, step: int, progress: float) -> float: ...
