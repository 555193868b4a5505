"""The contract of a simulated world: checks that hold for every one, as the tests of this project call them.

A check takes a world and raises AssertionError where it breaks the contract. NumPy is all it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from data_gen.schema import FIELDS
from data_gen.simulator import Emulator, Simulator, build_simulator, simulate, simulator_config
from data_gen.splits import BLOCK, Split, make_sequences

SEQUENCES, LENGTH, IMAGE_SIZE = 6, 12, 32


def start_of(simulator: Simulator) -> tuple[Any, np.ndarray | None, Any]:
    """Return starts of SEQUENCES sequences, their actions, and the trajectory of LENGTH frames from them."""
    rng = np.random.default_rng(0)
    start, actions = simulator.reset(SEQUENCES, rng), simulator.sample_actions(SEQUENCES, LENGTH, rng)
    return start, actions, simulate(simulator, start, LENGTH, actions)


def configuration_round_trip(simulator: Simulator) -> None:
    assert build_simulator(simulator_config(simulator)) == simulator


def shapes_and_types(simulator: Simulator, image_size: int = IMAGE_SIZE) -> None:
    start, actions, trajectory = start_of(simulator)
    n, k = SEQUENCES, simulator.num_objects
    for name in ("positions", "velocities"):
        for array, shape in (
            (getattr(start, name), (n, k, 2)),
            (getattr(trajectory.states, name), (n, LENGTH, k, 2)),
        ):
            assert array.shape == shape, f"{name}: expected {shape}, got {array.shape}"
            assert np.isfinite(array).all(), f"{name}: not finite"
    assert (actions is None) == (not simulator.has_actions) == (trajectory.actions is None)
    if actions is not None:
        low, high = np.array(simulator.action_low), np.array(simulator.action_high)
        if simulator.num_actions:
            low, high = np.array(0), np.array(simulator.num_actions - 1)
        dtype = np.int64 if simulator.num_actions else np.float32
        assert actions.shape == (n, LENGTH, *low.shape) and actions.dtype == dtype
        assert (actions >= low).all() and (actions <= high).all()
        np.testing.assert_array_equal(trajectory.actions[:, :-1], actions[:, 1:])
        np.testing.assert_array_equal(trajectory.actions[:, -1], actions[:, 0])
    assert simulator.accept(trajectory).shape == (n,), "accept returns bool n"
    frames, masks = simulator.render(trajectory.states, image_size)
    assert frames.shape == (n, LENGTH, image_size, image_size, 3), f"render: frames {frames.shape}"
    truth = simulator.truth(trajectory.states)
    has_objects = truth["present"].any(axis=2)
    assert frames.dtype == np.uint8 and has_objects.any() and frames[has_objects].any(axis=(1, 2, 3)).all()
    assert masks is None or (masks.shape == frames.shape[:-1] and masks.max() <= k)
    for key, array in truth.items():
        assert key in FIELDS, f"truth: {key} is no key of data_gen.schema.FIELDS"
        sizes = {"n": n, "t": LENGTH, "k": k, "s": k, "2": 2, "3": 3}
        shape = tuple(sizes[axis] for axis in FIELDS[key].axes.split())
        assert array.shape == shape, f"truth: {key}: expected {shape}, got {array.shape}"
        assert array.dtype == FIELDS[key].dtype, f"truth: {key}: expected {FIELDS[key].dtype}"


def steps_are_pure_and_sequences_independent(simulator: Simulator) -> None:
    start, actions, _ = start_of(simulator)
    before = start.map(np.copy).arrays()
    acts = None if actions is None else actions[:, 0]
    first, second = simulator.step(start, acts), simulator.step(start, acts)
    for name, array in start.arrays().items():
        np.testing.assert_array_equal(array, before[name], err_msg=f"step changes {name}")
        np.testing.assert_array_equal(first.state.arrays()[name], second.state.arrays()[name])
    alone = start.map(lambda array: array[2:3])
    third = simulator.step(alone, None if acts is None else acts[2:3])
    np.testing.assert_array_equal(third.state.positions, first.state.positions[2:3])
    np.testing.assert_array_equal(third.rewards, first.rewards[2:3])
    assert first.rewards.dtype == np.float32 and first.dones.dtype == bool


def blocks_do_not_depend_on_other_blocks(simulator: Simulator | Emulator) -> None:
    split = Split(simulator, "train", 2 * BLOCK, 5, 8, seed=3)
    together, alone = make_sequences(split, 0, 2 * BLOCK), make_sequences(split, BLOCK, 2 * BLOCK)
    for key, array in together.items():
        np.testing.assert_array_equal(alone[key], array[BLOCK:], err_msg=key)


def same_seed_same_arrays(simulator: Simulator | Emulator) -> None:
    split = Split(simulator, "test", BLOCK, 5, 8, seed=3)
    first, second = make_sequences(split, 0, 3), make_sequences(split, 0, 3)
    assert set(first) <= set(FIELDS)
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


CHECKS: dict[str, Callable[[Any], None]] = {
    check.__name__: check
    for check in (
        configuration_round_trip,
        shapes_and_types,
        steps_are_pure_and_sequences_independent,
        blocks_do_not_depend_on_other_blocks,
        same_seed_same_arrays,
    )
}
EMULATOR_CHECKS = {
    name: CHECKS[name]
    for name in ("configuration_round_trip", "blocks_do_not_depend_on_other_blocks", "same_seed_same_arrays")
}
