"""Does a long rollout stay in the world it was started in? Energy, box, number of objects."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def kinetic_energy(
    velocities: Float[np.ndarray, "*n k 2"], masses: Float[np.ndarray, "*#n k"] | float = 1.0
) -> Float[np.ndarray, "*n"]:
    """sum_k m_k |v_k|^2 / 2."""
    return (0.5 * masses * np.square(velocities).sum(-1)).sum(-1)


def in_box(positions: Float[np.ndarray, "*n k 2"]) -> Bool[np.ndarray, "*n k"]:
    """Whether each object's centre lies in the frame, [-1, 1] in both coordinates."""
    return (np.abs(positions) <= 1).all(-1)  # false for NaN


def distinct_objects(
    positions: Float[np.ndarray, "*n k 2"], radius: float, aspect: float = 1.0
) -> Int[np.ndarray, "*n"]:
    """How many different objects are left in the frame.

    Slots nearer to each other than one radius stand for the same object (bodies do not overlap that
    far), also when linked through a third slot. Slots outside the frame are not counted. radius: in
    half-widths. aspect: height over width of the frame, as y is in half-heights.
    """
    inside = in_box(positions)
    lengths = positions * np.array([1.0, aspect])
    apart = np.linalg.norm(lengths[..., :, None, :] - lengths[..., None, :, :], axis=-1)
    linked = (apart < radius) & inside[..., :, None] & inside[..., None, :]
    for _ in range(positions.shape[-2].bit_length()):  # squaring doubles the length of the paths followed
        linked = linked | (linked.astype(int) @ linked.astype(int) > 0)
    members = np.maximum(linked.sum(-1), 1)
    return np.rint((inside / members).sum(-1)).astype(int)  # a group of m counts m times 1 / m
