"""Every configs/sim/*.yaml goes through the same tests; but emulators have theirs in test_atari.py."""

import dataclasses

import numpy as np
import pytest

from data_gen.blocks import BLOCK, Split, make_sequences
from data_gen.generate import CONFIGS, read_settings
from data_gen.schema import FIELDS
from data_gen.simulator import build_simulator, simulate, simulator_config

EMULATORS = {"atari", "pong"}
NAMES = sorted({file.stem for file in (CONFIGS / "sim").glob("*.yaml")} - EMULATORS)
LENGTH = 12


@pytest.fixture(params=NAMES)
def settings(request):
    return read_settings([f"sim={request.param}"])


@pytest.fixture
def simulator(settings):
    return build_simulator(settings.sim)


@pytest.fixture
def run(simulator, rng):
    start, actions = simulator.reset(6, rng), simulator.sample_actions(6, LENGTH, rng)
    return start, actions, simulate(simulator, start, LENGTH, actions)


def test_name_is_that_of_the_file_and_every_field_is_shown(settings, simulator):
    assert settings.name in NAMES and settings.out == f"data/{settings.name}"
    shown = set(settings.sim) - {"_target_"}
    assert shown == {field.name for field in dataclasses.fields(simulator)}


def test_configuration_round_trip(simulator):
    assert build_simulator(simulator_config(simulator)) == simulator


def test_shapes_and_types(simulator, run, settings):
    start, actions, trajectory = run
    k = simulator.num_objects
    assert start.positions.shape == start.velocities.shape == (6, k, 2)
    assert trajectory.states.positions.shape == trajectory.states.velocities.shape == (6, LENGTH, k, 2)
    assert np.isfinite(trajectory.states.positions).all() and np.isfinite(trajectory.states.velocities).all()
    assert (actions is None) == (simulator.num_actions == 0) == (trajectory.actions is None)
    if actions is not None:
        assert actions.shape == (6, LENGTH) and actions.dtype == np.int64
        assert actions.min() >= 0 and actions.max() < simulator.num_actions
        np.testing.assert_array_equal(trajectory.actions[:, :-1], actions[:, 1:])
        np.testing.assert_array_equal(trajectory.actions[:, -1], actions[:, 0])
    assert simulator.accept(trajectory).shape == (6,)
    frames, masks = simulator.render(trajectory.states, settings.image_size)
    assert frames.shape == (6, LENGTH, settings.image_size, settings.image_size, 3)
    assert frames.dtype == np.uint8 and frames.any(axis=(2, 3, 4)).all()
    assert masks is None or masks.shape == frames.shape[:-1]
    for key, array in simulator.truth(trajectory.states).items():
        assert FIELDS[key].axes.startswith("n t k") and array.dtype == FIELDS[key].dtype
        assert array.shape[:3] == (6, LENGTH, k)


def test_steps_are_pure_and_sequences_independent(simulator, run):
    start, actions, _ = run
    before = start.positions.copy(), start.velocities.copy()
    acts = None if actions is None else actions[:, 0]
    first, second = simulator.step(start, acts), simulator.step(start, acts)
    np.testing.assert_array_equal(start.positions, before[0])
    np.testing.assert_array_equal(start.velocities, before[1])
    np.testing.assert_array_equal(first.state.positions, second.state.positions)
    alone = dataclasses.replace(start, positions=start.positions[2:3], velocities=start.velocities[2:3])
    third = simulator.step(alone, None if acts is None else acts[2:3])
    np.testing.assert_array_equal(third.state.positions, first.state.positions[2:3])
    np.testing.assert_array_equal(third.rewards, first.rewards[2:3])
    assert first.rewards.dtype == np.float32 and first.dones.dtype == bool


def test_same_seed_same_arrays(simulator):
    split = Split(simulator, "test", BLOCK, 5, 8, seed=3)
    first, second = make_sequences(split, 0, 3), make_sequences(split, 0, 3)
    assert set(first) <= set(FIELDS)
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
