"""Laws of physics in the worlds: conservation, orders of integrators, walls, and no tunnelling."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.physics.forces import advance_gravity, advance_particles, coulomb_forces, spring_forces
from data_gen.sims.avoidance import Avoidance
from data_gen.sims.billiards import Billiards
from data_gen.sims.springs import Springs
from data_gen.simulator import simulate

MIXED = {"num_balls": 4, "radius": {"min": 0.6, "max": 1.3}, "mass": {"min": 0.5, "max": 3.0}}


def distances(x):
    """Return the distances of all pairs, "... k 2" -> "... p"."""
    first, second = np.tril_indices(x.shape[-2], -1)
    return np.linalg.norm(x[..., first, :] - x[..., second, :], axis=-1)


# ---- billiards


def test_billiards_conserve_energy_always_and_momentum_between_walls(rng):
    world = Billiards(**MIXED)
    run = simulate(world, world.reset(300, rng), 100)
    x, v, m = run.states.positions, run.states.velocities, run.states.extra["masses"]
    energy = (m[..., None] * v**2).sum((2, 3))
    np.testing.assert_allclose(energy, np.broadcast_to(energy[:, :1], energy.shape), rtol=1e-12)

    # A ball farther from a wall than the fastest moves in a frame does not reach it.
    fastest = np.sqrt(energy[:, :1] / m.min(axis=2))
    room = np.minimum(x, world.limit - x).min(axis=3) - run.states.extra["sizes"]
    free = (room > fastest[..., None]).all(axis=2)[:, :-1]
    momentum = (m[..., None] * v).sum(2)
    change = abs(momentum[:, 1:] - momentum[:, :-1]).max(axis=2)
    assert change[free].max() < 1e-13 and change[~free].max() > 0.1
    assert (run.collisions[:, 1:][free] > 0).sum() > 30


@pytest.mark.parametrize("options", [{}, {"num_balls": 10}, {**MIXED, "mass": 1.0}])
def test_balls_never_pass_through_each_other_or_the_wall(rng, options):
    """At the highest allowed speed, with frames of one substep, so that no contact is missed between them."""
    radii = Billiards(**options).radius
    smallest = radii["min"] if isinstance(radii, dict) else radii
    world = Billiards(**options, substeps=1, speed=0.5 * smallest)
    start = world.reset(100, rng)
    states = simulate(world, start, 500).states
    sizes = world.radii_of(states) + np.zeros(states.positions.shape[:-1])
    assert (states.positions >= sizes[..., None]).all()
    assert (states.positions <= world.limit - sizes[..., None]).all()
    x = np.concatenate([start.positions[:, None], states.positions], axis=1)
    first, second = np.tril_indices(world.num_balls, -1)
    gap = x[:, :, first] - x[:, :, second]
    # Other balls may press two into each other, but never halfway, and the two never change sides.
    assert (distances(states.positions) > 0.5 * (sizes[..., first] + sizes[..., second])).all()
    assert ((gap[:, 1:] * gap[:, :-1]).sum(axis=-1) > 0).all()


def test_speeds_that_tunnel_are_refused():
    Billiards(speed=6.0, substeps=10)
    for world in (
        lambda: Billiards(speed=6.01),
        lambda: Billiards(speed=4.0, energy_factor=2.0),
        lambda: Billiards(speed=3.0, mass=[1.0, 1.0, 5.0]),
        lambda: Avoidance(agent_speed=25.1),
    ):
        with pytest.raises(DataError, match="take at least sim.substeps="):
            world()


# ---- forces


def gravity(x, v, substeps, frames):
    for _ in range(frames):
        x, v = advance_gravity(
            x, v, np.full(3, 4.0), limit=30.0, substeps=substeps, gravity=0.5, recall=0.0, max_force=1e9
        )
    return x, v


def gravity_energy(x, v):
    return 2 * (v**2).sum((1, 2)) - 8 * (1 / distances(x)).sum(axis=1)


SPRINGS = 0.02 * np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])[..., None]
CHARGES = 0.4 * np.array([1.0, -1.0, 1.0, -1.0])[:, None]
FORCES = {
    "springs": lambda x: spring_forces(x, SPRINGS),
    "charged": lambda x: coulomb_forces(x, CHARGES, 1.0),
}
ENERGIES = {
    "springs": lambda x: 0.5 * (SPRINGS[np.tril_indices(4, -1)][:, 0] * distances(x) ** 2).sum(axis=1),
    "charged": lambda x: (
        (CHARGES * CHARGES[:, 0])[np.tril_indices(4, -1)] / np.sqrt(distances(x) ** 2 + 1)
    ).sum(axis=1),
}


def particles(name, x, v, substeps, frames, limit=1000.0):
    for _ in range(frames):
        x, v = advance_particles(
            x, v, np.full(4, 0.5), np.ones(4), FORCES[name], limit=limit, substeps=substeps
        )
    return x, v


def particle_energy(name, x, v):
    return 0.5 * (v**2).sum((1, 2)) + ENERGIES[name](x)


def far_from_walls(rng, n=40):
    """Sample four particles a few lengths apart in the middle of a large box."""
    x = 500.0 + np.array([[-2, -2], [2, -2], [2, 2], [-2, 2]]) + rng.uniform(-1, 1, (n, 4, 2))
    return x, rng.normal(0, 0.1, (n, 4, 2))


def order(errors):
    """Return the exponent of the substep in the error, from two runs, the second with half the substep."""
    return np.log2(np.linalg.norm(errors[0]) / np.linalg.norm(errors[1]))


def test_gravity_keeps_its_energy_to_first_order(rng):
    angle = rng.uniform(0, 2 * np.pi, (40, 1)) + np.array([0, 2, 4]) * np.pi / 3
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    x = 15 + 7 * ring * rng.uniform(0.8, 1.2, (40, 3, 1))
    x += 15 - x.mean(axis=1, keepdims=True)
    v = 0.4 * ring[..., ::-1] * [-1, 1]
    v -= v.mean(axis=1, keepdims=True)
    errors = []
    for substeps in (20, 40):
        after = gravity(x, v, substeps, frames=20)
        np.testing.assert_allclose(after[0].mean(axis=1), 15, atol=0.5 / substeps)
        np.testing.assert_allclose(after[1].mean(axis=1), 0, atol=1e-13)
        errors.append(gravity_energy(*after) - gravity_energy(x, v))
    assert order(errors) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", FORCES)
def test_particles_keep_their_energy_to_second_order(rng, name):
    x, v = far_from_walls(rng)
    before = particle_energy(name, x, v)
    errors = [particle_energy(name, *particles(name, x, v, s, frames=20)) - before for s in (5, 10)]
    assert order(errors) == pytest.approx(2, abs=0.1)
    # The energy does not drift: the error of a long run is as large as that of a short one.
    states, largest = (x, v), 0.0
    for _ in range(10):
        states = particles(name, *states, 5, frames=20)
        largest = max(largest, np.sqrt(np.mean((particle_energy(name, *states) - before) ** 2)))
    assert largest < 3 * np.sqrt(np.mean(errors[0] ** 2))


@pytest.mark.parametrize("name", FORCES)
def test_particles_conserve_momentum_and_are_reversible(rng, name):
    x, v = far_from_walls(rng)
    new_x, new_v = particles(name, x, v, 10, frames=20)
    np.testing.assert_allclose(new_v.sum(axis=1), v.sum(axis=1), atol=1e-13)
    assert abs(new_v - v).max() > 0.1
    # This holds with walls as well: the box of the second run ends where particles start.
    for limit, shift in ((1000.0, 0.0), (10.0, 495.0)):
        forward = particles(name, x - shift, v, 10, frames=20, limit=limit)
        back = particles(name, forward[0], -forward[1], 10, frames=20, limit=limit)
        np.testing.assert_allclose(back[0], x - shift, atol=1e-9)
        np.testing.assert_allclose(back[1], -v, atol=1e-9)


def test_springs_oscillate_in_their_normal_modes(rng):
    """Without walls the motion is linear: the modes of the graph's Laplacian, each with its frequency."""
    x, v = far_from_walls(rng)
    stiffness = SPRINGS[..., 0]
    squared, modes = np.linalg.eigh(np.diag(stiffness.sum(axis=1)) - stiffness)
    frequency = np.sqrt(squared.clip(1e-12))[:, None]
    along = np.einsum("ik,nia->nka", modes, x), np.einsum("ik,nia->nka", modes, v)
    exact = along[0] * np.cos(20 * frequency) + along[1] * np.sin(20 * frequency) / frequency
    exact = np.einsum("ik,nka->nia", modes, exact)
    errors = [particles("springs", x, v, s, frames=20)[0] - exact for s in (5, 10)]
    assert order(errors) == pytest.approx(2, abs=0.1) and abs(errors[1]).max() < 1e-3


def test_walls_reflect_free_particles_exactly(rng):
    """Without forces the motion is a straight line, folded at the walls."""
    world = Springs(probability=0.0, speed=1.5, substeps=7, mass=[1, 2, 3, 4, 5])
    start = world.reset(50, rng)
    states = simulate(world, start, 30).states
    span = world.limit - 2 * world.radius
    time = np.arange(1, 31)[:, None, None]
    straight = start.positions[:, None] - world.radius + start.velocities[:, None] * time
    folded = world.radius + abs((straight + span) % (2 * span) - span)
    np.testing.assert_allclose(states.positions, folded, atol=1e-12)
    speeds = np.broadcast_to(abs(start.velocities[:, None]), folded.shape)
    np.testing.assert_array_equal(abs(states.velocities), speeds)
    assert (np.sign(states.velocities) != np.sign(start.velocities[:, None])).any()
