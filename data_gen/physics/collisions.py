"""Motion of discs that bounce off walls and each other, exact to the reference simulator of STOVE.

Source: Kossen et al. 2020, "Structured Object-Aware Physics Prediction for Video Modeling and Planning".
"""

from __future__ import annotations

import numpy as np

from data_gen.physics import ordered_pairs, per_object, to_planes


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
    agent: a disc that collides as if it were at rest, and stops for the rest of the frame once it has.

    Returns the new positions and velocities "n k 2", the number of contacts within the frame "n", and the
    number of those that involve the agent "n".
    """
    x, v = to_planes(positions), to_planes(velocities)  # 2 k n
    h = 1.0 / substeps
    lower = per_object(radii)  # k n or k 1: least coordinate of a centre
    upper = limit - lower
    contacts = _Contacts(lower, per_object(masses), h, agent, n=x.shape[-1])
    collide = collide and len(lower) > 1

    for _ in range(substeps):
        # 1. Move, and look one substep ahead.
        move = h * v
        x += move
        ahead = x + move
        # 2. Put a disc that would pass a wall at the wall, and reverse that component of its velocity.
        beyond_lower, beyond_upper = ahead < lower, ahead > upper
        bounced = beyond_lower | beyond_upper
        if bounced.any():
            np.copyto(x, lower, where=beyond_lower)
            np.copyto(x, upper, where=beyond_upper)
            np.negative(v, out=v, where=bounced)
            ahead = x + h * v
        # 3. Exchange the velocities of discs that would touch.
        if collide:
            contacts.resolve(x, v, ahead)
    return x.T, v.T, contacts.count, contacts.agent_count


class _Contacts:
    """Solver of elastic contacts between discs, pair by pair in the reference's order.

    first, second: "p", discs i, j of each pair, j < i
    reach_squared: "p n" or "p 1", square of the distance at which a pair touches
    masses: "k n"
    count: "n", contacts so far; agent_count: "n", those that involve the agent
    """

    def __init__(self, radii: np.ndarray, masses: np.ndarray, h: float, agent: int | None, n: int) -> None:
        self.first, self.second = ordered_pairs(len(radii))
        self.reach_squared = (radii[self.first] + radii[self.second]) ** 2
        self.masses, self.h, self.agent = np.broadcast_to(masses, (len(masses), n)), h, agent
        self.count = np.zeros(n, dtype=np.int64)
        self.agent_count = np.zeros(n, dtype=np.int64)

    def resolve(self, x: np.ndarray, v: np.ndarray, ahead: np.ndarray) -> None:
        """Exchange velocities, in place, of all pairs that touch in the positions `ahead`; all "2 k n".

        A contact changes the velocities that later pairs of its sequence are tested with. So each round
        resolves one contact per sequence, the first that is open, and then tests the later pairs again.
        """
        # 1. Find the sequences n' that have a contact, and the first pair of each.
        touching = self._touching(ahead, self.reach_squared)  # p n
        n = np.flatnonzero(touching.any(axis=0))  # n'
        pair = touching[:, n].argmax(axis=0)  # n'
        shared = self.reach_squared.shape[1] == 1
        while n.size:
            # 2. Resolve that pair in all these sequences at once.
            self._exchange(x, v, self.first[pair], self.second[pair], n)
            # 3. Test the pairs after it with the new velocities; keep the sequences with another contact.
            reach_squared = self.reach_squared if shared else self.reach_squared[:, n]
            touching = self._touching(x[:, :, n] + self.h * v[:, :, n], reach_squared)  # p n'
            touching &= np.arange(len(touching))[:, None] > pair
            again = touching.any(axis=0)
            n, pair = n[again], touching[:, again].argmax(axis=0)

    def _touching(self, ahead: np.ndarray, reach_squared: np.ndarray) -> np.ndarray:
        """Return the pairs that touch: positions "2 k n" -> bool "p n"."""
        gap = ahead.take(self.first, axis=1) - ahead.take(self.second, axis=1)  # 2 p n; faster than an index
        gap *= gap
        return gap[0] + gap[1] < reach_squared

    def _exchange(self, x: np.ndarray, v: np.ndarray, i: np.ndarray, j: np.ndarray, n: np.ndarray) -> None:
        """Collide discs i and j, "n'" each, of the sequences n; update velocities and counts in place."""
        # 1. Unit vector from j to i. Two discs pressed into one corner may coincide: then it is 0, and no
        #    velocity changes.
        w = x[:, i, n] - x[:, j, n]  # 2 n'
        w /= np.maximum(np.hypot(w[0], w[1]), np.finfo(float).tiny)
        # 2. Speeds along it; the agent counts as at rest.
        v_i, v_j = v[:, i, n], v[:, j, n]  # 2 n'
        speed_i, speed_j = (w * v_i).sum(axis=0), (w * v_j).sum(axis=0)  # n'
        if self.agent is not None:
            speed_i, speed_j = speed_i * (i != self.agent), speed_j * (j != self.agent)
        # 3. Elastic collision along the line, the components across it stay.
        new_i, new_j = elastic_speeds(self.masses[i, n], self.masses[j, n], speed_i, speed_j)
        v[:, i, n] = v_i + w * (new_i - speed_i)
        v[:, j, n] = v_j + w * (new_j - speed_j)
        self.count[n] += 1
        # 4. An agent that has collided stops.
        if self.agent is not None:
            stopped = n[(i == self.agent) | (j == self.agent)]
            v[:, self.agent, stopped] = 0.0
            self.agent_count[stopped] += 1


def elastic_speeds(
    mass_1: np.ndarray, mass_2: np.ndarray, speed_1: np.ndarray, speed_2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the speeds along one line after an elastic collision.

    Momentum and kinetic energy are conserved.
    """
    new_2 = (2 * mass_1 * speed_1 + speed_2 * (mass_2 - mass_1)) / (mass_1 + mass_2)
    return new_2 + (speed_2 - speed_1), new_2
