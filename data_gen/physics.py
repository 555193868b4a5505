"""Motion of discs, vectorised over sequences and exact to the reference simulator of STOVE.

Each function advances all sequences by one frame and is pure. It works on coordinate planes "2 k n"
(x or y, disc, sequence), where every operation of a substep runs over contiguous memory.

Source: Kossen et al. 2020, "Structured Object-Aware Physics Prediction for Video Modeling and Planning".
"""

from __future__ import annotations

import numpy as np


def advance_billiards(
    positions: np.ndarray,
    velocities: np.ndarray,
    radii: np.ndarray,
    masses: np.ndarray,
    *,
    limit: float,
    substeps: int,
    collide: bool = True,
    agent: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Move discs by one frame in a box [0, limit]^2 with elastic walls and contacts.

    positions, velocities: "n k 2", float64, in simulator units and units per frame.
    radii, masses: "k", or "n k" where they differ between sequences.
    collide: whether discs bounce off each other (False: they pass through).
    agent: a disc that hits like one at rest, and stands still for the rest of the frame once it has hit.

    Returns the new positions and velocities "n k 2", the number of contacts "n" within the frame, and
    the number of those that involved the agent "n".
    """
    x, v = planes(positions), planes(velocities)
    h = 1.0 / substeps
    lower = per_disc(radii)
    upper = limit - lower
    contacts = _Contacts(lower, per_disc(masses), h, agent, n=x.shape[-1])
    collide = collide and len(lower) > 1

    for _ in range(substeps):
        move = h * v
        x += move
        ahead = x + move
        beyond_lower, beyond_upper = ahead < lower, ahead > upper
        bounced = beyond_lower | beyond_upper
        if bounced.any():
            np.copyto(x, lower, where=beyond_lower)
            np.copyto(x, upper, where=beyond_upper)
            np.negative(v, out=v, where=bounced)
            ahead = x + h * v
        if collide:
            contacts.resolve(x, v, ahead)
    return x.T, v.T, contacts.count, contacts.agent_count


class _Contacts:
    """Elastic contacts between discs, resolved pair by pair in the reference's order."""

    def __init__(self, radii, masses, h, agent, n):
        self.first, self.second = _ordered_pairs(len(radii))
        self.reach_squared = (radii[self.first] + radii[self.second]) ** 2
        self.masses, self.h, self.agent = np.broadcast_to(masses, (len(masses), n)), h, agent
        self.count = np.zeros(n, dtype=np.int64)
        self.agent_count = np.zeros(n, dtype=np.int64)

    def resolve(self, x, v, ahead):
        """Exchange velocities, in place, of all pairs that touch in the positions `ahead`.

        A contact changes what the later pairs of its sequence see. So each round resolves the first open
        contact of every sequence at once, and then looks again at the pairs that come after it.
        """
        touching = self._touching(ahead, self.reach_squared)
        n = np.flatnonzero(touching.any(axis=0))
        pair = touching[:, n].argmax(axis=0)
        shared = self.reach_squared.shape[1] == 1
        while n.size:
            self._exchange(x, v, self.first[pair], self.second[pair], n)
            reach_squared = self.reach_squared if shared else self.reach_squared[:, n]
            touching = self._touching(x[:, :, n] + self.h * v[:, :, n], reach_squared)
            touching &= np.arange(len(touching))[:, None] > pair
            again = touching.any(axis=0)
            n, pair = n[again], touching[:, again].argmax(axis=0)

    def _touching(self, ahead, reach_squared):
        gap = ahead.take(self.first, axis=1) - ahead.take(self.second, axis=1)  # twice as fast as an index
        gap *= gap
        return gap[0] + gap[1] < reach_squared

    def _exchange(self, x, v, i, j, n):
        w = x[:, i, n] - x[:, j, n]
        # Two discs pressed into one corner may coincide: no direction, so no exchange.
        w /= np.maximum(np.hypot(w[0], w[1]), np.finfo(float).tiny)
        v_i, v_j = v[:, i, n], v[:, j, n]
        speed_i, speed_j = (w * v_i).sum(axis=0), (w * v_j).sum(axis=0)
        if self.agent is not None:
            speed_i, speed_j = speed_i * (i != self.agent), speed_j * (j != self.agent)
        new_i, new_j = elastic_speeds(self.masses[i, n], self.masses[j, n], speed_i, speed_j)
        v[:, i, n] = v_i + w * (new_i - speed_i)
        v[:, j, n] = v_j + w * (new_j - speed_j)
        self.count[n] += 1
        if self.agent is not None:
            stopped = n[(i == self.agent) | (j == self.agent)]
            v[:, self.agent, stopped] = 0.0
            self.agent_count[stopped] += 1


def elastic_speeds(mass_1, mass_2, speed_1, speed_2):
    """Speeds along one line after an elastic collision: conserves momentum and kinetic energy."""
    new_2 = (2 * mass_1 * speed_1 + speed_2 * (mass_2 - mass_1)) / (mass_1 + mass_2)
    return new_2 + (speed_2 - speed_1), new_2


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
    first, second = _ordered_pairs(len(mass))
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


def closest_approach(positions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Least distance of a pair over the sum of its radii: positions "... k 2" -> "..." (inf for one disc).

    radii: "k", or with leading axes that broadcast against those of the positions.
    """
    first, second = _ordered_pairs(radii.shape[-1])
    gap = positions[..., first, :] - positions[..., second, :]
    relative = np.hypot(gap[..., 0], gap[..., 1]) / (radii[..., first] + radii[..., second])
    return relative.min(axis=-1, initial=np.inf)


def _ordered_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i, j with j < i, in the order in which the reference resolves contacts."""
    return np.tril_indices(k, -1)


def per_disc(amounts: np.ndarray) -> np.ndarray:
    """Amounts "k" or "n k" as they meet planes: "k 1" or a contiguous "k n"."""
    return np.array(np.atleast_2d(amounts).T, dtype=np.float64, order="C")


def planes(array: np.ndarray) -> np.ndarray:
    """A fresh, contiguous "2 k n" from "n k 2"."""
    return np.array(array.T, dtype=np.float64, order="C")
