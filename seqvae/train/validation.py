"""Validation during training: the evaluation protocol on a few sequences, the objective, and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

CRITERION = "position_error_1_10"


@dataclass(frozen=True)
class Report:
    """What a validation found. criterion: the one number, lower is better, that picks the best checkpoint."""

    scores: Mapping[str, float]
    criterion: float
    images: Mapping[str, Float[Tensor, "c h w"]] = field(default_factory=dict)

    def __str__(self) -> str:
        return "  ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
