"""Masked networks: output i depends on inputs before i only (MADE, Germain et al. 2015, arXiv 1502.03509)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MaskedLinear(nn.Linear):
    """A linear layer from units of one set of degrees to another; `strict` allows only lower degrees."""

    def __init__(self, before: Tensor, after: Tensor, strict: bool = False):
        super().__init__(len(before), len(after))
        allowed = after[:, None] > before if strict else after[:, None] >= before
        self.register_buffer("mask", allowed.float(), persistent=False)

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """Two numbers for each of `size` inputs, functions of the inputs before it and of a context.

    reverse: the last input comes first. The context reaches every hidden unit and, past them, the outputs.
    """

    def __init__(self, size: int, context: int, hidden: int = 64, reverse: bool = False):
        super().__init__()
        order = torch.arange(1, size + 1)
        self.order: list[int] = (size - order if reverse else order - 1).tolist()
        degrees = order.flip(0) if reverse else order
        inner = torch.arange(hidden) % max(size - 1, 1) + 1
        self.into = MaskedLinear(degrees, inner)
        self.deeper = MaskedLinear(inner, inner)
        self.out = MaskedLinear(inner, degrees.repeat(2), strict=True)
        self.context_in = nn.Linear(context, hidden, bias=False)
        self.context_out = nn.Linear(context, 2 * size, bias=False)

    def forward(
        self, x: Float[Tensor, "*b d"], context: Float[Tensor, "*b e"]
    ) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b d"]]:
        """The two numbers of each input. `order` lists the inputs, each after all that it depends on."""
        h = nn.functional.elu(self.into(x) + self.context_in(context))
        h = nn.functional.elu(self.deeper(h))
        return (self.out(h) + self.context_out(context)).chunk(2, -1)
