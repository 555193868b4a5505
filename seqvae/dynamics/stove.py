"""The dynamics of STOVE as published: absolute states into the pair networks, and no inertia.

Kossen et al. 2020, arXiv 1910.02425, appendix. Kept for comparison; GraphDynamics learns much faster.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqvae.dynamics.markov import MarkovDynamics, Stds
from seqvae.layout import StateLayout
from seqvae.nn.mlp import mlp

ACTION_NUMBERS = 4


class StoveDynamics(MarkovDynamics):
    """x' = x + (2 sigmoid - 1), v' = 2 sigmoid - 1, latent' = 2 sigmoid - 1. Stds: see MarkovDynamics.

    actions: the number of discrete actions, embedded and joined to every slot's state; 0 without.
    """

    def __init__(
        self, frame_layout: StateLayout, slots: int, actions: int = 0, latent: int = 12, width: int = 32,
        prior_std: Stds | None = None, proposal_std: Stds | None = None, walk: Stds | None = None,
        first_std: Stds | None = None,
    ):
        super().__init__(frame_layout, slots, latent, prior_std, proposal_std, walk, first_std)
        state = sum(self.sizes)
        self.action = nn.Embedding(actions, ACTION_NUMBERS) if actions else None
        self.state = nn.Linear(state + (ACTION_NUMBERS if actions else 0), width)
        self.alone = mlp(width, width, width, activation=nn.LeakyReLU)
        pair = (2 * width + 1, 2 * width, width)
        self.relation = mlp(*pair, width, activation=nn.LeakyReLU)
        self.attention = mlp(*pair, 1, activation=nn.LeakyReLU)
        self.affect = mlp(width, width, width, width, activation=nn.Tanh)
        self.out = mlp(2 * width, width, 2 * state, activation=nn.LeakyReLU)

    def step(
        self, z: Float[Tensor, "b k d"], action: Int[Tensor, "b"] | None = None
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k d"]]:
        now = self.layout.split(z)
        state = torch.cat([now[name] for name in self.moved], -1)
        if self.action is not None and action is not None:
            heard = self.action(action)[:, None].expand(-1, state.shape[1], -1)
            state = torch.cat([state, heard], -1)
        h = torch.cat([now["position"], self.state(state)[..., 2:]], -1)
        total = h + self.alone(h) + self._effects(h, now["position"])
        out = self.out(torch.cat([self.affect(total), h], -1))
        raw_mean, raw_std = out.chunk(2, -1)
        changes = (2 * raw_mean.sigmoid() - 1).split(self.sizes, -1)
        stds = raw_std.sigmoid().split(self.sizes, -1)
        after = now | dict(zip(self.moved, changes, strict=True))
        walks = {name: torch.ones_like(value) for name, value in now.items()}
        share = walks | dict(zip(self.moved, stds, strict=True))
        after["position"] = now["position"] + after["position"]
        return torch.cat(list(after.values()), -1), torch.cat(list(share.values()), -1)

    def _effects(self, h: Float[Tensor, "b k w"], x: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k w"]:
        """The sum over the others of exp(attention) times relation."""
        k = h.shape[1]
        shape = (-1, k, k, -1)
        square = (x[:, :, None] - x[:, None]).square().sum(-1, keepdim=True)
        pairs = torch.cat([h[:, :, None].expand(shape), h[:, None].expand(shape), square], -1)  # b i j: on i
        others = 1 - torch.eye(k, device=x.device, dtype=x.dtype)
        weight = self.attention(pairs).exp() * others[:, :, None]
        return (weight * self.relation(pairs)).sum(2)
