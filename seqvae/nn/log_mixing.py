"""The sum layer of a sum-product network in log space, whatever the numbers are.

More arithmetic than matrix products, but no branch: a branch on numbers of a GPU would wait for it at every
layer. Axes as in seqvae/nn/spn.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def mix_in_log_space(
    level: Float[Tensor, "r _ g n"], logits: Float[Tensor, "r l s g g"]
) -> Float[Tensor, "r l s n"]:
    """Return log sum_gh w_sgh exp(left_g + right_h) of neighbouring regions, w_s the softmax of logits."""
    return _LogSpaceMixture.apply(level, logits)


class _LogSpaceMixture(torch.autograd.Function):
    """The tensors "r l s h n" of one component g at a time: all of them are not kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, level: Tensor, logits: Tensor) -> Tensor:
        left = level[:, 0::2]
        given_left = [left[:, :, None, g] + part.logsumexp(3) for g, part in _by_left(level, logits)]
        value = torch.stack(given_left, 3).logsumexp(3)
        ctx.save_for_backward(level, logits, value)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        level, logits, value = ctx.saved_tensors
        left = level[:, 0::2]
        d_left, d_right, d_pairs = [], torch.zeros_like(left), []
        for g, part in _by_left(level, logits):
            # the gradient of logsumexp is the softmax: of pair (g, h) among all pairs
            chosen = (part + (left[:, :, None, g] - value)[:, :, :, None]).exp()
            weighted = grad[:, :, :, None] * chosen  # r l s h n
            d_left.append(weighted.sum((2, 3)))
            d_right += weighted.sum(2)
            d_pairs.append(weighted.sum(-1))
        d_level = torch.stack([torch.stack(d_left, 2), d_right], 2).flatten(1, 2)
        pairs = torch.stack(d_pairs, 3)  # r l s g h
        share = logits.flatten(3).softmax(-1).view_as(logits)
        return d_level, pairs - share * pairs.sum((-2, -1), keepdim=True)


def _by_left(level: Tensor, logits: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield each left component g with log w_sgh + right_h, "r l s h n"."""
    right = level[:, 1::2, None]  # r l 1 h n
    log_share = logits.flatten(3).log_softmax(-1).view_as(logits)
    for g in range(logits.shape[3]):
        yield g, log_share[:, :, :, g, :, None] + right
