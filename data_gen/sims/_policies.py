"""Policies that make data: actions for whole sequences, without looking at the state."""

from __future__ import annotations

import numpy as np


def sticky_actions(
    n: int,
    length: int,
    num_actions: int,
    rng: np.random.Generator,
    change: tuple[float, float] = (0.2, 0.3),
) -> np.ndarray:
    """Random actions "n length", int64, that mostly go on as before.

    Each sequence draws its probability of a change from Uniform(*change); an action changes into any of the
    others with equal probability. The first is uniform.

    Source: Kossen et al. 2020.
    """
    probability = rng.uniform(*change, size=(n, 1))
    turns = rng.random((n, length)) < probability
    # A turn adds 1 ... num_actions - 1 modulo num_actions, which reaches each other action once.
    moves = np.where(turns, rng.integers(1, num_actions, size=(n, length)), 0)
    moves[:, 0] = rng.integers(num_actions, size=n)
    return moves.cumsum(axis=1) % num_actions
