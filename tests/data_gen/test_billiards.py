"""Starts and variants of billiards, and what it refuses."""

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.physics import closest_approach
from data_gen.sims.billiards import Billiards
from data_gen.simulator import State, build_simulator, simulate, simulator_config


def test_starts_lie_apart_in_the_middle_at_the_given_speed(rng):
    world = Billiards()
    state = world.reset(3000, rng)
    assert ((state.positions >= 2.5) & (state.positions <= 7.5)).all()
    assert (closest_approach(state.positions, world.radii) >= 1).all()
    np.testing.assert_allclose(np.sqrt((state.velocities**2).sum((1, 2))), 0.5, rtol=1e-12)
    # Uniform and isotropic: within five standard errors of their means. The density of a ball given the
    # others is symmetric about the centre; a uniform coordinate there has a std of at most 5 / 2.
    n = state.positions[..., 0].size
    assert abs(state.positions.mean((0, 1)) - 5).max() < 5 * 2.5 / np.sqrt(n)
    assert abs(state.velocities.mean((0, 1))).max() < 5 * 0.5 / np.sqrt(n)


def test_starts_are_those_of_plain_rejection(rng):
    """Dropping a candidate at its first overlap gives the distribution of redrawing whole configurations."""
    world = Billiards()
    drawn = world.reset(4000, rng).positions
    whole = rng.uniform(2.5, 7.5, (40000, 3, 2))
    whole = whole[closest_approach(whole, world.radii) >= 1][:4000]
    for of in (lambda x: closest_approach(x, world.radii), lambda x: x[:, 0, 0], lambda x: x[:, 2, 1]):
        a, b = np.sort(of(drawn)), np.sort(of(whole))
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


def test_six_balls_find_a_place(rng):
    world = Billiards(num_balls=6, radius=1.0, colors=("red", "green", "blue"))
    assert (closest_approach(world.reset(10, rng).positions, world.radii) >= 1).all()
    np.testing.assert_array_equal(world.rgb[:3], world.rgb[3:])


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
        ({"num_balls": 20}, "sim.num_balls=20"),
        ({"num_balls": 0}, "sim.num_balls=0"),
        ({"num_balls": 2.5}, "sim.num_balls=2.5"),
        ({"radius": 5.0}, "sim.radius=5.0"),
        ({"radius": "big"}, "sim.radius=big"),
        ({"radius": float("nan")}, "sim.radius=nan"),
        ({"limit": -1.0}, "sim.limit=-1.0"),
        ({"mass": 0}, "sim.mass=0"),
        ({"substeps": True}, "sim.substeps=True"),
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
    with pytest.raises(DataError, match=message.replace(".", r"\.")) as caught:
        build_simulator(config).reset(1, np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_configuration_builds_the_same_simulator():
    world = Billiards(num_balls=4, radius=0.8, colors=["cyan", "red"])
    assert build_simulator(simulator_config(world)) == world
