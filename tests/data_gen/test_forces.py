"""Gravity and particles against plain loops over bodies; contacts of an agent, walls, and planes."""

from __future__ import annotations

from math import hypot

import numpy as np
import pytest

from data_gen.physics import closest_approach, per_object, to_planes
from data_gen.physics.collisions import advance_billiards
from data_gen.physics.forces import advance_gravity, advance_particles, coulomb_forces, spring_forces


def scalar_gravity(x, v, m, limit, substeps, gravity, recall, max_force):
    """Advance one sequence by one frame, body by body; x, v are lists of [x, y]."""
    h, k, total = 1 / substeps, len(x), sum(m)
    for _ in range(substeps):
        for i in range(k):
            for a in range(2):
                x[i][a] += h * v[i][a]
        for a in range(2):
            middle = sum(m[i] * x[i][a] for i in range(k)) / total
            for i in range(k):
                x[i][a] += limit / 2 - middle
        for i in range(k):
            inward = [limit / 2 - x[i][a] for a in range(2)]
            force = [recall * inward[a] ** 3 / max(hypot(*inward), 1e-300) for a in range(2)]
            for j in range(k):
                if j != i:
                    gap = [x[i][a] - x[j][a] for a in range(2)]
                    pull = gravity * m[i] * m[j] / (hypot(*gap) + 1e-5) ** 3
                    force = [force[a] - pull * gap[a] for a in range(2)]
            for a in range(2):
                v[i][a] += h / m[i] * min(max(force[a], -max_force), max_force)


@pytest.mark.parametrize(("max_force", "substeps"), [(0.05, 5), (1e9, 5), (1.0, 50)])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_gravity_equals_the_scalar_loop(rng, k, max_force, substeps):
    options = {"limit": 30.0, "substeps": substeps, "gravity": 0.7, "recall": 0.02, "max_force": max_force}
    x, v = rng.uniform(5, 25, (20, k, 2)), rng.normal(0, 0.5, (20, k, 2))
    m = rng.uniform(0.5, 4.0, (20, k))
    before = x.copy(), v.copy()
    expected = []
    for one in zip(x.tolist(), v.tolist(), m.tolist(), strict=True):
        scalar_gravity(*one, **options)
        expected.append(one[:2])
    after = advance_gravity(x, v, m, **options)
    for got, index in ((after[0], 0), (after[1], 1)):
        np.testing.assert_allclose(got, [e[index] for e in expected], atol=1e-11, rtol=0)
    assert np.array_equal(x, before[0]) and np.array_equal(v, before[1]), "the input is unchanged"
    shared = advance_gravity(x, v, m[0], **options)
    np.testing.assert_array_equal(shared[0][0], after[0][0])


def test_bodies_that_meet_at_the_centre_stay_finite():
    x, v = np.full((1, 2, 2), 15.0), np.zeros((1, 2, 2))
    options = {"limit": 30.0, "substeps": 5, "gravity": 0.7, "recall": 0.02, "max_force": 1.0}
    x, v = advance_gravity(x, v, np.ones(2), **options)
    np.testing.assert_array_equal(x, np.full((1, 2, 2), 15.0))
    np.testing.assert_array_equal(v, 0)


@pytest.mark.parametrize("agent", [0, 1, 2])
def test_an_agent_stops_when_it_is_hit_and_each_hit_counts(agent):
    """Three discs in a row: the middle one is hit from both sides, an outer one from one side."""
    x = np.array([[[2.0, 5.0], [5.0, 5.0], [8.0, 5.0]]])
    v = np.array([[[1.5, 0.0], [0.0, 0.0], [-1.5, 0.0]]])
    x, v, contacts, hits = advance_billiards(
        x, v, np.full(3, 0.9), np.ones(3), limit=10.0, substeps=10, agent=agent
    )
    assert contacts[0] >= 2 and 1 <= hits[0] < contacts[0] + 1
    if agent == 1:
        assert hits[0] == contacts[0] == 2
        # it counts as at rest: the others have its speed, 0, along the line
        np.testing.assert_array_equal(v, 0)
    np.testing.assert_array_equal(v[0, agent], 0)
    *_, hits = advance_billiards(
        x - [[[0.0, 0.0], [0.0, 2.5], [0.0, -2.5]]],
        v + 0.5,
        np.full(3, 0.9),
        np.ones(3),
        limit=10.0,
        substeps=10,
        agent=agent,
    )
    assert hits[0] == 0


def test_without_an_agent_there_are_no_hits():
    x = np.array([[[4.0, 5.0], [6.0, 5.0]]])
    v = np.array([[[0.5, 0.0], [-0.5, 0.0]]])
    _, v, contacts, hits = advance_billiards(x, v, np.ones(2), np.ones(2), limit=10.0, substeps=10)
    assert contacts[0] == 1 and hits[0] == 0 and hits.dtype == contacts.dtype == np.int64
    np.testing.assert_allclose(v[0, :, 0], [-0.5, 0.5])


