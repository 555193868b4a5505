"""How many objects a frame shows: true and inferred counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8


def visible(masks: UInt8[np.ndarray, "*t h w"]) -> Int[np.ndarray, "*t"]:
    """How many objects show in each mask (0 background, k + 1 object k)."""
    labels = range(1, int(masks.max(initial=0)) + 1)
    return sum(((masks == k).any((-2, -1)).astype(int) for k in labels), np.zeros(masks.shape[:-2], int))


def count_accuracy(inferred: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]) -> Float[np.ndarray, "n"]:
    """The share of a sequence's frames in which the inferred number of objects is the true one."""
    return (inferred == truth).mean(1)


def confusion(
    inferred: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]
) -> Int[np.ndarray, "count count"]:
    """How many frames with this true number of objects (row) were given that one (column), from 0 on."""
    most = max(inferred.max(initial=0), truth.max(initial=0)) + 1
    table = np.zeros((most, most), int)
    np.add.at(table, (truth.ravel(), inferred.ravel()), 1)
    return table
