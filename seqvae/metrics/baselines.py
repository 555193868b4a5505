"""What a model must beat: an object that stays where it is, and one that goes straight on."""

from __future__ import annotations

import numpy as np
from einops import repeat
from jaxtyping import Float


def static(position: Float[np.ndarray, "n k 2"], horizon: int) -> Float[np.ndarray, "n t k 2"]:
    """The last position, `horizon` times."""
    return repeat(position, "n k x -> n t k x", t=horizon)


def linear(
    position: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"],
    horizon: int,
    clamp: float | Float[np.ndarray, "n k"],
) -> Float[np.ndarray, "n t k 2"]:
    """position + h velocity, h = 1..horizon, clamped to [-clamp, clamp], for all or by object.

    Kossen et al. 2020 (arXiv 1910.02425) clamp at 0.8 half-widths, for gravity at 0.9.
    """
    steps = np.arange(1, horizon + 1)[:, None, None]
    wall = np.asarray(clamp)[..., None, :, None] if np.ndim(clamp) else clamp
    return np.clip(position[:, None] + steps * velocity[:, None], -wall, wall)
