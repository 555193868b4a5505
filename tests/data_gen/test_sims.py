"""Tests that every configs/sim/*.yaml passes, apart from emulators, which have theirs in test_atari.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from data_gen.cli.command import CONFIGS
from data_gen.generate import read_settings
from data_gen.schema import FIELDS
from data_gen.simulator import build_simulator, simulate, simulator_config
from data_gen.splits import BLOCK, Split, make_sequences

EMULATORS = {"atari", "pong"}
NAMES = sorted({file.stem for file in (CONFIGS / "sim").glob("*.yaml")} - EMULATORS)
LENGTH = 12


@pytest.fixture(params=NAMES)
def settings(request):
    if request.param.startswith("digits"):
        pytest.importorskip("sklearn")
    return read_settings([f"sim={request.param}"])


@pytest.fixture
def simulator(settings):
    return build_simulator(settings.sim)


@pytest.fixture
def run(simulator, rng):
    start, actions = simulator.reset(6, rng), simulator.sample_actions(6, LENGTH, rng)
    return start, actions, simulate(simulator, start, LENGTH, actions)


def test_yaml_names_itself_and_lists_every_field(settings, simulator):
    assert settings.name in NAMES and settings.out == f"data/{settings.name}"
    listed = set(settings.sim) - {"_target_"}
    assert listed == {field.name for field in dataclasses.fields(simulator)}


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
    truth = simulator.truth(trajectory.states)
    has_objects = truth["present"].any(axis=2)
    assert frames.dtype == np.uint8 and has_objects.any() and frames[has_objects].any(axis=(1, 2, 3)).all()
    assert masks is None or (masks.shape == frames.shape[:-1] and masks.max() <= k)
    for key, array in truth.items():
        sizes = {"n": 6, "t": LENGTH, "k": k, "s": k, "2": 2, "3": 3}
        assert array.shape == tuple(sizes[axis] for axis in FIELDS[key].axes.split())
        assert array.dtype == FIELDS[key].dtype


def test_steps_are_pure_and_sequences_independent(simulator, run):
    start, actions, _ = run
    before = start.map(np.copy).arrays()
    acts = None if actions is None else actions[:, 0]
    first, second = simulator.step(start, acts), simulator.step(start, acts)
    for name, array in start.arrays().items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(first.state.arrays()[name], second.state.arrays()[name])
    alone = start.map(lambda array: array[2:3])
    third = simulator.step(alone, None if acts is None else acts[2:3])
    np.testing.assert_array_equal(third.state.positions, first.state.positions[2:3])
    np.testing.assert_array_equal(third.rewards, first.rewards[2:3])
    assert first.rewards.dtype == np.float32 and first.dones.dtype == bool


def test_blocks_do_not_depend_on_other_blocks(simulator):
    split = Split(simulator, "train", 2 * BLOCK, 5, 8, seed=3)
    together, alone = make_sequences(split, 0, 2 * BLOCK), make_sequences(split, BLOCK, 2 * BLOCK)
    for key, array in together.items():
        np.testing.assert_array_equal(alone[key], array[BLOCK:], err_msg=key)


def test_same_seed_same_arrays(simulator):
    split = Split(simulator, "test", BLOCK, 5, 8, seed=3)
    first, second = make_sequences(split, 0, 3), make_sequences(split, 0, 3)
    assert set(first) <= set(FIELDS)
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
