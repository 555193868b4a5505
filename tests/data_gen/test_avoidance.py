"""The steered ball against the reference's trajectories and by hand; the policy that steers it."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.sims._policies import sticky_actions, sticky_vectors
from data_gen.sims.avoidance import DIRECTIONS, Avoidance, SteeredAvoidance
from data_gen.simulator import State, simulate


def test_avoidance_reproduces_the_reference(reference):
    world = Avoidance()
    with np.load(reference / "avoidance.npz") as data:
        positions, velocities = data["positions"], data["velocities"]
        actions, rewards = data["action"], data["reward"]
        assert (world.limit, world.radius) == (data["coord_lim"], data["radius"])
    # On disk the action between frames 0 and 1 comes first.
    run = simulate(world, State(positions[:, 0], velocities[:, 0]), 99, actions[:, :-1])
    np.testing.assert_allclose(run.states.positions, positions[:, 1:], atol=1e-10, rtol=0)
    np.testing.assert_allclose(run.states.velocities, velocities[:, 1:], atol=1e-10, rtol=0)
    np.testing.assert_array_equal(run.rewards, rewards[:, 1:])
    assert (rewards < 0).any()


@pytest.mark.parametrize("action", range(9))
def test_the_agent_moves_in_the_direction_of_its_action(action):
    world = Avoidance(num_balls=1)
    state = State(np.full((1, 1, 2), 5.0), np.full((1, 1, 2), 9.0))
    step = world.step(state, np.array([action]))
    np.testing.assert_allclose(step.state.positions[0, 0], 5 + 0.6 * DIRECTIONS[action], atol=1e-12)
    assert np.linalg.norm(DIRECTIONS[action]) == pytest.approx(0.0 if action == 0 else 1.0)
    np.testing.assert_array_equal(world.step(state).state.positions, state.positions)


def test_a_contact_stops_the_agent_and_costs_one():
    """The agent moves right into a resting ball. As it counts as at rest, it transfers no momentum."""
    world = Avoidance(num_balls=2)
    state = State(np.array([[[4.0, 5.0], [6.2, 5.0]]]), np.zeros((1, 2, 2)))
    step = world.step(state, np.array([1]))
    assert step.rewards.tolist() == [-1.0] and step.collisions.tolist() == [1]
    np.testing.assert_array_equal(step.state.velocities, np.zeros((1, 2, 2)))
    assert 4.1 < step.state.positions[0, 0, 0] < 4.21  # it stops at the contact


def test_a_ball_bounces_off_the_agent_as_off_a_wall():
    world = Avoidance(num_balls=2)
    state = State(np.array([[[4.0, 5.0], [6.2, 5.0]]]), np.array([[[0.0, 0.0], [-0.4, 0.1]]]))
    step = world.step(state, np.array([0]))
    assert step.rewards.tolist() == [-1.0]
    # not exact, because of the ratio of the masses, and of the line of centres, a little off the axis
    np.testing.assert_allclose(step.state.velocities[0, 1], [0.4, 0.1], atol=0.02)
    assert np.linalg.norm(step.state.velocities[0, 1]) == pytest.approx(np.hypot(0.4, 0.1), rel=1e-3)


def test_contacts_between_the_others_have_no_reward():
    world = Avoidance()
    positions = np.array([[[2.0, 2.0], [5.0, 8.0], [7.1, 8.0]]])
    velocities = np.array([[[0.0, 0.0], [0.3, 0.0], [0.0, 0.0]]])
    step = world.step(State(positions, velocities), np.array([0]))
    assert step.collisions.tolist() == [1] and step.rewards.tolist() == [0.0]
    np.testing.assert_allclose(step.state.velocities[0, 1:], [[0.0, 0.0], [0.3, 0.0]], atol=1e-12)


def test_impossible_options_are_refused():
    for field in ({"agent_mass": 0}, {"agent_speed": -1}):
        with pytest.raises(DataError, match=f"sim.{next(iter(field))}="):
            Avoidance(**field)


def test_sticky_actions_change_as_often_as_they_should(rng):
    n, length, num_actions = 2000, 200, 9
    actions = sticky_actions(n, length, num_actions, rng)
    assert actions.shape == (n, length) and actions.dtype == np.int64
    changed = actions[:, 1:] != actions[:, :-1]
    share = changed.mean(axis=1)
    # Per sequence p ~ U(0.2, 0.3): its variance plus that of a binomial share.
    variance = 0.1**2 / 12 + (0.25 * 0.75 - 0.1**2 / 12) / (length - 1)
    assert abs(share.mean() - 0.25) < 5 * np.sqrt(variance / n)
    assert share.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / n))
    # The first is uniform, and so is the difference of a change.
    for values, kinds in (
        (actions[:, 0], np.arange(num_actions)),
        ((actions[:, 1:] - actions[:, :-1])[changed] % num_actions, np.arange(1, num_actions)),
    ):
        counts = np.array([(values == kind).sum() for kind in kinds])
        expected = len(values) / len(kinds)
        assert counts.sum() == len(values) and abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_a_steered_agent_moves_by_its_vector():
    world = SteeredAvoidance(num_balls=1)
    state = State(np.full((3, 1, 2), 5.0), np.full((3, 1, 2), 9.0))
    vectors = np.array(
        [[0.5, -0.25], [3.0, 4.0], [0.0, 0.0]], np.float32
    )  # the second one counts as (0.6, 0.8)
    step = world.step(state, vectors)
    expected = 5 + 0.6 * np.array([[0.5, -0.25], [0.6, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(step.state.positions[:, 0], expected, atol=1e-7)


def test_both_kinds_of_steering_are_the_same_world(rng):
    nine, free = Avoidance(substeps=10), SteeredAvoidance(substeps=10)
    start, actions = nine.reset(20, rng), nine.sample_actions(20, 30, rng)
    one = simulate(nine, start, 30, actions)
    other = simulate(free, start, 30, DIRECTIONS[actions])
    np.testing.assert_allclose(other.states.positions, one.states.positions, atol=1e-9)
    np.testing.assert_array_equal(other.rewards, one.rewards)
    assert (one.rewards < 0).any()


def test_sticky_vectors_change_as_often_as_they_should(rng):
    n, length = 2000, 100
    drawn = sticky_vectors(n, length, (-1.0, 0.0), (1.0, 3.0), rng)
    assert drawn.shape == (n, length, 2) and drawn.dtype == np.float32
    changed = (drawn[:, 1:] != drawn[:, :-1]).all(-1)
    assert (changed == (drawn[:, 1:] != drawn[:, :-1]).any(-1)).all()
    variance = 0.1**2 / 12 + (0.25 * 0.75 - 0.1**2 / 12) / (length - 1)
    assert abs(changed.mean() - 0.25) < 5 * np.sqrt(variance / n)
    values = np.concatenate([drawn[:, 0], drawn[:, 1:][changed]])  # each uniform in its interval
    error = np.array([2, 3]) / np.sqrt(12 * len(values))
    np.testing.assert_array_less(np.abs(values.mean(0) - [0, 1.5]), 5 * error)
