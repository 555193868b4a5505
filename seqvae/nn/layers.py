"""Layers that several parts share: perceptrons, masked autoregressive networks, precision, spread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.layout import StateLayout
from seqvae.tree import map_record

# Fully connected networks.


def mlp(*sizes: int, activation: type[nn.Module] = nn.ELU, zero_last: bool = False) -> nn.Sequential:
    """Linear layers of the given sizes with an activation between them.

    zero_last: the last layer starts at zero, so that the network starts as the constant 0.
    """
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layers.append(nn.Linear(fan_in, fan_out))
        if i < len(sizes) - 2:
            layers.append(activation())
    if zero_last:
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers)


# Masked networks: output i depends on inputs before i only (MADE, Germain et al. 2015, arXiv 1502.03509).


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


# Arithmetic that autocast must leave alone.


def full_precision(device: torch.device) -> AbstractContextManager:
    """A region without autocast, for quadratic forms and log-densities, which bfloat16 puts off by nats."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def in_full_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that runs outside of autocast, where its half-precision arguments are made float32."""

    @functools.wraps(method)
    def wrapped(self, first: Tensor, *rest: Any) -> Any:
        with full_precision(first.device):
            return method(self, *(map_record(_widened, x) for x in (first, *rest)))

    return wrapped


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


# A learned factor on standard deviations, one per named field of the state.


class Spread(nn.Module):
    """Multiplies the std of each field of z by a learned factor, which starts at 1.

    The factors widen or narrow a density without moving its mean. Only a training stage with the part
    `spread` learns them (see EnergyScore), so they ask for no gradient by themselves.

    fields: names of the fields that have a factor; those that the layout lacks are left out.
    """

    def __init__(self, layout: StateLayout, fields: tuple[str, ...]):
        super().__init__()
        names = [f.name for f in layout.fields if f.name in fields]
        member = torch.zeros(len(names), layout.dim)
        for row, name in enumerate(names):
            member[row, layout[name]] = 1
        self.register_buffer("member", member, persistent=False)
        self.log_factor = nn.Parameter(torch.zeros(len(names)), requires_grad=False)

    def forward(self, std: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return std * (self.log_factor[:, None] * self.member).sum(0).exp()  # no product that autocast rounds

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load the factors; weights saved before there were any have the factor 1."""
        state_dict.setdefault(prefix + "log_factor", torch.zeros_like(self.log_factor))
        super()._load_from_state_dict(state_dict, prefix, *rest)
