"""Attraction against the reference's trajectories and physical laws; a scalar loop is in test_forces.py."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.physics import closest_approach
from data_gen.physics.forces import advance_gravity
from data_gen.sims.gravity import Gravity
from data_gen.simulator import State, Trajectory, simulate

LIMIT = 30.0
CONSTANTS = dict(limit=LIMIT, substeps=50, gravity=0.5, recall=0.001, max_force=1.0)


def test_gravity_reproduces_the_reference(reference):
    world = Gravity()
    with np.load(reference / "gravity.npz") as data:
        positions, velocities = data["positions"], data["velocities"]
        assert (world.limit, world.radius, world.mass) == (data["coord_lim"], data["radius"], data["mass"])
    start = State(positions[:, 0], velocities[:, 0])
    states = simulate(world, start, positions.shape[1] - 1).states
    np.testing.assert_allclose(states.positions, positions[:, 1:], atol=1e-10, rtol=0)
    np.testing.assert_allclose(states.velocities, velocities[:, 1:], atol=1e-10, rtol=0)


def test_without_recall_and_bound_momentum_is_conserved(rng):
    x, v = rng.uniform(10, 20, (20, 3, 2)), rng.normal(0, 0.5, (20, 3, 2))
    m = np.array([1.0, 2.0, 4.0])
    _, new_v = advance_gravity(x, v, m, **{**CONSTANTS, "recall": 0.0, "max_force": 1e6})
    np.testing.assert_allclose((m[:, None] * new_v).sum(1), (m[:, None] * v).sum(1), atol=1e-11)
    assert abs(new_v - v).max() > 0.01


def test_two_bodies_on_a_circle_stay_on_it():
    """Equal masses at distance d orbit with v^2 = G m / (2 d) each, to 1 % with a substep of 1/50."""
    d, m = 8.0, 4.0
    speed = np.sqrt(0.5 * m / (2 * d))
    x = np.array([[[15 - d / 2, 15.0], [15 + d / 2, 15.0]]])
    v = np.array([[[0.0, speed], [0.0, -speed]]])
    for _ in range(100):
        x, v = advance_gravity(x, v, np.full(2, m), **{**CONSTANTS, "recall": 0.0})
        assert abs(np.linalg.norm(x[0, 0] - x[0, 1]) / d - 1) < 0.01


def test_centre_of_mass_stays_in_the_middle_even_of_one_body(rng):
    x, v = rng.uniform(5, 25, (4, 3, 2)), rng.normal(0, 0.5, (4, 3, 2))
    m = np.array([1.0, 2.0, 3.0])
    new_x, _ = advance_gravity(x, v, m, **CONSTANTS)
    np.testing.assert_allclose((m[:, None] * new_x).sum(1) / 6, 15.0, atol=1e-12)
    alone, at_rest = advance_gravity(x[:, :1], v[:, :1], m[:1], **CONSTANTS)
    np.testing.assert_array_equal(alone, np.full_like(alone, 15.0))
    assert np.isfinite(at_rest).all()


def test_starts_circle_the_mean_in_one_sense(rng):
    state = Gravity().reset(500, rng)
    assert state.positions.min() >= 15 and state.positions.max() < 28.5
    assert (closest_approach(state.positions, np.full(3, 0.5)) >= 10).all()  # the radii add up to 1
    inward = state.positions.mean(axis=1, keepdims=True) - state.positions
    inward /= np.linalg.norm(inward, axis=-1, keepdims=True)
    along = (inward * state.velocities).sum(-1)
    around = inward[..., 0] * state.velocities[..., 1] - inward[..., 1] * state.velocities[..., 0]
    senses = np.sign(around)
    assert (abs(senses.mean(1)) == 1).mean() > 0.99 and abs(senses.mean()) < 5 / np.sqrt(500)
    # around = s (a^2 f_1 + b^2 f_2) with a^2 + b^2 = 1 and factors f of mean 0.55 and std 0.13
    assert abs(abs(around).mean() - 0.55) < 5 * 0.13 / np.sqrt(1500)
    assert abs(along.mean()) < 5 * 0.13 / np.sqrt(1500)


def test_acceptance_by_hand():
    """Of 200 frames, a sequence loses one for each with a close pair, and a third for each body outside."""
    world, still = Gravity(), np.zeros((5, 200, 3, 2))
    positions = still + np.array([[5.0, 5.0], [15.0, 15.0], [25.0, 25.0]])
    positions[1, :2, 0] = [14.0, 15.0]  # two near frames: 198 is 99 %, and not above
    positions[2, 0, 0] = [14.0, 15.0]  # one: 199
    positions[3, :5, 0] = [-1.0, 5.0]  # five frames with a third outside: 198.33
    positions[4, :6, 0] = [-1.0, 5.0]  # six: 198
    nothing = np.zeros((5, 200))
    trajectory = Trajectory(State(positions, still), nothing, nothing, nothing)
    assert world.accept(trajectory).tolist() == [True, False, True, True, False]
    assert Gravity(min_distance=None).accept(trajectory).tolist() == [True, True, True, True, False]


def test_impossible_options_are_refused():
    for field in ({"gravity": -1}, {"max_force": 0}, {"speed_noise": "much"}, {"recall": None}):
        with pytest.raises(DataError, match=f"sim.{next(iter(field))}="):
            Gravity(**field)
    with pytest.raises(DataError, match="sim.num_balls=9"):
        Gravity(num_balls=9).reset(1, np.random.default_rng(0))
