"""Objects left to themselves: straight lines, reflections, shapes that move."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.sims.billiards import Billiards
from data_gen.sims.digits import Digits
from data_gen.sims.springs import Springs
from data_gen.sims.sprites import Sprites
from data_gen.simulator import simulate
from data_gen.splits import Split, make_sequences
from seqvae import metrics


def reflected(position, velocity, horizon, wall, parts=1):
    """The same by a loop over frames, each in parts short enough for one reflection."""
    position, velocity, path, speeds = position.copy(), velocity.copy(), [], []
    for _ in range(horizon):
        for _ in range(parts):
            position = position + velocity / parts
            over = np.abs(position) > wall[..., None]
            position = np.where(over, np.sign(position) * 2 * wall[..., None] - position, position)
            velocity = np.where(over, -velocity, velocity)
        path.append(position), speeds.append(velocity)
    return np.stack(path, 1), np.stack(speeds, 1)


def test_bouncing_by_hand():
    """From 0.5 at 0.2 per frame to the wall at 0.8: 0.7, then 0.1 on and 0.1 back, then away from it."""
    position, velocity = np.array([[[0.5, -0.7]]]), np.array([[[0.2, 0.0]]])
    path, speeds = metrics.bouncing(position, velocity, 3, np.array([[0.8]]))
    np.testing.assert_allclose(path[0, :, 0], [[0.7, -0.7], [0.7, -0.7], [0.5, -0.7]])
    np.testing.assert_allclose(speeds[0, :, 0], [[0.2, 0], [-0.2, 0], [-0.2, 0]])


def test_bouncing_several_times_in_a_frame(rng):
    """Rooms of 0.6 to 1.2 and up to 2 per frame, against a loop of 16 parts per frame."""
    wall = rng.uniform(0.3, 0.6, (50, 3))
    position = rng.uniform(-1, 1, (50, 3, 2)) * wall[..., None]
    velocity = rng.uniform(-2, 2, (50, 3, 2))
    path, speeds = metrics.bouncing(position, velocity, 12, wall)
    expected, turned = reflected(position, velocity, 12, wall, parts=16)
    np.testing.assert_allclose(path, expected, atol=1e-12)
    np.testing.assert_allclose(speeds, turned, atol=1e-12)
    assert (np.sign(speeds) != np.sign(velocity[:, None])).mean() > 0.3


def test_bouncing_starts_at_the_wall_at_the_latest():
    path, _ = metrics.bouncing(np.array([[[0.9, -1.2]]]), np.array([[[-0.1, -0.1]]]), 1, np.array([[0.8]]))
    np.testing.assert_allclose(path[0, 0, 0], [0.7, -0.7])


@pytest.mark.parametrize(
    "world",
    [
        Sprites(growth=0.0, spin=0.2),
        pytest.param("digits", id="digits"),
        Springs(stiffness=0.0, speed=1.0),
    ],
    ids=lambda world: world if isinstance(world, str) else type(world).__name__,
)
def test_where_nothing_else_acts_bouncing_is_the_world_itself(world, rng):
    """Objects turn back where their world says: sprites at the circle around them, discs at their radius."""
    if world == "digits":
        pytest.importorskip("sklearn.datasets")
        world = Digits(speed=[0.1, 0.2])
    states = simulate(world, world.reset(40, rng), 40).states
    truth, unit = world.truth(states), world.limit / 2
    reach = type(world).reach(truth["sizes"].astype(float), truth["shapes"], world.shape_names)
    positions, velocities = states.positions / unit - 1, states.velocities / unit
    path, speeds = metrics.bouncing(positions[:, 0], velocities[:, 0], 39, 1 - reach[:, 0] / unit)
    assert (np.sign(velocities) != np.sign(velocities[:, :1])).any()
    np.testing.assert_allclose(path, positions[:, 1:], atol=2e-5)  # sizes are float32 on disk
    np.testing.assert_allclose(speeds, velocities[:, 1:], atol=1e-9)


def test_balls_bounce_to_a_substep(rng):
    """The reference sets a ball to the wall within a substep: a bounce is off by at most two of them."""
    world = Billiards(collide=False)
    states = simulate(world, world.reset(40, rng), 40).states
    unit = world.limit / 2
    positions, velocities = states.positions / unit - 1, states.velocities / unit
    path, _ = metrics.bouncing(
        positions[:, 0], velocities[:, 0], 39, np.full((40, 3), 1 - world.radius / unit)
    )
    bounces = np.abs(np.diff(np.sign(velocities), axis=1)).sum(1, keepdims=True) / 2
    bound = 2 * np.abs(velocities[:, :1]) / world.substeps * bounces
    assert bounces.max() >= 1 and (np.abs(path - positions[:, 1:]) <= bound + 1e-9).all()


def disc(size, x, y, radius):
    axis = (2 * np.arange(size) + 1) / size - 1
    return (axis - x) ** 2 + (axis[:, None] - y) ** 2 < radius**2


def test_hidden_parts_of_a_shape_are_those_of_its_disc_behind_nearer_ones():
    """A disc half behind a nearer one, half in front of a farther one, at 16 pixels."""
    places, layers, radii = [(-0.3, 0), (0.1, 0), (0.5, 0)], np.array([[2, 1, 0]]), np.full((1, 3), 0.3)
    masks = np.zeros((1, 16, 16), np.uint8)
    for k in (2, 1, 0):
        masks[0][disc(16, *places[k], 0.3)] = k + 1
    shapes = metrics.complete_shapes(masks, layers, np.array([places]), radii)
    for k in range(3):
        np.testing.assert_array_equal(shapes[0, k], disc(16, *places[k], 0.3))
    # what is hidden by a farther object is no part: that one is in front of nothing
    farther = metrics.complete_shapes(masks, np.array([[0, 1, 2]]), np.array([places]), radii)
    np.testing.assert_array_equal(farther[0, 2], masks[0] == 3)


def test_moved_shapes_cover_each_other_by_layer_and_leave_the_picture():
    shapes = np.zeros((1, 2, 4, 4), bool)
    shapes[0, 0, 1, 0], shapes[0, 1, 1, 2] = True, True
    shift = np.zeros((1, 3, 2, 2))
    shift[0, :, 0, 0] = [0.5, 1.0, 2.0]  # 1, 2 and 4 pixels of a half-width of 2
    shift[0, :, 1, 1] = [0, 0, -0.45]  # up by 0.9 of a pixel: one
    for layers, above in (([1, 0], 1), ([0, 1], 2)):
        labels = metrics.move_shapes(shapes, np.array([layers]), shift)
        assert labels[0, 0, 1].tolist() == [0, 1, 2, 0]
        assert labels[0, 1, 1].tolist() == [0, 0, above, 0] and (labels[0, 1] != 0).sum() == 1
        assert labels[0, 2, 0].tolist() == [0, 0, 2, 0] and (labels[0, 2] != 0).sum() == 1


def test_true_shapes_that_bounce_are_nearly_the_masks_to_come():
    """Of a world in which nothing else happens: FG-ARI near 1, and far above shapes that stay."""
    arrays = make_sequences(Split(Sprites(counts=[2]), "test", 20, 19, 48, 0), 0, 20)
    start, ahead = arrays["positions"][:, 8], arrays["masks"][:, 9:19]
    shapes = metrics.complete_shapes(arrays["masks"][:, 8], arrays["layers"][:, 8], start * 2 - 1,
                                  arrays["sizes"][:, 8].astype(float) * 2)  # fmt: skip
    exact = 2 * (arrays["positions"][:, 9:19] - start[:, None])
    scores = {}
    for name, shift in (("moved", exact), ("copied", np.zeros_like(exact))):
        labels = metrics.move_shapes(shapes, arrays["layers"][:, 8], shift)
        values = [metrics.foreground_ari(a, b) for a, b in zip(ahead[:, -1], labels[:, -1], strict=True)]
        scores[name] = np.nanmean(values)
    assert scores["moved"] > 0.85 > 0.5 > scores["copied"]
