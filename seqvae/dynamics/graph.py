"""Graph network dynamics: objects move by inertia and push each other.

After STOVE (Kossen et al. 2020, arXiv 1910.02425), which builds on interaction networks (Battaglia et
al. 2016, arXiv 1612.00222). Differences, each measured in docs/log.md: pairs are described by relative
position, distance, relative velocity and approach speed; velocities enter at unit scale; the update is
inertial and starts as the linear extrapolation; rectified units, and one product per pair.

`step` and `_effects` define the dynamics. On the CPU, graph.c computes the same many times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import relu

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.dynamics.markov import MarkovDynamics, Stds
from seqvae.dynamics.native import SOURCE, Sizes, roll_out
from seqvae.layout import StateLayout
from seqvae.nn.layers import mlp
from seqvae.nn.native import usable
from seqvae.share import randn_like
from seqvae.types import Dynamics, Imagined, LastState


@register(Dynamics)
class GraphDynamics(MarkovDynamics):
    """v' = v + dv, x' = x + v' + dx, latent' = tanh(.), from a graph network over the slots.

    A frame layout without velocity leaves motion to the latents: x' = x + dx. With `impact` the displacement
    is tied to the change of velocity, which happens after a learned share s of the time between two frames:
    x' = x + s v + (1 - s) v'. So an object whose velocity stays moves straight on, whatever the weights are.

    actions: number of discrete actions, which all slots read; 0 without
    latent: count of numbers that no frame shows
    width: of the networks
    velocity_scale: a typical speed, half-widths per frame
    impact: whether velocities change at a moment between two frames
    prior_std, proposal_std, walk, first_std: see MarkovDynamics
    """

    learned: Tensor  # (m, d): 1 where number d belongs to the m-th moved field
    walks: Tensor  # (d,): 1 where a number follows a random walk

    def __init__(
        self,
        frame_layout: StateLayout,
        slots: int,
        actions: int = 0,
        latent: int = 12,
        width: int = 64,
        velocity_scale: float = 0.05,
        impact: bool = True,
        prior_std: Stds | None = None,
        proposal_std: Stds | None = None,
        walk: Stds | None = None,
        first_std: Stds | None = None,
    ):
        super().__init__(frame_layout, slots, latent, prior_std, proposal_std, walk, first_std)
        self.velocity_scale, self.impact = velocity_scale, impact
        learned = torch.zeros(len(self.moved), self.layout.dim)
        for i, name in enumerate(self.moved):
            learned[i, self.layout[name]] = 1
        self.register_buffer("learned", learned, persistent=False)
        self.register_buffer("walks", 1 - learned.sum(0), persistent=False)
        starts = {name: self.layout[name].start for name in self.moved}
        self._starts = starts["position"], starts.get("velocity", -1), starts["latent"]
        self._packed: Tensor | None = None  # the weights for graph.c, while they cannot change

        self.state = mlp(sum(self.sizes), width, width, activation=nn.ReLU)
        self.action = nn.Embedding(actions, width) if actions else None
        self.pair_own, self.pair_other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.pair_geometry = nn.Linear(6 if "velocity" in self.moved else 3, width, bias=False)
        self.relation = nn.Linear(width, width)
        self.attention = nn.Linear(width, 1)
        numbers = sum(self.sizes) + len(self.moved)
        self.out = mlp(2 * width, width, width, numbers, activation=nn.ReLU, zero_last=True)

    def step(
        self, z: Float[Tensor, "b k d"], action: Int[Tensor, "b"] | None = None
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k d"]]:
        actions = None if action is None else action[:, None]
        if (native := self._native(z, actions)) is not None:
            mean, _, share = roll_out(*native, z, actions, 1)
            return mean[:, 0], share
        now, scale = self.layout.split(z), self.velocity_scale
        # 1. features of each slot by itself: b k w
        motion = now["position"]
        if "velocity" in now:
            motion = torch.cat([motion, now["velocity"] / scale], -1)  # b k 4
        h = self.state(torch.cat([motion, now["latent"]], -1))
        if self.action is not None and action is not None:
            h = h + self.action(action)[:, None]
        h = relu(h)
        # 2. changes of the moved fields, and one raw std per field, from the slot and its effects
        out = self.out(torch.cat([h, self._effects(h, motion)], -1))
        *changes, raw_std = out.split([*self.sizes, len(self.moved)], -1)
        change, after = dict(zip(self.moved, changes, strict=True)), dict(now)
        # 3. inertial motion
        displacement = scale * change["position"]
        if "velocity" in now:
            gain = scale * change["velocity"]
            after["velocity"] = now["velocity"] + gain
            if self.impact:  # a share of the time between the frames passes before the change
                displacement = -change["position"].sigmoid() * gain
            displacement = displacement + after["velocity"]
        after["position"] = now["position"] + displacement
        after["latent"] = torch.tanh(change["latent"])
        return torch.cat(list(after.values()), -1), self.walks + (raw_std - 1).sigmoid() @ self.learned

    def _effects(self, h: Float[Tensor, "b k w"], motion: Float[Tensor, "b k m"]) -> Float[Tensor, "b k w"]:
        """Return the sum over the other slots of attention times relation.

        motion: position, and velocity in units of the scale if there is one
        """
        if h.shape[1] == 1:
            return torch.zeros_like(h)
        # 1. geometry of each pair, from slot k to another slot j: b k j 3, or b k j 6 with velocity
        between = _others(motion) - motion[:, :, None]
        dx, dv = between[..., :2], between[..., 2:]
        distance = (dx.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        geometry = [between, distance]
        if dv.shape[-1]:
            geometry.append((dx * dv).sum(-1, keepdim=True) / distance)  # speed at which they part
        # 2. relation and attention of each pair: b k j w
        own, other = self.pair_own(h)[:, :, None], _others(self.pair_other(h))
        pair = relu(own + other + self.pair_geometry(torch.cat(geometry, -1)))
        relation = relu(self.relation(pair))
        effect = self.attention(relation).sigmoid() * relation
        # 3. summed term by term: many times as fast as a sum over a short axis
        return reduce(torch.add, effect.unbind(2))

    def imagine(
        self, carry: LastState, horizon: int, actions: Tensor | None, sample: bool | Bool[Tensor, "b"]
    ) -> Imagined | None:
        drawn = sample is not False
        if carry.z is None or horizon < 1 or (drawn and torch.is_grad_enabled()):
            return None  # what is drawn has a gradient step by step only
        if (native := self._native(carry.z, actions)) is None:
            return None
        std, noise = self.spread(self.prior_std), None
        if drawn:
            noise = torch.stack([randn_like(carry.z) for _ in range(horizon)], 1)
            noise = noise * sample[:, None, None, None] if isinstance(sample, Tensor) else noise
        mean, z, _ = roll_out(*native, carry.z, actions, horizon, noise, std)
        return Imagined(z, Normal(mean, std.expand_as(mean)), LastState(z[:, -1], carry.like))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        if self._runs_in_c(self.relation.weight):
            self._packed = self._pack()
        try:
            yield
        finally:
            self._packed = None

    def _native(self, z: Tensor, actions: Int[Tensor, "b t"] | None) -> tuple[Sizes, Tensor] | None:
        """Return what graph.c needs to know of the networks, or None where it cannot run."""
        if not self._runs_in_c(z, self.relation.weight):
            return None
        count = 0 if self.action is None else self.action.num_embeddings
        if count and actions is not None and not 0 <= int(actions.min()) <= int(actions.max()) < count:
            return None  # torch says so
        slots, dim, width = z.shape[1], z.shape[2], self.relation.in_features
        sizes = Sizes(
            slots, dim, *self._starts, self.sizes[-1], width, count, self.impact, self.velocity_scale
        )
        return sizes, self._pack() if self._packed is None else self._packed

    def _runs_in_c(self, *tensors: Tensor) -> bool:
        cls = type(self)
        defined_here = cls.step is GraphDynamics.step and cls._effects is GraphDynamics._effects
        return defined_here and usable(SOURCE, *tensors)

    def _pack(self) -> Float[Tensor, "weight"]:
        """Return all weights in the order of `set_up` in graph_net.h."""
        layers: list[Any] = [self.state[0], self.state[2], self.action, self.pair_own, self.pair_other]
        layers += [self.pair_geometry, self.relation, self.attention, self.out[0], self.out[2], self.out[4]]
        weights = [w for layer in layers if layer is not None for w in layer.parameters()]
        return torch.cat([weight.reshape(-1) for weight in weights])


def _others(x: Float[Tensor, "b k w"]) -> Float[Tensor, "b k j w"]:
    """Return a view of the k - 1 others of each slot: the next one, the one after that, and so on round."""
    return torch.cat([x, x[:, :-1]], 1)[:, 1:].unfold(1, x.shape[1] - 1, 1).transpose(-1, -2)
