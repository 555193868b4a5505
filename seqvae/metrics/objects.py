"""Slots against true objects: assignment, errors, detection, counts, and what a long rollout keeps of them.

Distances are Euclidean, so both axes are in one unit. n sequence, t frame, k object, s slot.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.optimize import linear_sum_assignment


def frame_slice(first: int, last: int) -> slice:
    """Return the array indices of the frames first to last, counted from 1 and both included."""
    return slice(first - 1, last)


# Assignment of slots to objects.


def distances(
    slots: Float[np.ndarray, "n t s 2"], truth: Float[np.ndarray, "n t k 2"]
) -> Float[np.ndarray, "n t k s"]:
    """Return the Euclidean distance of every object to every slot."""
    return np.linalg.norm(truth[:, :, :, None] - slots[:, :, None], axis=-1)


def match_slots(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Int[np.ndarray, "n k"]:
    """Return the slot that stands for each object: one assignment per sequence, over the frames given.

    The assignment has the least mean Euclidean distance. The protocol takes it over frames 3-7 and keeps it,
    so that later identity switches cost. Frames in which an object is not present say nothing about it.

    Raises:
        ValueError: there are fewer slots than objects.
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
    """Return the slots in the order of the objects."""
    return x[np.arange(len(x))[:, None], :, order].swapaxes(1, 2)


def identity_switch(
    slots: Float[np.ndarray, "n 8 s 2"],
    truth: Float[np.ndarray, "n 8 k 2"],
    present: Bool[np.ndarray, "n 8 k"] | None = None,
) -> Bool[np.ndarray, "n"]:
    """Return whether an object's slot by the best assignment over frames 6-8 is not that over frames 3-5.

    Only objects that are present in both spans count.
    """
    present = np.ones(truth.shape[:-1], dtype=bool) if present is None else present
    early, late = frame_slice(3, 5), frame_slice(6, 8)
    before = match_slots(slots[:, early], truth[:, early], present[:, early])
    after = match_slots(slots[:, late], truth[:, late], present[:, late])
    in_both = present[:, early].any(1) & present[:, late].any(1)
    return ((before != after) & in_both).any(1)


# Errors of positions and velocities.


