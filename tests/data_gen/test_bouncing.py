"""Worlds of flat objects: reflection at walls, numbers of objects, their starts and speeds."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.sims._bouncing import BouncingWorld, reflect


def test_a_value_is_reflected_at_the_wall_that_it_passes():
    values, rates = np.array([0.2, 0.9, 0.5, 0.3, 0.8]), np.array([-0.15, 0.05, 0.1, -0.1, 0.0])
    moved, after = reflect(values, rates, 0.1, 0.9)
    np.testing.assert_allclose(moved, [0.15, 0.85, 0.6, 0.2, 0.8])
    np.testing.assert_array_equal(after, [0.15, -0.05, 0.1, -0.1, 0.0])
    # a value exactly at a wall has not passed it, and continues
    at_wall = reflect(np.array([0.2, 0.8]), np.array([-0.1, 0.1]), 0.1, 0.9)
    np.testing.assert_array_equal(at_wall[1], [-0.1, 0.1])


def test_a_value_that_a_moving_wall_has_passed_leaves_the_wall():
    low, high = np.array([0.4, 0.0]), np.array([1.0, 0.5])
    moved, after = reflect(np.array([0.3, 0.6]), np.array([0.05, -0.02]), low, high)
    np.testing.assert_allclose(moved, [0.45, 0.42])
    np.testing.assert_array_equal(after, [0.05, -0.02])
    moved, after = reflect(np.array([0.3, 0.6]), np.array([-0.05, 0.02]), low, high)
    np.testing.assert_allclose(moved, [0.55, 0.38])
    np.testing.assert_array_equal(after, [0.05, -0.02])


def test_counts_are_equally_frequent(rng):
    world = BouncingWorld(counts=[1, 3, 4])
    exists = world.sample_presence(30, rng)
    assert world.num_objects == 4 and exists.shape == (30, 4)
    assert (exists[:, 1:] <= exists[:, :-1]).all(), "the first ones exist"
    assert sorted(exists.sum(1)) == [1] * 10 + [3] * 10 + [4] * 10
    # The count with one sequence more than the others is random, and so is the order.
    samples = [world.sample_presence(4, rng).sum(1) for _ in range(300)]
    twice = [max((1, 3, 4), key=list(counts).count) for counts in samples]
    share = np.array([twice.count(n) / 300 for n in (1, 3, 4)])
    assert (abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / 300)).all()
    first = np.array([counts[0] for counts in samples])
    assert set(first) == {1, 3, 4}


def test_starts_fill_the_box_and_keep_their_distance(rng):
    world = BouncingWorld(counts=[3], apart=1.5)
    reach = np.tile([0.05, 0.1, 0.15], (4000, 1))
    exists = np.ones((4000, 3), bool)
    exists[:2000, 2] = False
    positions = world.sample_positions(reach, exists, rng)
    assert (positions >= reach[..., None]).all() and (positions <= 1 - reach[..., None]).all()
    assert (abs(positions.min((0, 2)) - [0.05, 0.1, 0.15]) < 0.01).all()
    assert (abs(positions.max((0, 2)) - [0.95, 0.9, 0.85]) < 0.01).all()

    def relative_distance(i, j):
        return np.linalg.norm(positions[:, i] - positions[:, j], axis=-1) / (reach[:, i] + reach[:, j])

    least = relative_distance(0, 1).min()
    assert 1.5 <= least < 1.6
    for pair in ((0, 2), (1, 2)):  # one of them does not exist in the first half
        distance = relative_distance(*pair)
        assert distance[:2000].min() < 1.0 and 1.5 <= distance[2000:].min() < 1.6


def test_starts_without_room_are_refused(rng):
    world = BouncingWorld(counts=[3], apart=20.0)
    with pytest.raises(DataError, match="sim.apart=20.0: 3 objects"):
        world.sample_positions(np.full((2, 3), 0.1), np.ones((2, 3), bool), rng)


def test_speeds_and_directions_are_uniform(rng):
    velocities = BouncingWorld(counts=[2], speed=[0.02, 0.05]).sample_velocities(20_000, rng)
    assert velocities.shape == (20_000, 2, 2)
    speed = np.linalg.norm(velocities, axis=-1)
    assert 0.02 <= speed.min() < 0.0201 and 0.0499 < speed.max() <= 0.05
    assert abs(speed.mean() - 0.035) < 4 * 0.03 / np.sqrt(12 * speed.size)
    angle = np.arctan2(velocities[..., 1], velocities[..., 0])
    share = np.histogram(angle, 8, (-np.pi, np.pi))[0] / angle.size
    assert (abs(share - 1 / 8) < 5 * np.sqrt(7 / 64 / angle.size)).all()
    assert abs(np.corrcoef(angle.T)[0, 1]) < 5 / np.sqrt(20_000), "each object has its own direction"


def test_worlds_without_room_to_bounce_are_refused():
    world = BouncingWorld(speed=[0.0, 0.2])
    world.require_room("sim.speed", 0.4)
    world.require_room("sim.speed", 0.35, growth=0.1)
    for reach, growth in ((0.401, 0.0), (0.35, 0.101)):
        with pytest.raises(DataError, match="sim.speed=.*no room"):
            world.require_room("sim.speed", reach, growth)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"counts": []}, "sim.counts="),
        ({"counts": 3}, "sim.counts=3"),
        ({"counts": [0]}, "at least one"),
        ({"counts": [101]}, "sim.counts"),
        ({"counts": [1.5]}, "sim.counts"),
        ({"counts": [-1]}, "sim.counts"),
        ({"apart": -0.1}, "sim.apart"),
        ({"speed": [0.3, 0.1]}, "sim.speed"),
        ({"speed": [-0.1, 0.1]}, "sim.speed"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(DataError, match=words):
        BouncingWorld(**options)


def test_bounds_of_options_are_allowed():
    world = BouncingWorld(counts=[0, 100], apart=0, speed=[0.0, 0.0])
    assert world.counts == (0, 100) and world.num_objects == 100 and world.speed == (0.0, 0.0)
    default = BouncingWorld()
    assert (default.counts, default.speed, default.apart) == ((3,), (0.01, 0.03), 0.0)
    assert world.limit == 1.0 and world.num_actions == 0 and world.sample_actions(1, 1, None) is None
