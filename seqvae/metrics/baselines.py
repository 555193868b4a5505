"""Baselines that need no model: an object stays where it is, goes straight on, or bounces off the walls."""

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


def bouncing(
    position: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"],
    horizon: int,
    wall: Float[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, "n t k 2"], Float[np.ndarray, "n t k 2"]]:
    """Positions and velocities of straight lines reflected at -wall and wall, h = 1..horizon.

    A reflected line is a triangle wave of period 4 wall in u = position + h velocity, so it is exact whatever
    the number of reflections in a frame. A position beyond a wall starts at the wall.
    """
    wall = np.maximum(wall, np.finfo(float).tiny)[:, None, :, None]
    start = np.clip(position[:, None], -wall, wall)
    unbounded = start + np.arange(1, horizon + 1)[:, None, None] * velocity[:, None]
    phase = np.mod(unbounded + wall, 4 * wall)
    direction = np.where(phase < 2 * wall, 1.0, -1.0)
    return wall - np.abs(phase - 2 * wall), direction * velocity[:, None]
