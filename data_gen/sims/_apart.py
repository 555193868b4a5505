"""Starts of discs of one radius in a box, placed one after the other so that none overlaps."""

from __future__ import annotations

import numpy as np

from data_gen.errors import DataError

MAX_TRIES = 1000  # of a disc
_MAX_RESTARTS = 20  # of sequences in which a disc found no place


def is_apart(others: np.ndarray, position: np.ndarray, radius: float) -> np.ndarray:
    """Return whether a disc at `position` "... 2" overlaps none of the others "... i 2", bool "..."."""
    gap = others - position[..., None, :]
    return np.all(gap[..., 0] ** 2 + gap[..., 1] ** 2 >= (2 * radius) ** 2, axis=-1)


def sample_apart(
    n: int, k: int, radius: float, limit: float, rng: np.random.Generator, apart: bool = True
) -> np.ndarray:
    """Sample positions "n k 2", one disc after the other: uniform where it overlaps no earlier one.

    The whole disc lies in the box. A sequence in which a disc finds no place begins anew.

    apart: False: discs may overlap.

    Raises:
        DataError: nothing fits.
    """
    positions = np.empty((n, k, 2))
    unplaced = np.arange(n)
    for _ in range(_MAX_RESTARTS):
        placed = unplaced
        for i in range(k):
            placed = _place(positions, i, placed, radius, limit, rng, apart)
        unplaced = np.setdiff1d(unplaced, placed)
        if not unplaced.size:
            return positions
    raise no_room(k, radius, limit)


def _place(
    positions: np.ndarray,
    i: int,
    sequences: np.ndarray,
    radius: float,
    limit: float,
    rng: np.random.Generator,
    apart: bool,
) -> np.ndarray:
    """Place disc i of some sequences, in place; return the sequences in which it found one."""
    waiting = sequences
    for _ in range(MAX_TRIES):
        positions[waiting, i] = rng.uniform(radius, limit - radius, (waiting.size, 2))
        if not apart:
            return sequences
        waiting = waiting[~is_apart(positions[waiting, :i], positions[waiting, i], radius)]
        if not waiting.size:
            return sequences
    return np.setdiff1d(sequences, waiting)


def no_room(k: int, radius: float, limit: float) -> DataError:
    """Return the error of discs that do not fit."""
    return DataError(
        f"sim.layers: {k} balls of sim.radius={radius} cannot start apart in a box of sim.limit={limit}; "
        "take fewer or smaller balls"
    )
