"""Motion of particles under smooth forces, vectorised over sequences: springs, charges, gravity.

As in data_gen.physics, functions work on coordinate planes "2 k n" (x or y, particle, sequence) and on pairs
"2 k k n", whose second axis is the particle that the other one acts on. Gravity is exact to the reference
simulator of STOVE (Kossen et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_gen.physics import ordered_pairs, per_disc, planes


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
    """Move discs by one frame in a box [0, limit]^2; they pass through each other and bounce off the walls.

    positions, velocities: "n k 2", float64, in simulator units and units per frame.
    radii, masses: "k", or "n k" where they differ between sequences.
    force: from positions "2 k n" to the force on each disc "2 k n".

    Leapfrog (kick, drift, kick): of second order, time-reversible, and the energy does not drift away. A
    bounce reflects the drift exactly, and shifts the energy by as much as the force does work within a
    substep. Returns the new positions and velocities "n k 2".
    """
    x, v = planes(positions), planes(velocities)
    h = 1.0 / substeps
    lower = per_disc(radii)
    upper = limit - lower
    half_kick = 0.5 * h / per_disc(masses)
    kick = half_kick * force(x)
    for _ in range(substeps):
        v += kick
        x += h * v
        below, above = x < lower, x > upper
        bounced = below | above
        if bounced.any():
            x = np.where(below, 2 * lower - x, np.where(above, 2 * upper - x, x))
            np.negative(v, out=v, where=bounced)
        kick = half_kick * force(x)
        v += kick
    return x.T, v.T


def spring_forces(x: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """Hooke's law, f_i = -sum_j s_ij (x_i - x_j): positions "2 k n", stiffness "k k n" -> "2 k n"."""
    return _total(-stiffness * _gaps(x))


def coulomb_forces(x: np.ndarray, charges: np.ndarray, softening: float) -> np.ndarray:
    """Coulomb's law with the potential q_i q_j / sqrt(d^2 + softening^2), finite where two particles meet.

    positions "2 k n", charges "k n" -> "2 k n".
    """
    gaps = _gaps(x)
    squared = gaps[0] * gaps[0] + gaps[1] * gaps[1] + softening**2
    return _total(gaps * (charges[:, None] * charges / (squared * np.sqrt(squared))))


def _gaps(x: np.ndarray) -> np.ndarray:
    """x_i - x_j, "2 k n" -> "2 k k n"."""
    return x[:, :, None] - x[:, None]


def _total(pairs: np.ndarray) -> np.ndarray:
    """Sum over the second particle, "2 k k n" -> "2 k n", in the same order whatever n is."""
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

    The centre of mass is held at the centre of the box. Returns the new positions and velocities "n k 2".
    """
    x, v = planes(positions), planes(velocities)
    h = 1.0 / substeps
    centre = limit / 2
    mass = per_disc(masses)
    share = mass / mass.sum(axis=0)
    first, second = ordered_pairs(len(mass))
    strength = gravity * mass[first] * mass[second]

    for _ in range(substeps):
        x += h * v
        x += centre - (share * x).sum(axis=1, keepdims=True)
        inward = centre - x
        distance = np.sqrt(inward[0] ** 2 + inward[1] ** 2)
        force = (
            recall * (inward * inward * inward) / np.maximum(distance, np.finfo(float).tiny)
        )  # none at the centre itself
        gap = x[:, first] - x[:, second]
        softened = np.sqrt(gap[0] ** 2 + gap[1] ** 2) + 1e-5  # finite where two bodies meet
        pull = gap * (strength / (softened * softened * softened))
        for p, (i, j) in enumerate(zip(first, second, strict=True)):
            force[:, i] -= pull[:, p]
            force[:, j] += pull[:, p]
        np.clip(force, -max_force, max_force, out=force)
        v += force * (h / mass)
    return x.T, v.T
