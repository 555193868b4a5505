"""Graph network dynamics: objects move by inertia and push each other.

After STOVE (Kossen et al. 2020, arXiv 1910.02425), which builds on interaction networks (Battaglia et
al. 2016, arXiv 1612.00222). Differences, each measured in docs/log.md: pairs are described by relative
position, distance, relative velocity and approach speed; velocities enter at unit scale; the update is
inertial and starts as the linear extrapolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from seqvae.nn.mlp import mlp
from seqvae.types import Evidence, Transition


@dataclass(frozen=True)
class GraphCarry:
    """The last state, or None before the first frame."""

    z: Float[Tensor, "b k d"] | None
    like: Tensor


class GraphDynamics(nn.Module):
    """p(z_t | z_t-1, a_t-1): v' = v + dv, x' = x + v' + dx, latent' = tanh(.), from a graph network.

    Fields that are neither position, velocity nor latent (size, appearance) keep their value up to a
    random walk with std `walk[name]`. Stds: `prior_std` by field is the generative transition's; the
    proposal's, which weighs the prediction in the posterior, is learned and at most `proposal_std`.
    velocity_scale: a typical speed, half-widths per frame.
    """

    def __init__(
        self, frame_layout: StateLayout, slots: int, actions: int = 0, latent: int = 12, width: int = 64,
        velocity_scale: float = 0.05, prior_std: dict[str, float] | None = None,
        proposal_std: dict[str, float] | None = None, walk: dict[str, float] | None = None,
        first_std: dict[str, float] | None = None,
    ):
        super().__init__()
        self.layout = frame_layout.extend(Field("latent", latent, "prior"))
        self.slots, self.velocity_scale = slots, velocity_scale
        walk = {"size": 0.02, "appearance": 0.1} | dict(walk or {})
        prior_std = {"position": 0.01, "velocity": 0.01, "latent": 0.01} | walk | dict(prior_std or {})
        proposal_std = {"position": 0.3, "velocity": 0.04, "latent": 0.04} | walk | dict(proposal_std or {})
        first_std = {"size": 0.3, "position": 0.6, "velocity": 0.1, "latent": 0.1} | dict(first_std or {})
        self._register("prior_std", prior_std)
        self._register("max_std", proposal_std)
        self._register("first_std", first_std, default=1.0)
        first_mean = torch.zeros(self.layout.dim)
        if "size" in self.layout:
            first_mean[self.layout["size"]] = 0.3
        self.register_buffer("first_mean", first_mean, persistent=False)

        self.state = mlp(4 + latent, width, width)
        self.pair_own, self.pair_other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.pair_geometry = nn.Linear(6, width)
        self.relation = mlp(width, width, width)
        self.attention = nn.Linear(width, 1)
        self.out = mlp(2 * width, width, width, 4 + latent + 3, zero_last=True)

    def _register(self, name: str, by_field: dict[str, float], default: float | None = None) -> None:
        values = torch.cat([
            torch.full((f.size,), by_field[f.name] if default is None else by_field.get(f.name, default))
            for f in self.layout.fields
        ])
        self.register_buffer(name, values, persistent=False)

    def init(self, batch: int, like: Tensor) -> GraphCarry:
        return GraphCarry(None, like.new_zeros(batch, self.slots, self.layout.dim))

    def predict(self, carry: GraphCarry, prev_action: Tensor | None = None) -> Transition:
        if carry.z is None:
            first = Normal(self.first_mean + carry.like, self.first_std + carry.like)
            return Transition(first, first)
        mean, share = self.step(carry.z)
        prior = Normal(mean, self.prior_std.expand_as(mean))
        proposal = Normal(mean, 1e-3 + self.max_std * share)
        return Transition(prior, proposal)

    def update(self, carry: GraphCarry, z: Float[Tensor, "b k d"], evidence: Evidence | None) -> GraphCarry:
        return GraphCarry(z, carry.like)

    def step(self, z: Float[Tensor, "b k d"]) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k d"]]:
        """The mean of the next state, and the proposal's std as a share of its maximum."""
        at = self.layout
        x, v, latent = z[..., at["position"]], z[..., at["velocity"]], z[..., at["latent"]]
        unit_v = v / self.velocity_scale
        h = self.state(torch.cat([x, unit_v, latent], -1))
        effect = self._effects(h, x, unit_v)
        out = self.out(torch.cat([h, effect], -1))
        dv, dx, raw_latent, raw_std = out.split([2, 2, latent.shape[-1], 3], -1)
        next_v = v + self.velocity_scale * dv
        mean = at.split(z) | {
            "position": x + next_v + self.velocity_scale * dx,
            "velocity": next_v,
            "latent": torch.tanh(raw_latent),
        }
        stds = (raw_std - 1).sigmoid().split(1, -1)
        share = {name: torch.ones_like(value) for name, value in mean.items()}
        for name, std in zip(["position", "velocity", "latent"], stds, strict=True):
            share[name] = std.expand_as(mean[name])
        return torch.cat(list(mean.values()), -1), torch.cat(list(share.values()), -1)

    def _effects(self, h: Tensor, x: Tensor, v: Tensor) -> Float[Tensor, "b k width"]:
        """The sum over the others of attention times relation."""
        dx, dv = x[:, None] - x[:, :, None], v[:, None] - v[:, :, None]  # b i j 2: from i to j
        distance = (dx.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        approach = (dx * dv).sum(-1, keepdim=True) / distance
        geometry = self.pair_geometry(torch.cat([dx, distance, dv, approach], -1))
        pair = nn.functional.elu(self.pair_own(h)[:, :, None] + self.pair_other(h)[:, None] + geometry)
        relation = self.relation(pair)
        weight = self.attention(nn.functional.elu(relation)).sigmoid()
        others = 1 - torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
        return (weight * relation * others[:, :, None]).sum(2)
