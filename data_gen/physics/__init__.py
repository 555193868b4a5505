"""Motion in a box, vectorised over sequences; the layout of arrays and the pairs that its modules share.

Functions advance all sequences by one frame and are pure. They work on coordinate planes "2 k n" (x or y,
disc, sequence), where every operation of a substep runs over contiguous memory.
"""

from __future__ import annotations

import numpy as np


def closest_approach(positions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Least distance of a pair over the sum of its radii: positions "... k 2" -> "..." (inf for one disc).

    radii: "k", or with leading axes that broadcast against those of the positions.
    """
    first, second = ordered_pairs(radii.shape[-1])
    gap = positions[..., first, :] - positions[..., second, :]
    relative = np.hypot(gap[..., 0], gap[..., 1]) / (radii[..., first] + radii[..., second])
    return relative.min(axis=-1, initial=np.inf)


def ordered_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i, j with j < i, in the order in which the reference resolves contacts."""
    return np.tril_indices(k, -1)


def per_disc(amounts: np.ndarray) -> np.ndarray:
    """Amounts "k" or "n k" as they meet planes: "k 1" or a contiguous "k n"."""
    return np.array(np.atleast_2d(amounts).T, dtype=np.float64, order="C")


def planes(array: np.ndarray) -> np.ndarray:
    """A fresh, contiguous "2 k n" from "n k 2"."""
    return np.array(array.T, dtype=np.float64, order="C")
