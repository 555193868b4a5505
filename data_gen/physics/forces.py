"""Motion of particles under smooth forces, vectorised over sequences: springs, charges, gravity.

Arrays are coordinate planes "2 k n" as in data_gen.physics, and pairs "2 k k n", whose second axis k is the
particle that the force comes from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_gen.physics import ordered_pairs, per_object, to_planes


def advance_particles(
    positions: np.ndarray,
    velocities: np.ndarray,
    radii: np.ndarray,
    masses: np.ndarray,
    force: Callable[[np.ndarray], np.ndarray],
    *,
    limit: float,
    substeps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Move particles by one frame in a box [0, limit]^2 with elastic walls; they pass through each other.

    positions, velocities: "n k 2", float64, in simulator units and units per frame.
    radii, masses: "k", or "n k" where they differ between sequences.
    force: from positions "2 k n" to the force on each particle "2 k n".

    Leapfrog (kick, drift, kick) is of second order and time-reversible, and its energy does not drift. A
    bounce reflects the drift exactly, and changes the energy by the work of the force within a substep.
    Returns the new positions and velocities "n k 2".
    """
    x, v = to_planes(positions), to_planes(velocities)  # 2 k n
    h = 1.0 / substeps
    lower = per_object(radii)  # k n or k 1: least coordinate of a centre
    upper = limit - lower
    half_step = 0.5 * h / per_object(masses)
    kick = half_step * force(x)  # 2 k n
    for _ in range(substeps):
        # 1. Kick by half a substep, and drift by a whole one.
        v += kick
        x += h * v
        # 2. Reflect at the walls.
        below, above = x < lower, x > upper
        bounced = below | above
        if bounced.any():
            x = np.where(below, 2 * lower - x, np.where(above, 2 * upper - x, x))
            np.negative(v, out=v, where=bounced)
        # 3. Kick by half a substep with the new forces, which the next substep uses again.
        kick = half_step * force(x)
        v += kick
    return x.T, v.T


def spring_forces(x: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """Hooke's law, f_i = -sum_j s_ij (x_i - x_j): positions "2 k n", stiffness "k k n" -> "2 k n"."""
    return _sum_over_sources(-stiffness * _gaps(x))


def coulomb_forces(x: np.ndarray, charges: np.ndarray, softening: float) -> np.ndarray:
    """Coulomb's law with the potential q_i q_j / sqrt(d^2 + softening^2), finite where two particles meet.

    positions "2 k n", charges "k n" -> "2 k n".
    """
    gaps = _gaps(x)  # 2 k k n
    squared = gaps[0] * gaps[0] + gaps[1] * gaps[1] + softening**2  # k k n
    return _sum_over_sources(gaps * (charges[:, None] * charges / (squared * np.sqrt(squared))))


def _gaps(x: np.ndarray) -> np.ndarray:
    """x_i - x_j, "2 k n" -> "2 k k n"."""
    return x[:, :, None] - x[:, None]


def _sum_over_sources(pairs: np.ndarray) -> np.ndarray:
    """Sum over the second particle, "2 k k n" -> "2 k n", in the same order for every n."""
    total = pairs[:, :, 0].copy()
    for j in range(1, pairs.shape[2]):
        total += pairs[:, :, j]
    return total


def advance_gravity(
    positions: np.ndarray,
    velocities: np.ndarray,
    masses: np.ndarray,
    *,
    limit: float,
    substeps: int,
    gravity: float,
    recall: float,
    max_force: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Move point masses by one frame under their mutual attraction, without walls or contacts.

    positions, velocities: "n k 2", float64, in simulator units and units per frame.
    masses: "k", or "n k" where they differ between sequences.
    gravity: the gravitational constant.
    recall: strength of a weak cubic pull towards the centre of the box.
    max_force: each component of the force on a body is clipped to [-max_force, max_force].

    The centre of mass is held at the centre of the box. The integrator is semi-implicit Euler, of first
    order. Returns the new positions and velocities "n k 2".

    Source: Kossen et al. 2020, whose reference simulator it reproduces exactly.
    """
    x, v = to_planes(positions), to_planes(velocities)  # 2 k n
    h = 1.0 / substeps
    centre = limit / 2
    mass = per_object(masses)  # k n or k 1
    share = mass / mass.sum(axis=0)
    first, second = ordered_pairs(len(mass))  # p
    strength = gravity * mass[first] * mass[second]  # p n or p 1

    for _ in range(substeps):
        # 1. Drift, and move the centre of mass back to the centre of the box.
        x += h * v
        x += centre - (share * x).sum(axis=1, keepdims=True)
        # 2. Pull towards the centre; none at the centre itself.
        inward = centre - x  # 2 k n
        distance = np.sqrt(inward[0] ** 2 + inward[1] ** 2)  # k n
        force = recall * (inward * inward * inward) / np.maximum(distance, np.finfo(float).tiny)
        # 3. Attraction of each pair, finite where two bodies meet.
        gap = x[:, first] - x[:, second]  # 2 p n
        softened = np.sqrt(gap[0] ** 2 + gap[1] ** 2) + 1e-5  # p n
        pull = gap * (strength / (softened * softened * softened))  # 2 p n
        for p, (i, j) in enumerate(zip(first, second, strict=True)):
            force[:, i] -= pull[:, p]
            force[:, j] += pull[:, p]
        # 4. Clip, and kick.
        np.clip(force, -max_force, max_force, out=force)
        v += force * (h / mass)
    return x.T, v.T
