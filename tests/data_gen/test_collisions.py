"""Billiards against the reference's trajectories, a scalar implementation, and the laws of physics."""

from __future__ import annotations

from math import hypot

import numpy as np
import pytest

from data_gen.physics import closest_approach
from data_gen.physics.collisions import advance_billiards, elastic_speeds

LIMIT, SUBSTEPS = 10.0, 10


def scalar_billiards(x, v, r, m, collide=True, agent=None, substeps=SUBSTEPS):
    """Advance one sequence by one frame, ball by ball as the reference does; x, v are lists of [x, y]."""
    h, k, contacts = 1 / substeps, len(x), 0
    for _ in range(substeps):
        for i in range(k):
            for axis in range(2):
                x[i][axis] += h * v[i][axis]
        for i in range(k):
            for axis in range(2):
                ahead = x[i][axis] + h * v[i][axis]
                if ahead < r[i]:
                    x[i][axis], v[i][axis] = r[i], -v[i][axis]
                elif ahead > LIMIT - r[i]:
                    x[i][axis], v[i][axis] = LIMIT - r[i], -v[i][axis]
        for i in range(k if collide else 0):
            for j in range(i):
                ahead = [[x[o][a] + h * v[o][a] for a in range(2)] for o in (i, j)]
                if hypot(ahead[0][0] - ahead[1][0], ahead[0][1] - ahead[1][1]) >= r[i] + r[j]:
                    continue
                contacts += 1
                w = [x[i][a] - x[j][a] for a in range(2)]
                w = [c / hypot(*w) for c in w]
                along = [0.0 if o == agent else w[0] * v[o][0] + w[1] * v[o][1] for o in (i, j)]
                total = m[i] + m[j]
                after = [
                    ((m[i] - m[j]) * along[0] + 2 * m[j] * along[1]) / total,
                    ((m[j] - m[i]) * along[1] + 2 * m[i] * along[0]) / total,
                ]
                for o, old, new in zip((i, j), along, after, strict=True):
                    v[o] = [v[o][a] + w[a] * (new - old) for a in range(2)]
                if agent in (i, j):
                    v[agent] = [0.0, 0.0]
    return contacts


def test_radii_and_masses_may_differ_between_sequences(rng):
    """Sequences move together as each of them moves alone."""
    x, v = crowd(rng, 40, 4)
    r, m = rng.uniform(0.5, 1.2, (40, 4)), rng.uniform(0.5, 3.0, (40, 4))
    together = advance_billiards(x, v, r, m, limit=LIMIT, substeps=SUBSTEPS)
    assert together[2].sum() > 40
    for n in range(40):
        alone = advance_billiards(x[n : n + 1], v[n : n + 1], r[n], m[n], limit=LIMIT, substeps=SUBSTEPS)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[n : n + 1], b)


def crowd(rng, n, k):
    """Sample states with overlaps, balls at walls and fast balls, for contacts of every kind."""
    return rng.uniform(0.5, LIMIT - 0.5, (n, k, 2)), rng.normal(0, 0.5, (n, k, 2))


@pytest.mark.parametrize("k, agent", [(1, None), (3, None), (6, None), (3, 0), (4, 2)])
def test_billiards_equals_the_scalar_loop(rng, k, agent):
    x, v = crowd(rng, 40, k)
    r, m = rng.uniform(0.5, 1.2, k), rng.uniform(0.5, 3.0, k)
    for _ in range(3):
        expected, counts = [], []
        for x_n, v_n in zip(x.tolist(), v.tolist(), strict=True):
            counts.append(scalar_billiards(x_n, v_n, r.tolist(), m.tolist(), agent=agent))
            expected.append((x_n, v_n))
        x, v, contacts, _ = advance_billiards(x, v, r, m, limit=LIMIT, substeps=SUBSTEPS, agent=agent)
        np.testing.assert_array_equal(contacts, counts)
        np.testing.assert_allclose(x, [e[0] for e in expected], atol=1e-12, rtol=0)
        np.testing.assert_allclose(v, [e[1] for e in expected], atol=1e-12, rtol=0)


def test_billiards_reproduces_the_reference(reference):
    with np.load(reference / "billiards.npz") as data:
        positions, velocities = data["positions"], data["velocities"]
        k = positions.shape[2]
        r, m = np.full(k, float(data["radius"])), np.full(k, float(data["mass"]))
        limit = float(data["coord_lim"])
    x, v = positions[:, 0], velocities[:, 0]
    for t in range(1, positions.shape[1]):
        x, v, *_ = advance_billiards(x, v, r, m, limit=limit, substeps=10)
        np.testing.assert_allclose(x, positions[:, t], atol=1e-11, rtol=0)
        np.testing.assert_allclose(v, velocities[:, t], atol=1e-11, rtol=0)


