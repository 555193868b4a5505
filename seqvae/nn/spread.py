"""A learned factor on standard deviations, one per named field of the state."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.layout import StateLayout


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
