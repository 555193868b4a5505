"""Policies that make data: actions for whole sequences, independent of the state."""

from __future__ import annotations

import numpy as np


def sticky_actions(
    n: int,
    length: int,
    num_actions: int,
    rng: np.random.Generator,
    change: tuple[float, float] = (0.2, 0.3),
) -> np.ndarray:
    """Sample random actions "n length", int64, that mostly repeat the one before.

    Each sequence draws its probability of a change from Uniform(*change); an action changes to each of the
    others with equal probability. The first is uniform.

    Source: Kossen et al. 2020.
    """
    probability = rng.uniform(*change, size=(n, 1))
    changes = rng.random((n, length)) < probability
    # A change adds 1 ... num_actions - 1 modulo num_actions, which reaches each other action once.
    increments = np.where(changes, rng.integers(1, num_actions, size=(n, length)), 0)
    increments[:, 0] = rng.integers(num_actions, size=n)
    return increments.cumsum(axis=1) % num_actions


def sticky_vectors(
    n: int,
    length: int,
    low: tuple[float, ...],
    high: tuple[float, ...],
    rng: np.random.Generator,
    change: tuple[float, float] = (0.2, 0.3),
) -> np.ndarray:
    """Sample actions "n length a", float32, uniform in a box, that mostly repeat the one before.

    Each sequence draws its probability of a change from Uniform(*change), as in `sticky_actions`.
    """
    probability = rng.uniform(*change, size=(n, 1))
    changes = rng.random((n, length)) < probability
    changes[:, 0] = True
    drawn = rng.uniform(low, high, (n, length, len(low))).astype(np.float32)
    last = np.maximum.accumulate(np.where(changes, np.arange(length), 0), axis=1)  # time of the last change
    return np.take_along_axis(drawn, last[..., None], axis=1)