def test_input_is_unchanged_and_sequences_are_independent(rng):
    x, v = crowd(rng, 30, 3)
    before = x.copy(), v.copy()
    r, m = np.full(3, 1.0), np.ones(3)
    together = advance_billiards(x, v, r, m, limit=LIMIT, substeps=SUBSTEPS)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(v, before[1])
    alone = advance_billiards(x[7:8], v[7:8], r, m, limit=LIMIT, substeps=SUBSTEPS)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a[7:8], b)


def test_contacts_conserve_energy_and_momentum(rng):
    """Two balls of different masses collide far from the walls."""
    n = 200
    m, r = np.array([1.0, 2.5]), np.array([1.0, 0.7])
    angle, offset = rng.uniform(0, 2 * np.pi, n), rng.uniform(-0.5, 0.5, n)
    toward = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    aside = np.stack([-toward[:, 1], toward[:, 0]], axis=-1)
    x = 5 + np.stack([-toward, toward + offset[:, None] * aside], axis=1)
    v = 0.4 * np.stack([toward, -toward], axis=1)
    assert (closest_approach(x, r) > 1).all()
    energy, momentum = (m[:, None] * v**2).sum((1, 2)), (m[:, None] * v).sum(1)
    contacts = np.zeros(n, int)
    for _ in range(3):
        x, v, count, _ = advance_billiards(x, v, r, m, limit=LIMIT, substeps=SUBSTEPS)
        contacts += count
    assert (contacts >= 1).all()
    np.testing.assert_allclose((m[:, None] * v**2).sum((1, 2)), energy, rtol=1e-12)
    np.testing.assert_allclose((m[:, None] * v).sum(1), momentum, atol=1e-12)


def test_elastic_speeds_by_hand():
    assert elastic_speeds(1.0, 1.0, 3.0, -1.0) == (-1.0, 3.0)  # equal masses exchange their speeds
    assert elastic_speeds(3.0, 1.0, 1.0, 0.0) == (0.5, 1.5)
    wall, ball = elastic_speeds(1e12, 1.0, 0.0, -1.0)
    assert abs(wall) < 1e-11 and abs(ball - 1.0) < 1e-11


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("wall", ["lower", "upper"])
def test_walls_reflect_one_component(axis, wall):
    r, speed = 1.0, 0.3
    x, v = np.full((1, 1, 2), 5.0), np.full((1, 1, 2), 0.01)
    x[..., axis] = r + 0.1 if wall == "lower" else LIMIT - r - 0.1
    v[..., axis] = -speed if wall == "lower" else speed
    new_x, new_v, *_ = advance_billiards(x, v, np.array([r]), np.ones(1), limit=LIMIT, substeps=SUBSTEPS)
    expected = v.copy()
    expected[..., axis] *= -1
    np.testing.assert_array_equal(new_v, expected)
    assert r <= new_x[0, 0, axis] <= LIMIT - r


def test_balls_stay_in_the_box_and_keep_their_energy(rng):
    n, r = 50, np.full(3, 1.2)
    x = np.array([[2.0, 2.0], [5.0, 5.0], [8.0, 8.0]]) + rng.uniform(-0.3, 0.3, (n, 3, 2))
    v = rng.normal(0, 0.3, (n, 3, 2))
    energy = (v**2).sum((1, 2))
    for _ in range(300):
        x, v, *_ = advance_billiards(x, v, r, np.ones(3), limit=LIMIT, substeps=SUBSTEPS)
        assert (x >= r[:, None]).all() and (x <= LIMIT - r[:, None]).all()
    np.testing.assert_allclose((v**2).sum((1, 2)), energy, rtol=1e-11)


def test_without_contacts_balls_pass_through_each_other():
    x, v = np.array([[[4.0, 5.0], [6.0, 5.0]]]), np.array([[[1.0, 0.0], [-1.0, 0.0]]])
    for _ in range(2):
        x, v, contacts, _ = advance_billiards(
            x, v, np.ones(2), np.ones(2), limit=LIMIT, substeps=SUBSTEPS, collide=False
        )
        assert contacts == 0
    np.testing.assert_allclose(x, [[[6.0, 5.0], [4.0, 5.0]]], atol=1e-12)


def test_balls_at_the_same_place_stay_finite():
    x, v = np.full((1, 2, 2), 1.0), np.array([[[-0.1, 0.0], [0.0, -0.1]]])
    x, v, *_ = advance_billiards(x, v, np.ones(2), np.ones(2), limit=LIMIT, substeps=SUBSTEPS)
    assert np.isfinite(x).all() and np.isfinite(v).all()


def test_closest_approach_by_hand():
    x = np.array([[[0.0, 0.0], [3.0, 4.0], [0.0, 20.0]]])
    np.testing.assert_allclose(closest_approach(x, np.array([1.0, 1.5, 2.0])), [5 / 2.5])
    assert closest_approach(x[:, :1], np.ones(1)) == np.inf
