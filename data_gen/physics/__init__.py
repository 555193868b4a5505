"""Motion of objects in a box, vectorised over sequences; the arrays and pairs that its modules share.

The functions that advance all sequences by one frame are pure. They work on coordinate planes "2 k n" (x or
y, object, sequence), where every operation of a substep runs over contiguous memory.
"""

from __future__ import annotations

import numpy as np


def to_planes(array: np.ndarray) -> np.ndarray:
    """Copy "n k 2" to contiguous planes "2 k n"."""
    return np.array(array.T, dtype=np.float64, order="C")


def per_object(values: np.ndarray) -> np.ndarray:
    """Copy values "k" or "n k" to a contiguous "k 1" or "k n", which broadcasts against planes."""
    return np.array(np.atleast_2d(values).T, dtype=np.float64, order="C")


def ordered_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs i, j with j < i, in the order in which the reference resolves contacts."""
    return np.tril_indices(k, -1)


def closest_approach(positions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the least distance of a pair over the sum of its radii (inf for one object).

    positions: "... k 2" -> "...".
    radii: "k", or with leading axes that broadcast against those of the positions.
    """
    first, second = ordered_pairs(radii.shape[-1])
    gap = positions[..., first, :] - positions[..., second, :]
    relative = np.hypot(gap[..., 0], gap[..., 1]) / (radii[..., first] + radii[..., second])
    return relative.min(axis=-1, initial=np.inf)
