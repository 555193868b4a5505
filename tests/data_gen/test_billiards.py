"""Starts and variants of billiards, and refused options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.physics import closest_approach
from data_gen.sims.billiards import Billiards
from data_gen.simulator import State, build_simulator, simulate, simulator_config


def test_starts_are_apart_in_the_middle_at_the_given_speed(rng):
    world = Billiards()
    state = world.reset(3000, rng)
    assert ((state.positions >= 2.5) & (state.positions <= 7.5)).all()
    assert (closest_approach(state.positions, world.radii_of(state)) >= 1).all()
    np.testing.assert_allclose(np.sqrt((state.velocities**2).sum((1, 2))), 0.5, rtol=1e-12)
    # Uniform and isotropic: within five standard errors of their means. The density of a ball given the
    # others is symmetric about the centre; a uniform coordinate there has a std of at most 5 / 2.
    n = state.positions[..., 0].size
    assert abs(state.positions.mean((0, 1)) - 5).max() < 5 * 2.5 / np.sqrt(n)
    assert abs(state.velocities.mean((0, 1))).max() < 5 * 0.5 / np.sqrt(n)


def test_starts_are_those_of_plain_rejection(rng):
    """Rejecting a candidate at its first overlap yields the distribution of complete rejection sampling."""
    world = Billiards()
    start = world.reset(4000, rng)
    positions, radii = start.positions, world.radii_of(start)
    complete = rng.uniform(2.5, 7.5, (40000, 3, 2))
    complete = complete[closest_approach(complete, radii) >= 1][:4000]
    for statistic in (lambda x: closest_approach(x, radii), lambda x: x[:, 0, 0], lambda x: x[:, 2, 1]):
        a, b = np.sort(statistic(positions)), np.sort(statistic(complete))
        both = np.concatenate([a, b])
        gap = abs(np.searchsorted(a, both) / len(a) - np.searchsorted(b, both) / len(b)).max()
        assert gap < 1.95 * np.sqrt(1 / len(a) + 1 / len(b))  # Kolmogorov-Smirnov at 0.1 %


def test_energy_factor_varies_the_speed(rng):
    speeds = np.sqrt((Billiards(energy_factor=2.0).reset(2000, rng).velocities ** 2).sum((1, 2)))
    assert speeds.min() > 0.25 and speeds.max() < 1.0
    assert abs(speeds.mean() - 0.5 * 1.25) < 5 * speeds.std() / np.sqrt(len(speeds))


def test_drift_moves_straight_between_walls(rng):
    world = Billiards(collide=False)
    start = world.reset(20, rng)
    trajectory = simulate(world, start, 100)
    assert not trajectory.collisions.any()
    np.testing.assert_array_equal(
        abs(trajectory.states.velocities), abs(start.velocities[:, None]) + 0 * trajectory.states.velocities
    )


def test_overlapping_sequences_are_not_accepted():
    world = Billiards(num_balls=2, radius=1.0, min_distance=0.9, speed=0.0)
    apart = np.array([[[3.0, 5.0], [3.0 + gap, 5.0]] for gap in (1.7, 1.9, 4.0)])
    trajectory = simulate(Billiards(num_balls=2, radius=1.0, collide=False), State(apart, 0 * apart), 3)
    assert world.accept(trajectory).tolist() == [False, True, True]
    assert Billiards(num_balls=2).accept(trajectory).all()


def test_six_balls_find_room(rng):
    world = Billiards(num_balls=6, radius=1.0, colors=("red", "green", "blue"))
    start = world.reset(10, rng)
    assert (closest_approach(start.positions, world.radii_of(start)) >= 1).all()
    np.testing.assert_array_equal(world.rgb[:3], world.rgb[3:])


@pytest.mark.parametrize("k", range(1, 11))
def test_any_number_up_to_ten_finds_room_at_once(rng, k):
    """Balls of the default size cover the same area, however many more than three they are."""
    world = Billiards(num_balls=k)
    start = world.reset(64, rng)
    radii = world.radii_of(start)
    assert (closest_approach(start.positions, radii) >= 1).all()
    assert ((start.positions >= radii[:, None]) & (start.positions <= 10 - radii[:, None])).all()
    assert k * radii[0] ** 2 == pytest.approx(min(k, 3) * 1.2**2)


def test_radii_and_masses_of_each_ball_are_recorded(rng):
    world = Billiards(num_balls=2, radius=[1.5, 0.5], mass=[2.0, 1.0])
    truth = world.truth(simulate(world, world.reset(3, rng), 4).states)
    assert truth["sizes"].shape == truth["masses"].shape == (3, 4, 2)
    assert (truth["sizes"] == [1.5, 0.5]).all() and (truth["masses"] == [2, 1]).all()


def test_sampled_radii_and_masses_stay_with_their_sequence(rng):
    world = Billiards(num_balls=3, radius={"min": 0.5, "max": 1.5}, mass={"min": 1, "max": 2})
    start = world.reset(2000, rng)
    states = simulate(world, start, 3).states
    truth = world.truth(states)
    for key, low, high in (("sizes", 0.5, 1.5), ("masses", 1, 2)):
        values = start.extra[key]
        assert values.shape == (2000, 3) and values.min() >= low and values.max() <= high
        assert values.std() > 0.25 * (high - low)  # a uniform draw has 0.29
        np.testing.assert_array_equal(truth[key], np.repeat(values[:, None], 3, 1).astype(np.float32))
    radii = world.radii_of(start)
    assert (closest_approach(start.positions, radii) >= 1).all()
    margin = radii[:, None, :, None]
    assert ((states.positions >= margin) & (states.positions <= 10 - margin)).all()
    masses = start.extra["masses"]
    assert abs(masses.mean() - 1.5) < 5 / np.sqrt(12 * masses.size)


def test_truth_follows_visibility(rng):
    world = Billiards()
    positions = np.array([[[5.0, 5.0], [-1.1, 5.0], [-1.3, 5.0]]])
    truth = world.truth(State(positions, positions))
    assert truth["in_camera"].tolist() == [[True, True, False]]
    assert truth["ids"].tolist() == [[1, 2, 0]]
    assert truth["colors"].shape == (1, 3, 3) and truth["sizes"].tolist() == [[np.float32(1.2)] * 3]


@pytest.mark.parametrize(
    "field, message",
    [
        ({"num_balls": 5, "radius": 2.2}, "sim.num_balls=5"),
        ({"num_balls": 300}, "sim.num_balls=300"),
        ({"num_balls": 0}, "sim.num_balls=0"),
        ({"num_balls": 2.5}, "sim.num_balls=2.5"),
        ({"radius": 5.0}, "sim.radius=5.0"),
        ({"radius": {"low": 1, "high": 2}}, "sim.radius="),
        ({"radius": {"min": 0, "max": 1}}, "sim.radius.min=0"),
        ({"mass": [1, 2]}, "sim.mass=[1, 2]"),
        ({"mass": [1, 2, -1]}, "sim.mass=-1"),
        ({"radius": "big"}, "sim.radius=big"),
        ({"radius": float("nan")}, "sim.radius=nan"),
        ({"limit": -1.0}, "sim.limit=-1.0"),
        ({"mass": 0}, "sim.mass=0"),
        ({"substeps": True}, "sim.substeps=True"),
        ({"speed": 6.1}, "at least sim.substeps=11"),
        ({"mass": [1, 1, 400]}, "at least sim.substeps=17"),
        ({"energy_factor": 0.5}, "sim.energy_factor=0.5"),
        ({"collide": "yes"}, "sim.collide=yes"),
        ({"colors": ["pink"]}, "sim.colors"),
        ({"colors": "red"}, "sim.colors"),
        ({"weight": 3}, "sim.weight"),
        ({"_target_": "os.system"}, "sim._target_"),
        ({"_target_": "data_gen.sims.billiards.np"}, "sim._target_"),
        ({"_target_": "data_gen.sims.nowhere.Nothing"}, "sim._target_"),
    ],
)
def test_impossible_worlds_are_refused_in_one_line(field, message):
    config = {"_target_": "data_gen.sims.billiards.Billiards", **field}
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        build_simulator(config).reset(1, np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_configuration_builds_the_same_simulator():
    world = Billiards(num_balls=4, radius=0.8, colors=["cyan", "red"])
    assert build_simulator(simulator_config(world)) == world
