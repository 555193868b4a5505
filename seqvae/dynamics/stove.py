"""The dynamics of STOVE as published: absolute states into the pair networks, and no inertia.

Kossen et al. 2020, arXiv 1910.02425, appendix, and the authors' implementation: with its weights the network
gives its numbers. Kept for comparison; GraphDynamics learns much faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqvae.config import register
from seqvae.distributions import Normal, gaussian_log_density
from seqvae.dynamics.markov import RANDOM_WALK_STD, MarkovDynamics, Stds
from seqvae.errors import UserError
from seqvae.layout import StateLayout, require_names
from seqvae.nn.layers import mlp
from seqvae.share import randn_like
from seqvae.types import Dynamics, Encoding, LastState, Transition

ACTION_NUMBERS = 4  # per slot
HELD_STD = 0.1  # of the proposal of a held field without a default


@dataclass(frozen=True)
class FirstState(LastState):
    """The state of the first frame, in which no velocity was observed."""


@dataclass(frozen=True)
class Held:
    """N(z; mean, diag std^2) over the numbers with a std; those with std 0 keep their mean, at density 1."""

    mean: Float[Tensor, "*b k d"]
    std: Float[Tensor, "*b k d"]

    def rsample(self) -> Float[Tensor, "*b k d"]:
        return self.mean + self.std * randn_like(self.mean)

    def log_prob(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b"]:
        free = self.std > 0
        density = gaussian_log_density(z, self.mean, torch.where(free, self.std, 1.0))
        return torch.where(free, density, 0.0).sum((-2, -1))

    def point(self) -> Float[Tensor, "*b k d"]:
        return self.mean


class AddedMLP(nn.Module):
    """y = W h + h, where h are the hidden layers, each with its activation."""

    def __init__(self, *sizes: int, activation: type[nn.Module]):
        super().__init__()
        self.hidden = nn.Sequential(*mlp(*sizes, activation=activation), activation())
        self.last = nn.Linear(sizes[-1], sizes[-1])

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        h = self.hidden(x)
        return self.last(h) + h


@register(Dynamics)
class StoveDynamics(MarkovDynamics):
    """x' = x + g_x, (v', latent') = (g_v, g_latent), with g = 2 sigmoid(r) - 1 and r from a graph network.

    Of every slot i, with s_i the numbers that move, h_i = (x_i, the rest of W s_i):
        t_i = own(h_i) + sum over j != i of exp(attention(h_i, h_j, |x_i - x_j|^2)) relation(the same)
        (r_i, std_i) = out(affect(t_i), h_i)
    with a residual sum in own, relation, affect and out. The width is twice the count of numbers that move.
    A field "colour" of the frame layout joins s_i, as does an action: 4 numbers, other ones per slot.

    Frame 2 is predicted like frame 1, around the place of frame 1: N((x_1, 0, 0), first_std^2); the network
    begins with frame 3.

    actions: number of discrete actions; 0 without
    latent: count of numbers that no frame shows
    held: fields that keep their value and have no density over time, in place of a random walk; the objective
        is then no bound
    prior_std, proposal_std, walk, first_std: see MarkovDynamics

    Raises:
        UserError: `held` names no field, or one that moves.
    """

    _free: Tensor  # (d,): True where a number has a density over time
    _kept: Tensor  # (d,): True where frame 2 is expected to keep the value of frame 1

    def __init__(
        self,
        frame_layout: StateLayout,
        slots: int,
        actions: int = 0,
        latent: int = 12,
        held: tuple[str, ...] = (),
        prior_std: Stds | None = None,
        proposal_std: Stds | None = None,
        walk: Stds | None = None,
        first_std: Stds | None = None,
    ):
        require_names(frame_layout, held, "model.dynamics.held")
        walk = {name: RANDOM_WALK_STD.get(name, HELD_STD) for name in held} | dict(walk or {})
        super().__init__(frame_layout, slots, latent, prior_std, proposal_std, walk, first_std)
        self.held = tuple(held)
        if moved := [name for name in held if name in self.moved]:
            raise UserError(f"model.dynamics.held: {moved[0]} moves; name others")
        self.register_buffer("_free", self._marks(*held).logical_not(), persistent=False)
        self.register_buffer("_kept", self._marks("velocity", "latent").logical_not(), persistent=False)

        state = sum(self.sizes)
        width, given = 2 * state, frame_layout.field("colour").size if "colour" in frame_layout else 0
        self.action = nn.Linear(actions, slots * ACTION_NUMBERS) if actions else None
        self.state = nn.Linear(state + (ACTION_NUMBERS if actions else 0) + given, width)
        pair = (2 * width + 1, 2 * width, width)
        self.own = AddedMLP(width, width, activation=nn.ReLU)
        self.relation = AddedMLP(*pair, activation=nn.ReLU)
        self.attention = mlp(*pair, 1, activation=nn.ReLU)
        self.affect = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = AddedMLP(2 * width, width, activation=nn.Tanh)

    def _marks(self, *names: str) -> Tensor:
        """Return a mask "d" of the numbers of these fields."""
        marks = torch.zeros(self.layout.dim, dtype=torch.bool)
        for name in names:
            if name in self.layout:
                marks[self.layout[name]] = True
        return marks

    def predict(self, carry: LastState, prev_action: Int[Tensor, "b"] | None = None) -> Transition:
        if isinstance(carry, FirstState):
            transition = self._first(cast(Tensor, carry.z) * self._kept)
        else:
            transition = super().predict(carry, prev_action)
        if not self.held:
            return transition
        prior = cast(Normal, transition.prior)
        return replace(transition, prior=Held(prior.mean, prior.std * self._free))

    def update(self, carry: LastState, z: Float[Tensor, "b k d"], encoding: Encoding | None) -> LastState:
        return (FirstState if carry.z is None else LastState)(z, carry.like)

    def step(
        self, z: Float[Tensor, "b k d"], action: Int[Tensor, "b"] | None = None
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k d"]]:
        now = self.layout.split(z)
        # 1. s_i and h_i of each slot: b k s, b k w
        joined = [] if self.action is None else [self._action_numbers(self.action, action, z)]
        colour = [now["colour"]] if "colour" in now else []
        state = torch.cat([now[name] for name in self.moved] + joined + colour, -1)
        h = torch.cat([now["position"], self.state(state)[..., 2:]], -1)
        # 2. t_i and r_i
        total = self.own(h) + self._effects(h, now["position"])
        raw_mean, raw_std = self.out(torch.cat([self._affected(total), h], -1)).chunk(2, -1)
        # 3. the moved fields change, all others have a share of 1
        changes = (2 * raw_mean.sigmoid() - 1).split(self.sizes, -1)
        stds = raw_std.sigmoid().split(self.sizes, -1)
        after = now | dict(zip(self.moved, changes, strict=True))
        ones = {name: torch.ones_like(value) for name, value in now.items()}
        share = ones | dict(zip(self.moved, stds, strict=True))
        after["position"] = now["position"] + after["position"]
        return torch.cat(list(after.values()), -1), torch.cat(list(share.values()), -1)

    def _action_numbers(
        self, layer: nn.Linear, action: Int[Tensor, "b"] | None, z: Float[Tensor, "b k d"]
    ) -> Float[Tensor, "b k 4"]:
        """Return the numbers of the action per slot; zeros without an action.

        Raises:
            UserError: slots were dropped, and it is not known which of them are left.
        """
        if action is None:
            return z.new_zeros(*z.shape[:2], ACTION_NUMBERS)
        if z.shape[1] != self.slots:
            raise UserError(
                f"model.dynamics: StoveDynamics has an action's numbers for {self.slots} slots, and there "
                f"are {z.shape[1]}; drop none, or use GraphDynamics"
            )
        every = layer.weight.T[action] + layer.bias
        return every.unflatten(-1, (self.slots, ACTION_NUMBERS))

    def _effects(self, h: Float[Tensor, "b k w"], x: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k w"]:
        """Return the sum over the other slots j of exp(attention) times relation."""
        k = h.shape[1]
        shape = (-1, k, k, -1)
        square = (x[:, :, None] - x[:, None]).square().sum(-1, keepdim=True)
        pairs = torch.cat([h[:, :, None].expand(shape), h[:, None].expand(shape), square], -1)  # b i j p
        others = 1 - torch.eye(k, device=x.device, dtype=x.dtype)
        weight = self.attention(pairs).exp() * others[:, :, None]
        return (weight * self.relation(pairs)).sum(2)

    def _affected(self, total: Float[Tensor, "b k w"]) -> Float[Tensor, "b k w"]:
        """Return affect(t_i)."""
        first, second, third = self.affect
        a = first(total).tanh()
        return third(second(a).tanh() + a)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load weights; those from before this class had the published network are refused."""
        if f"{prefix}alone.0.weight" in state_dict:
            raise UserError(
                "model.dynamics: these weights are of StoveDynamics from before it had the published "
                "network; train the model anew"
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
