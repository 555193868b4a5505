"""Which slot is which object, and how far from it. Distances are Euclidean: both axes in one unit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import linear_sum_assignment


def frames(first: int, last: int) -> slice:
    """Array indices of the frames first to last, counted from 1 and both included."""
    return slice(first - 1, last)


def distances(
    slots: Float[np.ndarray, "n t s 2"], truth: Float[np.ndarray, "n t k 2"]
) -> Float[np.ndarray, "n t k s"]:
    """Euclidean distance of every object to every slot."""
    return np.linalg.norm(truth[:, :, :, None] - slots[:, :, None], axis=-1)


def object_order(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Int[np.ndarray, "n k"]:
    """For each object the slot that stands for it: one assignment a sequence, over the frames given.

    The one with the least mean Euclidean distance. The protocol takes it over frames 3-7 and keeps it,
    so later identity swaps cost. Frames in which an object is not present say nothing about it. There may
    be more slots than objects, not fewer (ValueError).
    """
    if slots.shape[2] < truth.shape[2]:
        raise ValueError(f"{slots.shape[2]} slots cannot stand for {truth.shape[2]} objects")
    present = np.ones(truth.shape[:-1], dtype=bool) if present is None else present
    cost = distances(slots, truth).sum(1, where=present[..., None]) / np.maximum(present.sum(1), 1)[..., None]
    cost = np.nan_to_num(cost, nan=1e9, posinf=1e9)  # states that are not finite still get some order
    return np.stack([linear_sum_assignment(c)[1] for c in cost])


def reorder(
    x: Shaped[np.ndarray, "n t s *d"], order: Int[np.ndarray, "n k"]
) -> Shaped[np.ndarray, "n t k *d"]:
    """Slots in the order of the objects."""
    return x[np.arange(len(x))[:, None], :, order].swapaxes(1, 2)


def euclidean_error(
    predicted: Float[np.ndarray, "n t k 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Float[np.ndarray, "n t"]:
    """Mean over present objects of the Euclidean distance: position error, or velocity error.

    Undefined, NaN, in a frame without objects.
    """
    return mean_of_present(np.linalg.norm(predicted - truth, axis=-1), present)


def mean_of_present(
    values: Shaped[np.ndarray, "n t k"], present: Bool[np.ndarray, "n t k"] | None
) -> Float[np.ndarray, "n t"]:
    """Mean over the objects that are present (None: all), NaN in a frame without any."""
    if present is None:
        return values.mean(-1)
    count = present.sum(-1)
    return np.where(count > 0, values.sum(-1, where=present) / np.maximum(count, 1), np.nan)


def found(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    radius: Float[np.ndarray, "n t k"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Bool[np.ndarray, "n"]:
    """Whether in each frame given every present object has a slot of its own within one radius.

    True of a sequence without objects, in which there is nothing to find.
    """
    far = ~(distances(slots, truth) <= radius[..., None])  # a NaN distance is far
    if present is not None:
        far &= present[..., None]
    n, t, k, s = far.shape
    if s < k:
        return np.zeros(n, dtype=bool)
    free = [not c[linear_sum_assignment(c)].any() for c in far.reshape(n * t, k, s).astype(float)]
    return np.array(free).reshape(n, t).all(1)


def context_swap(
    slots: Float[np.ndarray, "n 8 s 2"],
    truth: Float[np.ndarray, "n 8 k 2"],
    present: Bool[np.ndarray, "n 8 k"] | None = None,
) -> Bool[np.ndarray, "n"]:
    """Whether the best assignment over frames 6-8 differs from that over frames 3-5, for an object that is
    present in both."""
    present = np.ones(truth.shape[:-1], dtype=bool) if present is None else present
    early, late = frames(3, 5), frames(6, 8)
    before = object_order(slots[:, early], truth[:, early], present[:, early])
    after = object_order(slots[:, late], truth[:, late], present[:, late])
    stayed = present[:, early].any(1) & present[:, late].any(1)
    return ((before != after) & stayed).any(1)


def mask_centroids(masks: Float[np.ndarray, "n t s h w"]) -> Float[np.ndarray, "n t s 2"]:
    """Centre of mass of each mask (x right, y down, each from -1 to 1); NaN where a mask is empty."""
    h, w = masks.shape[-2:]
    y, x = (2 * np.arange(h) + 1) / h - 1, (2 * np.arange(w) + 1) / w - 1
    rows, columns = (masks.sum(axis, dtype=np.float64) for axis in (-1, -2))
    mass = rows.sum(-1)
    mass = np.where(mass > 0, mass, np.nan)
    return np.stack([columns @ x / mass, rows @ y / mass], axis=-1)


def last_seen(
    positions: Float[np.ndarray, "n t s 2"], seen: Bool[np.ndarray, "n t s"]
) -> Float[np.ndarray, "n t s 2"]:
    """Positions of slots; one that is not seen stays where it last was. NaN where it was not seen before.

    A slot that is seen at a position that is not finite has that position.
    """
    frame = np.where(seen, np.arange(positions.shape[1])[:, None], -1)
    last = np.maximum.accumulate(frame, 1)[..., None]
    return np.where(last < 0, np.nan, np.take_along_axis(positions, np.maximum(last, 0), 1))
