"""Rewards of what happens between objects: a network over slots and pairs of slots, summed over both.

After the reward network of STOVE (Kossen et al. 2020, arXiv 1910.02425), a perceptron per object whose sum
goes through another one. Here pairs enter as well, since a contact is a matter of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, relu

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.nn.kinds import RewardDensity
from seqvae.nn.layers import full_precision, mlp
from seqvae.nn.rewards import Event
from seqvae.tree import short_repr
from seqvae.types import RewardModel

END_RATE = 0.01  # probability of an end before training


@dataclass(frozen=True)
class SlotOutcome:
    """p(r | raw) of a density, and p(end) = sigmoid(end_logit)."""

    __repr__ = short_repr

    density: RewardDensity
    raw: Float[Tensor, "*b n"]
    end_logit: Float[Tensor, "*b"]

    def log_prob(self, reward: Float[Tensor, "*b"], end: Float[Tensor, "*b"]) -> dict[str, Tensor]:
        ends = torch.where(end > 0.5, logsigmoid(self.end_logit), logsigmoid(-self.end_logit))
        return {"reward": self.density.log_prob(reward, self.raw), "end": ends}

    def mean(self) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        return self.density.mean(self.raw), self.end_logit.sigmoid()


@register(RewardModel)
class SlotReward(RewardModel):
    """raw, end logit = out(sum over slots i of own(h_i, sum over others j of relation(h_i, h_j, geometry)))

    h_i describes slot i before and after the step, and the action. The geometry of a pair is relative
    position and distance before and after, where slots have a position. Both sums make every order of slots
    alike.

    density: of the reward; None for an event worth -1
    width: of the networks
    velocity_scale: a typical speed, half-widths per frame
    """

    def __init__(
        self,
        layout: StateLayout,
        slots: int,
        actions: int = 0,
        density: RewardDensity | None = None,
        width: int = 64,
        velocity_scale: float = 0.05,
    ):
        super().__init__()
        self.layout, self.velocity_scale = layout, velocity_scale
        self.density = Event() if density is None else density
        self.state = nn.Linear(2 * layout.dim, width)
        self.action = nn.Embedding(actions, width) if actions else None
        self.has_pairs = slots > 1
        if self.has_pairs:
            self.pair_own, self.pair_other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
            self.geometry = nn.Linear(6, width, bias=False) if "position" in layout else None
            self.relation = nn.Linear(width, width)
        self.own = mlp((2 if self.has_pairs else 1) * width, width, width, activation=nn.ReLU)
        self.out = mlp(width, width, self.density.numbers + 1, activation=nn.ReLU, zero_last=True)
        self.end_offset = float(torch.logit(torch.tensor(END_RATE, dtype=torch.float64)))

    def __call__(
        self,
        before: Float[Tensor, "*b k d"],
        action: Int[Tensor, "*b"] | None,
        after: Float[Tensor, "*b k d"],
    ) -> SlotOutcome:
        with full_precision(after.device):  # log-densities, of distances of a fraction of a pixel
            # 1. each slot by itself, and what acts on it: ... k w
            h = self.state(torch.cat([self._scaled(before), self._scaled(after)], -1))
            if self.action is not None and action is not None:
                h = h + self.action(action)[..., None, :]
            h = relu(h)
            # 2. with its relations to the others, summed over slots: ... w
            if self.has_pairs:
                h = torch.cat([h, self._relations(h, before, after)], -1)
            out = self.out(relu(self.own(h)).sum(-2))
        raw, end = out.split([self.density.numbers, 1], -1)
        return SlotOutcome(self.density, raw, end[..., 0] + self.end_offset)

    def _scaled(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b k d"]:
        """Return states whose velocities are in units of the scale."""
        if "velocity" not in self.layout:
            return z
        by_name = self.layout.split(z)
        by_name["velocity"] = by_name["velocity"] / self.velocity_scale
        return torch.cat(list(by_name.values()), -1)

    def _relations(
        self, h: Float[Tensor, "*b k w"], before: Float[Tensor, "*b k d"], after: Float[Tensor, "*b k d"]
    ) -> Float[Tensor, "*b k w"]:
        """Return the sum over the other slots of their relation to each."""
        # 1. all ordered pairs: ... k j w
        pair = self.pair_own(h)[..., :, None, :] + self.pair_other(h)[..., None, :, :]
        if self.geometry is not None:
            pair = pair + self.geometry(torch.cat([self._between(before), self._between(after)], -1))
        # 2. of which a slot with itself is none
        k = h.shape[-2]
        others = 1 - torch.eye(k, dtype=h.dtype, device=h.device)
        return (relu(self.relation(relu(pair))) * others[..., None]).sum(-2)

    def _between(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b k k 3"]:
        """Return relative position and distance of each pair."""
        x = z[..., self.layout["position"]]
        apart = x[..., None, :, :] - x[..., :, None, :]
        return torch.cat([apart, (apart.square().sum(-1, keepdim=True) + 1e-6).sqrt()], -1)

    def require_rewards(self, rewards: Float[Tensor, "n t"]) -> None:
        fault = self.density.fault(rewards.flatten())
        if fault is not None:
            name = type(self.density).__name__
            raise UserError(
                f"model.reward.density: {name} cannot be the density of these rewards: {fault}; give another "
                "one, such as model.reward.density._target_=seqvae.nn.rewards.TwoHotAmount"
            )
