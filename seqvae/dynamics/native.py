"""GraphDynamics in C (graph.c): the states of a rollout, and their gradient, without a tensor in between."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqvae.nn.native import call_in_parts
from seqvae.tree import sum_tensors

SOURCE = Path(__file__).with_name("graph.c")
STEPS = 128  # steps of one sequence that are worth a thread


class Sizes(ctypes.Structure):
    """The struct of this name in graph.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("slots", "dim", "position", "velocity", "latent", "latents")),
        *((name, ctypes.c_int) for name in ("width", "actions", "impact")),
        ("scale", ctypes.c_float),
    ]


def roll_out(
    sizes: Sizes,
    weights: Float[Tensor, "weight"],
    z: Float[Tensor, "b k d"],
    actions: Int[Tensor, "b t"] | None,
    frames: int,
    noise: Float[Tensor, "b t k d"] | None = None,
    std: Float[Tensor, "d"] | None = None,
) -> tuple[Float[Tensor, "b t k d"], Float[Tensor, "b t k d"], Float[Tensor, "b k d"]]:
    """Return means and states after z, and the share of the last step (see `MarkovDynamics.step`).

    Without noise the states are the means, and have a gradient.

    weights: all weights of the networks, in the order of `set_up` in graph_net.h
    noise: standard normal numbers, by which states are drawn around their means
    std: of these draws
    """
    actions = None if actions is None or not sizes.actions else actions.long().contiguous()
    if noise is None:
        mean, share = _Rollout.apply(z, weights, actions, frames, sizes)
        return mean, mean, share
    return _forward(z, weights, actions, frames, sizes, noise, std)


def _forward(
    z: Tensor,
    weights: Tensor,
    actions: Tensor | None,
    frames: int,
    sizes: Sizes,
    noise: Tensor | None = None,
    std: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    z, share = z.contiguous(), z.new_empty(z.shape)
    mean = z.new_empty(len(z), frames, *z.shape[1:])
    states = mean if noise is None else torch.empty_like(mean)
    noise, std = (None if x is None else x.contiguous() for x in (noise, std))

    def arguments(part: slice) -> tuple[Any, ...]:
        of_part = [None if x is None else x[part] for x in (z, actions, noise)]
        results = mean[part], states[part], share[part]
        return sizes, part.stop - part.start, frames, weights, *of_part, std, *results

    call_in_parts(SOURCE, "rollout", len(z), arguments, -(-STEPS // frames))
    return mean, states, share


class _Rollout(torch.autograd.Function):
    """Means and share, with the gradient of graph.c."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weights: Tensor, actions: Tensor | None, frames: int, sizes: Sizes):
        mean, _, share = _forward(z, weights, actions, frames, sizes)
        ctx.save_for_backward(z, weights, actions, mean)
        ctx.sizes = sizes
        return mean, share

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_mean: Tensor, d_share: Tensor):
        z, weights, actions, mean = ctx.saved_tensors
        z, d_mean, d_share = z.contiguous(), d_mean.contiguous(), d_share.contiguous()
        d_z, of_parts = torch.empty_like(z), []

        def arguments(part: slice) -> tuple[Any, ...]:
            d_weights = torch.zeros_like(weights)
            of_parts.append((part.start, d_weights))
            steps, given = mean[part], None if actions is None else actions[part]
            grads = d_mean[part], d_share[part], d_weights, d_z[part]
            return ctx.sizes, *steps.shape[:2], weights, z[part], given, steps, *grads

        call_in_parts(SOURCE, "rollout_gradient", len(z), arguments, -(-STEPS // mean.shape[1]))
        of_parts.sort(key=lambda part: part[0])
        return d_z, sum_tensors(d_weights for _, d_weights in of_parts), None, None, None