def test_a_disc_that_bounces_is_put_at_the_wall():
    x, v = np.array([[[1.2, 5.0]]]), np.array([[[-1.0, 0.0]]])
    x, v, *_ = advance_billiards(x, v, np.array([1.0]), np.ones(1), limit=10.0, substeps=2)
    # the first half ends beyond the wall, so the second begins at it
    np.testing.assert_allclose(x[0, 0], [1.5, 5.0])
    np.testing.assert_allclose(v[0, 0], [1.0, 0.0])


def test_discs_that_exactly_touch_have_no_contact():
    x, v = np.array([[[4.0, 5.0], [6.0, 5.0]]]), np.zeros((1, 2, 2))
    *_, contacts, _ = advance_billiards(x, v, np.ones(2), np.ones(2), limit=10.0, substeps=3)
    assert contacts[0] == 0


def test_closest_approach_broadcasts_radii():
    x = np.array([[[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 2.0]]])
    np.testing.assert_allclose(closest_approach(x, np.array([[1.0, 1.0], [1.0, 3.0]])), [2.5, 0.5])


def test_planes_are_copies():
    x = np.arange(12.0).reshape(2, 3, 2)
    p = to_planes(x)
    assert p.shape == (2, 3, 2) and p.flags.c_contiguous and not np.shares_memory(p, x)
    np.testing.assert_array_equal(p[1, 2], x[:, 2, 1])
    assert per_object(np.ones(3)).shape == (3, 1) and per_object(np.ones((5, 3))).shape == (3, 5)


def scalar_leapfrog(x, v, r, m, force, limit, substeps):
    """Advance one sequence by one frame: kick, drift and bounce, kick; x, v are lists of [x, y]."""
    h, k = 1 / substeps, len(x)
    f = force(x)
    for _ in range(substeps):
        for i in range(k):
            for a in range(2):
                v[i][a] += 0.5 * h * f[i][a] / m[i]
                x[i][a] += h * v[i][a]
                if x[i][a] < r[i]:
                    x[i][a], v[i][a] = 2 * r[i] - x[i][a], -v[i][a]
                elif x[i][a] > limit - r[i]:
                    x[i][a], v[i][a] = 2 * (limit - r[i]) - x[i][a], -v[i][a]
        f = force(x)
        for i in range(k):
            for a in range(2):
                v[i][a] += 0.5 * h * f[i][a] / m[i]


def pair_force(x, of_pair):
    """Sum (x_i - x_j) over the others, times a factor that depends on the pair and its distance."""
    k = len(x)
    total = [[0.0, 0.0] for _ in range(k)]
    for i in range(k):
        for j in range(k):
            gap = [x[i][a] - x[j][a] for a in range(2)]
            factor = of_pair(i, j, hypot(*gap)) if i != j else 0.0
            total[i] = [total[i][a] + factor * gap[a] for a in range(2)]
    return total


@pytest.mark.parametrize("kind", ["springs", "charges"])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_particles_equal_the_scalar_loop(rng, kind, k):
    n, limit, substeps = 15, 6.0, 4
    x, v = rng.uniform(0.7, 5.3, (n, k, 2)), rng.normal(0, 1.5, (n, k, 2))
    r, m = rng.uniform(0.3, 0.7, (n, k)), rng.uniform(0.5, 3.0, (n, k))
    stiffness, charges = rng.uniform(0, 0.5, (k, k, n)), rng.normal(0, 1, (k, n))
    if kind == "springs":
        together = advance_particles(
            x, v, r, m, lambda x: spring_forces(x, stiffness), limit=limit, substeps=substeps
        )
    else:
        together = advance_particles(
            x, v, r, m, lambda x: coulomb_forces(x, charges, 0.7), limit=limit, substeps=substeps
        )
    for s in range(n):

        def of_pair(i, j, d, s=s):
            if kind == "springs":
                return -stiffness[i, j, s]
            return charges[i, s] * charges[j, s] / (d**2 + 0.7**2) ** 1.5

        one_x, one_v = x[s].tolist(), v[s].tolist()
        scalar_leapfrog(one_x, one_v, r[s], m[s], lambda x, f=of_pair: pair_force(x, f), limit, substeps)
        np.testing.assert_allclose(together[0][s], one_x, atol=1e-11, rtol=0)
        np.testing.assert_allclose(together[1][s], one_v, atol=1e-11, rtol=0)
    assert (np.sign(together[1]) != np.sign(v)).any(), "nothing bounced"
