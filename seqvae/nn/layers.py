"""Building blocks that several networks share.

Perceptrons and their initialisation, masked networks (MADE), positive standard deviations, regions without
autocast, and learned factors on the standard deviations of a state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.layout import StateLayout
from seqvae.tree import map_record

Convolution = TypeVar("Convolution", bound=nn.Conv2d | nn.ConvTranspose2d)

# Perceptrons and initialisation.


def mlp(*sizes: int, activation: type[nn.Module] = nn.ELU, zero_last: bool = False) -> nn.Sequential:
    """Return linear layers of the given sizes with an activation between each two.

    zero_last: start the last layer at zero, so that the network starts as the constant 0
    """
    linears = [nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(sizes)]
    if zero_last:
        nn.init.zeros_(linears[-1].weight)
        nn.init.zeros_(linears[-1].bias)
    layers: list[nn.Module] = [linears[0]]
    for linear in linears[1:]:
        layers += [activation(), linear]
    return nn.Sequential(*layers)


def output_layer(network: nn.Sequential) -> nn.Linear:
    """Return the last layer of an `mlp`, whose bias is the output that the network starts around."""
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def lecun_normal_(layer: Convolution, fan_in: float) -> Convolution:
    """Initialise a convolution so that it preserves variance (LeCun et al. 1998); return the layer.

    PyTorch's default divides the variance by 3 per layer, and by 12 per transposed layer of stride 2. A
    decoder that starts so faint first learns to draw the mean image, and stays with it for long.

    fan_in: number of inputs that contribute to one output
    """
    nn.init.normal_(layer.weight, std=fan_in**-0.5)
    return layer


def positive_std(raw: Tensor, floor: float, scale: float = 1.0) -> Tensor:
    """Return the standard deviation floor + scale * softplus(raw) for an unbounded network output.

    The floor bounds the log-density from above: without it a likelihood can grow without limit.
    """
    return floor + scale * nn.functional.softplus(raw)


# Masked networks: output i depends on inputs before i only (MADE, Germain et al. 2015, arXiv 1502.03509).


class MaskedLinear(nn.Linear):
    """Linear layer whose weights are masked by the degrees of its units.

    before, after: degrees of inputs and outputs. An output sees the inputs of at most its own degree, with
    `strict` only those of a lower one.
    """

    mask: Tensor

    def __init__(self, before: Tensor, after: Tensor, strict: bool = False):
        super().__init__(len(before), len(after))
        allowed = after[:, None] > before if strict else after[:, None] >= before
        self.register_buffer("mask", allowed.float(), persistent=False)

    def forward(self, input: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return nn.functional.linear(input, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """Autoregressive network: two numbers per input, functions of the inputs before it and of a context.

    The context enters the first hidden layer and, past the masks, the outputs.

    size: number of inputs
    context: size of the context vector
    hidden: units per hidden layer
    reverse: go through the inputs from the last to the first
    order: indices of the inputs, each after all that its two numbers depend on
    """

    def __init__(self, size: int, context: int, hidden: int = 64, reverse: bool = False):
        super().__init__()
        order = torch.arange(1, size + 1)
        self.order: list[int] = (size - order if reverse else order - 1).tolist()
        degrees = order.flip(0) if reverse else order
        # degrees of hidden units run from 1 to size - 1: no output may depend on the last input
        inner = torch.arange(hidden) % max(size - 1, 1) + 1
        self.into = MaskedLinear(degrees, inner)
        self.deeper = MaskedLinear(inner, inner)
        self.out = MaskedLinear(inner, degrees.repeat(2), strict=True)
        self.context_in = nn.Linear(context, hidden, bias=False)
        self.context_out = nn.Linear(context, 2 * size, bias=False)

    def forward(
        self, x: Float[Tensor, "*b d"], context: Float[Tensor, "*b e"]
    ) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b d"]]:
        """Return the two numbers of each input."""
        h = nn.functional.elu(self.into(x) + self.context_in(context))
        h = nn.functional.elu(self.deeper(h))
        return (self.out(h) + self.context_out(context)).chunk(2, -1)


# Arithmetic outside of autocast.


def full_precision(device: torch.device) -> AbstractContextManager:
    """Return a context without autocast, for quadratic forms and log-densities.

    In bfloat16 these are off by nats.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def in_full_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method to run outside of autocast, with half-precision arguments cast to float32."""

    @functools.wraps(method)
    def wrapped(self, first: Tensor, *others: Any) -> Any:
        with full_precision(first.device):
            return method(self, *(map_record(_to_float32, x) for x in (first, *others)))

    return wrapped


def _to_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


# Learned factors on standard deviations.


class Spread(nn.Module):
    """Learned factors on the stds of a state, one per named field, each 1 at the start.

    They widen or narrow a density without moving its mean. Only a training stage with the part `spread`
    learns them (see EnergyScore), so their gradient is off by default.

    fields: names of the fields that have a factor; names that the layout lacks are ignored
    """

    member: Tensor  # (field, d): 1 where a number belongs to a field

    def __init__(self, layout: StateLayout, fields: tuple[str, ...]):
        super().__init__()
        names = [f.name for f in layout.fields if f.name in fields]
        member = torch.zeros(len(names), layout.dim)
        for row, name in enumerate(names):
            member[row, layout[name]] = 1
        self.register_buffer("member", member, persistent=False)
        self.log_factor = nn.Parameter(torch.zeros(len(names)), requires_grad=False)

    def forward(self, std: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        # a sum of products, since autocast would round a matrix product
        return std * (self.log_factor[:, None] * self.member).sum(0).exp()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load the factors; weights saved before there were any have the factor 1."""
        state_dict.setdefault(prefix + "log_factor", torch.zeros_like(self.log_factor))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
