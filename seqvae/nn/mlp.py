"""Fully connected networks."""

from __future__ import annotations

from torch import nn


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
