"""Springs and charges: their forces by hand, their samples and records, and refused options."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.physics.forces import coulomb_forces, spring_forces
from data_gen.sims.charged import Charged
from data_gen.sims.springs import Springs
from data_gen.simulator import State, simulate


def test_forces_by_hand():
    """At distance 4 in x, a spring of 0.5 pulls with 2; charges 2 and 3 push with 6 * 4 / (16 + 9)^1.5."""
    x = np.array([[1.0, 5.0], [0.0, 0.0]])[..., None]
    springs = spring_forces(x, np.array([[0.0, 0.5], [0.5, 0.0]])[..., None])
    np.testing.assert_allclose(springs[..., 0], [[2.0, -2.0], [0.0, 0.0]])
    charges = coulomb_forces(x, np.array([[2.0], [3.0]]), softening=3.0)
    np.testing.assert_allclose(charges[..., 0], [[-24 / 125, 24 / 125], [0.0, 0.0]])
    np.testing.assert_array_equal(coulomb_forces(0 * x, np.array([[2.0], [3.0]]), 3.0), 0 * x)


def test_springs_are_sampled_for_each_pair_and_recorded(rng):
    world = Springs(probability=0.3)
    start = world.reset(2000, rng)
    edges = start.extra["edges"]
    np.testing.assert_array_equal(edges, edges.transpose(0, 2, 1))
    assert set(np.unique(edges)) == {0, 1} and not edges[:, np.arange(5), np.arange(5)].any()
    share = edges[:, *np.triu_indices(5, 1)].mean(axis=0)
    assert (abs(share - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 2000)).all()
    np.testing.assert_allclose(np.linalg.norm(start.velocities, axis=-1), 0.15)
    truth = world.truth(simulate(world, start, 3).states)
    np.testing.assert_array_equal(truth["edges"], edges)


def test_charges_are_sampled_and_recorded_with_the_sign_of_their_forces(rng):
    world = Charged(charge=0.2)
    start = world.reset(2000, rng)
    truth = world.truth(simulate(world, start, 3).states)
    charges, edges = truth["charges"], truth["edges"]
    np.testing.assert_array_equal(abs(charges), np.float32(0.2))
    assert (abs((charges > 0).mean(axis=0) - 0.5) < 5 * np.sqrt(0.25 / 2000)).all()
    same = np.sign(charges)[:, :, None] == np.sign(charges)[:, None]
    np.testing.assert_array_equal(edges, np.where(same, 1, -1) - np.eye(5, dtype=int))


def test_equal_charges_part_and_opposite_charges_meet():
    world = Charged(num_balls=2)
    x = np.array([[[4.0, 5.0], [6.0, 5.0]]] * 2)
    state = State(x, 0 * x, {"charges": np.array([[0.3, 0.3], [0.3, -0.3]])})
    after = np.diff(world.step(state).state.positions[..., 0])[:, 0]
    assert after[0] > 2 > after[1]


@pytest.mark.parametrize(
    "world, message",
    [
        (lambda: Springs(probability=1.1), "sim.probability=1.1"),
        (lambda: Springs(stiffness=-1), "sim.stiffness=-1"),
        (lambda: Springs(stiffness=100.0), "sim.stiffness=100.0: too strong .* sim.substeps=90"),
        (lambda: Springs(speed=7.0), "sim.speed=7.0.* at least sim.substeps=24"),
        (lambda: Charged(softening=0), "sim.softening=0"),
        (lambda: Charged(charge=100.0), "sim.charge=100.0: too strong"),
    ],
)
def test_forces_too_strong_for_the_substeps_are_refused(world, message):
    with pytest.raises(DataError, match=message):
        world()
