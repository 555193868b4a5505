"""Motion of discs that bounce off walls and each other, exact to the reference simulator of STOVE.

Source: Kossen et al. 2020, "Structured Object-Aware Physics Prediction for Video Modeling and Planning".
"""

from __future__ import annotations

import numpy as np

from data_gen.physics import ordered_pairs, per_disc, planes


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
        self.first, self.second = ordered_pairs(len(radii))
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