def euclidean_error(
    predicted: Float[np.ndarray, "n t k 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Float[np.ndarray, "n t"]:
    """Return the mean Euclidean distance over present objects: position error, or velocity error.

    NaN (undefined) in a frame without objects.
    """
    return mean_of_present(np.linalg.norm(predicted - truth, axis=-1), present)


def mean_of_present(
    values: Shaped[np.ndarray, "n t k"], present: Bool[np.ndarray, "n t k"] | None
) -> Float[np.ndarray, "n t"]:
    """Return the mean over the objects that are present (None: all), NaN in a frame without any."""
    if present is None:
        return values.mean(-1)
    count = present.sum(-1)
    return np.where(count > 0, values.sum(-1, where=present) / np.maximum(count, 1), np.nan)


def all_detected(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    radius: Float[np.ndarray, "n t k"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Bool[np.ndarray, "n"]:
    """Return whether in every frame each present object has a slot of its own within one radius.

    The mean over sequences is the detection rate. True of a sequence without objects.
    """
    too_far = ~(distances(slots, truth) <= radius[..., None])  # a NaN distance is too far
    if present is not None:
        too_far &= present[..., None]
    n, t, k, s = too_far.shape
    if s < k:
        return np.zeros(n, dtype=bool)
    costs = too_far.reshape(n * t, k, s).astype(float)
    detected = [not cost[linear_sum_assignment(cost)].any() for cost in costs]
    return np.all(np.array(detected).reshape(n, t), axis=1)


# Places of masks.


def mask_centroids(masks: Float[np.ndarray, "n t s h w"]) -> Float[np.ndarray, "n t s 2"]:
    """Return the centre of mass of each mask in [-1, 1], x right and y down; NaN where a mask is empty."""
    h, w = masks.shape[-2:]
    y, x = (2 * np.arange(h) + 1) / h - 1, (2 * np.arange(w) + 1) / w - 1
    rows, columns = (masks.sum(axis, dtype=np.float64) for axis in (-1, -2))
    mass = rows.sum(-1)
    mass = np.where(mass > 0, mass, np.nan)
    return np.stack([columns @ x / mass, rows @ y / mass], axis=-1)


def hold_last_position(
    positions: Float[np.ndarray, "n t s 2"], visible: Bool[np.ndarray, "n t s"]
) -> Float[np.ndarray, "n t s 2"]:
    """Return positions in which a slot that is not visible stays where it last was; NaN before it ever was.

    A slot that is visible at a position that is not finite has that position.
    """
    frame = np.where(visible, np.arange(positions.shape[1])[:, None], -1)
    last = np.maximum.accumulate(frame, 1)[..., None]
    return np.where(last < 0, np.nan, np.take_along_axis(positions, np.maximum(last, 0), 1))


# Counts of objects, true and inferred.


def count_visible(masks: UInt8[np.ndarray, "*t h w"]) -> Int[np.ndarray, "*t"]:
    """Return the number of objects that show in each mask (0 background, k + 1 object k)."""
    labels = range(1, int(masks.max(initial=0)) + 1)
    shown = ((masks == k).any((-2, -1)).astype(int) for k in labels)
    return sum(shown, np.zeros(masks.shape[:-2], int))


def count_accuracy(inferred: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]) -> Float[np.ndarray, "n"]:
    """Return the share of a sequence's frames in which the inferred number of objects is the true one."""
    return (inferred == truth).mean(1)


def confusion_matrix(
    inferred: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]
) -> Int[np.ndarray, "count count"]:
    """Return the confusion matrix of counts in frames: rows true counts, columns inferred counts, from 0."""
    size = max(inferred.max(initial=0), truth.max(initial=0)) + 1
    matrix = np.zeros((size, size), int)
    np.add.at(matrix, (truth.ravel(), inferred.ravel()), 1)
    return matrix


# What a long rollout keeps of the world it was started in: energy, box, number of objects.


def kinetic_energy(
    velocities: Float[np.ndarray, "*n k 2"], masses: Float[np.ndarray, "*#n k"] | float = 1.0
) -> Float[np.ndarray, "*n"]:
    """Return sum_k m_k |v_k|^2 / 2."""
    return (0.5 * masses * np.square(velocities).sum(-1)).sum(-1)


def in_box(positions: Float[np.ndarray, "*n k 2"]) -> Bool[np.ndarray, "*n k"]:
    """Return whether each object's centre lies in the frame, [-1, 1] in both coordinates; False for NaN."""
    return np.all(np.abs(positions) <= 1, axis=-1)


def distinct_objects(
    positions: Float[np.ndarray, "*n k 2"], radius: float, aspect: float = 1.0
) -> Int[np.ndarray, "*n"]:
    """Return the number of different objects that are left in the frame.

    Slots nearer to each other than one radius stand for the same object (bodies do not overlap that far),
    also when linked through a third slot. Slots outside the frame are not counted.

    radius: in half-widths.
    aspect: height of the frame over its width, as y is in half-heights.
    """
    inside = in_box(positions)
    lengths = positions * np.array([1.0, aspect])
    apart = np.linalg.norm(lengths[..., :, None, :] - lengths[..., None, :, :], axis=-1)
    linked = (apart < radius) & inside[..., :, None] & inside[..., None, :]
    for _ in range(positions.shape[-2].bit_length()):  # squaring doubles the length of the paths followed
        linked = linked | (linked.astype(int) @ linked.astype(int) > 0)
    members = np.maximum(linked.sum(-1), 1)
    return np.rint((inside / members).sum(-1)).astype(int)  # a group of m counts m times 1 / m
