"""An object has its full colour at its centre, and hides the objects behind it."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.drawing.colours import PALETTE
from data_gen.drawing.discs import draw_discs
from data_gen.drawing.shapes import SHAPES, render_background, render_sprites, to_uint8
from data_gen.sims.billiards import Billiards
from data_gen.sims.gravity import Gravity
from data_gen.sims.sprites import Sprites
from data_gen.simulator import simulate

SIZE = 40


def centre_pixels(frames, positions, limit):
    """Return the pixels that contain the centres: frames "n h w 3", positions "n k 2" -> "n k 3"."""
    column, row = np.moveaxis((positions / limit * frames.shape[1]).astype(int), -1, 0)
    return frames[np.arange(len(frames))[:, None], row, column]


@pytest.mark.parametrize("name", PALETTE)
def test_a_disc_has_its_full_colour_at_its_centre_and_well_inside(name):
    colour = np.array([PALETTE[name]])
    frame = draw_discs(np.array([[[5.125, 5.125]]]), np.ones(1), colour, limit=10.0, size=SIZE)[0]
    # a pixel is 0.25 wide; a quarter of the radius from the centre 1 - exp(-1 / 4^8) is 2e-5
    assert (frame[20, 19:22] == 255 * colour[0]).all() and (frame[19:22, 20] == 255 * colour[0]).all()


@pytest.mark.parametrize("kind", [Billiards, Gravity])
def test_bodies_of_worlds_show_their_full_colour(rng, kind):
    world = kind()
    states = simulate(world, world.reset(20, rng), 5).states
    frames, _ = world.render(states, SIZE)
    frames, positions = frames.reshape(-1, SIZE, SIZE, 3), states.positions.reshape(-1, 3, 2)
    inside = ((positions > 0) & (positions < world.limit)).all(-1)
    shown = centre_pixels(frames, np.clip(positions, 0, world.limit - 1e-9), world.limit)
    channels = np.broadcast_to(world.rgb > 0, shown.shape)
    assert inside.mean() > 0.9 and (shown[inside] >= 254 * channels[inside]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_nearer_object_hides_the_farther(shape):
    colours = np.array([[200.0, 40.0, 0.0], [10.0, 60.0, 250.0]])
    for layers, front in (([0, 1], 1), ([1, 0], 0)):
        planes = render_background(np.full((1, 2, 3), 90.0), None, SIZE)
        masks = np.zeros((1, SIZE, SIZE), np.uint8)
        objects = {
            "positions": np.full((1, 2, 2), 0.51),
            "radii": np.array([[0.2, 0.2]]),
            "angles": np.zeros((1, 2)),
            "shapes": np.zeros((1, 2), int),
            "colors": colours[None],
            "layers": np.array([layers]),
            "present": np.ones((1, 2), bool),
        }
        render_sprites(planes, masks, objects, [shape], max_radius=0.2)
        frame = to_uint8(planes)[0]
        np.testing.assert_array_equal(frame[20, 20], colours[front])
        assert masks[0, 20, 20] == front + 1 and (masks[0] != 2 - front).all()
        np.testing.assert_array_equal(frame[0, 0], [90, 90, 90])
        assert masks[0, 0, 0] == 0


def test_sprites_have_their_recorded_colours(rng):
    world = Sprites()
    states = simulate(world, world.reset(30, rng), 2).states
    frames, masks = world.render(states, 64)
    truth = world.truth(states)
    k = world.num_objects
    colours, present = truth["colors"].reshape(-1, k, 3), truth["present"].reshape(-1, k)
    positions = states.positions.reshape(-1, k, 2)
    frames, masks = frames.reshape(-1, 64, 64, 3), masks.reshape(-1, 64, 64)
    shown = centre_pixels(frames, positions, world.limit)
    # objects of which nothing nearer covers the centre, or a pixel next to it
    around = [np.roll(masks, shift, (1, 2))[..., None] for shift in np.ndindex(3, 3)]
    labels = [centre_pixels(m, positions + 1 / 64, world.limit + 1e-9)[..., 0] for m in around]
    visible = present & (np.stack(labels) == np.arange(1, k + 1)).all(0)
    assert visible.mean() > 0.5
    np.testing.assert_allclose(shown[visible], 255 * colours[visible], atol=1)
