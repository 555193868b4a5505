"""Coloured balls in layers: published sets, starts, pictures and truth, refused options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from data_gen.drawing.colours import palette_rgb
from data_gen.errors import DataError
from data_gen.generate import read_settings
from data_gen.sims._apart import sample_apart
from data_gen.sims.balls import Balls
from data_gen.simulator import State, build_simulator, simulate
from data_gen.splits import Split, make_sequences

NAMES = ("balls_interaction", "balls_occlusion", "balls_two_layer", "balls_two_layer_dense")


def world_of(name: str, **fields) -> Balls:
    return build_simulator(read_settings([f"sim={name}"]).sim | fields)


def make(world, split="test", sequences=5, length=4, size=64, seed=0, start=0):
    return make_sequences(Split(world, split, sequences, length, size, seed), start, sequences)


# ---- the published sets


@pytest.mark.parametrize("name", NAMES[:2])
def test_sets_are_the_published_ones(reference, name):
    """Of the training set: states and colours to the last bit, frames to a PSNR of 37 each."""
    with np.load(reference / f"{name.replace('balls', 'gswm')}.npz") as data:
        published = dict(data)
    arrays = make(world_of(name), "train", sequences=8, length=100)
    np.testing.assert_array_equal(arrays["positions"], published["positions"])
    np.testing.assert_array_equal(arrays["velocities"], published["velocities"])
    np.testing.assert_array_equal(arrays["sizes"], published["sizes"])
    np.testing.assert_array_equal(arrays["colors"], np.repeat(published["colors"][:, None], 100, axis=1))
    n, t = published["imgs"].shape[:2]
    error = (arrays["imgs"][:n, :t].astype(float) - published["imgs"]) / 255
    assert -10 * np.log10(np.square(error).mean((2, 3, 4))).min() > 37


@pytest.mark.parametrize("name", NAMES)
def test_published_sequences_are_known_by_their_number(name):
    """They do not depend on how many are made, differ between splits, and belong to seed 0 alone."""
    world = world_of(name)
    all_five, last = world.published_starts("test", 0, 5), world.published_starts("test", 3, 5)
    np.testing.assert_array_equal(all_five.positions[3:], last.positions)
    np.testing.assert_array_equal(all_five.extra["colors"][3:], last.extra["colors"])
    arrays = make(world)
    np.testing.assert_array_equal(arrays["positions"][:, 0], all_five.positions)
    np.testing.assert_array_equal(arrays["velocities"][:, 0], all_five.velocities)
    np.testing.assert_array_equal(make(world, start=3)["imgs"], arrays["imgs"][3:])
    for other in (make(world, "val"), make(world, seed=1), make(world_of(name, published=None))):
        assert (other["positions"] != arrays["positions"]).all()


def test_published_balls_start_as_described():
    """At 3 pixels per frame, apart from the balls of every layer; colours by the rule of each set."""
    for name in NAMES:
        world = world_of(name)
        start = world.published_starts("val", 0, 40)
        np.testing.assert_allclose(np.linalg.norm(start.velocities, axis=-1), 3, rtol=1e-12)
        gap = np.linalg.norm(start.positions[:, :, None] - start.positions[:, None], axis=-1)
        nearest = gap[:, *np.tril_indices(world.num_objects, -1)].min(1)
        assert (nearest >= 2 * world.radius).all() == (name != "balls_occlusion")
        assert (abs(start.positions - 32) <= 32 - world.radius).all()
        different = np.array([len(np.unique(colours, axis=0)) for colours in start.extra["colors"]])
        if world.coloring == "layer":
            expected = palette_rgb(["blue", "red"])[world.layer_of]
            np.testing.assert_array_equal(start.extra["colors"], np.tile(expected, (40, 1, 1)))
        else:
            assert (different == 3).all() == (world.coloring == "distinct")


# ---- new sequences


def test_the_first_frame_is_the_start(rng):
    world = Balls()
    start = world.reset(4, rng)
    states = simulate(world, start, 3).states
    np.testing.assert_array_equal(states.positions[:, 0], start.positions)
    np.testing.assert_array_equal(states.positions[:, 1], world.step(start).state.positions)


def test_new_starts_have_the_law_of_the_published_ones(rng):
    """Nearest pair and coordinates of balls of 400 sequences, by the test of Kolmogorov and Smirnov."""
    world = world_of("balls_two_layer")
    published, new = world.published_starts("train", 0, 400), world.reset(400, rng)
    pairs = np.tril_indices(6, -1)

    def nearest(x):
        return np.linalg.norm(x[:, pairs[0]] - x[:, pairs[1]], axis=-1).min(1)

    for statistic in (nearest, lambda x: x[:, 5, 0], lambda x: x[:, 0, 1]):
        a, b = np.sort(statistic(published.positions)), np.sort(statistic(new.positions))
        both = np.concatenate([a, b])
        gap = abs(np.searchsorted(a, both, "right") - np.searchsorted(b, both, "right")).max() / 400
        assert gap < 1.95 * np.sqrt(2 / 400)  # at 0.1 %
    assert abs(new.velocities.mean((0, 1))).max() < 5 * 3 / np.sqrt(2400)


@pytest.mark.parametrize("coloring, least, most", [("any", 1, 3), ("distinct", 3, 3), ("layer", 2, 2)])
def test_colours_follow_the_rule(rng, coloring, least, most):
    world = Balls(layers=[2, 1], coloring=coloring)
    colours = world.reset(300, rng).extra["colors"]
    counts = [len(np.unique(rows, axis=0)) for rows in colours]
    assert min(counts) == least and max(counts) == most
    share = (colours[:, 0] == palette_rgb(["yellow"])).all(-1).mean()
    if coloring != "layer":
        assert abs(share - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 300)


def test_a_sequence_without_room_begins_anew(rng):
    """Three discs of radius 0.22 in a box of 1: where the first two stand badly, the third has no place."""
    x = sample_apart(300, 3, 0.22, 1.0, rng)
    gap = np.linalg.norm(x[:, [0, 0, 1]] - x[:, [1, 2, 2]], axis=-1)
    assert (gap >= 0.44).all() and (abs(x - 0.5) <= 0.28).all()


# ---- pictures and truth


@pytest.mark.parametrize("layers", [[3], [1, 2]])
def test_later_balls_and_nearer_layers_hide_the_others(layers):
    """The nearest shows its full colour, and the masks are the drawn discs, in the order of drawing."""
    places = np.array([[[28.0, 32.0], [36.0, 32.0], [32.0, 38.0]]])
    world = Balls(layers=layers, coloring="distinct")
    colours = palette_rgb(["red", "blue", "yellow"])
    frames, masks = world.render(State(places, 0 * places, {"colors": colours[None]}), 64)
    pixels = np.arange(64) + 0.5
    distance = np.hypot(pixels - places[0, :, 0, None, None], pixels[:, None] - places[0, :, 1, None, None])
    expected = np.where(distance < 7.5, np.arange(1, 4)[:, None, None], 0).max(0)
    np.testing.assert_array_equal(masks[0], expected)
    for k in range(3):  # pixels well inside of a ball, and well outside of the nearer ones
        alone = (distance[k] < 6.6) & (distance[k + 1 :] > 8.4).all(0)
        assert alone.sum() > 10 and (frames[0][alone] == 255 * colours[k]).all()
    assert not frames[0][(distance > 8.4).all(0)].any()


def test_pictures_of_other_sizes_show_the_same(rng):
    """A frame of 128 pixels, averaged two by two, is that of 64 pixels but for the edges."""
    world = Balls()
    state = world.reset(6, rng)
    small, large = (world.render(state, size)[0].astype(float) for size in (64, 128))
    averaged = large.reshape(6, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.square((small - averaged) / 255).mean() < 1e-4


def test_a_small_ball_is_drawn_where_the_published_stamp_is():
    """At radius 5 that is 3/16 of a pixel to the right and below; at radius 8 it is the ball's place."""
    for radius, shift in ((5.0, 3 / 16), (8.0, 0.0)):
        world, place = Balls(layers=[1], radius=radius), np.full((1, 1, 2), 32.0)
        frames, masks = world.render(State(place, 0 * place, {"colors": np.ones((1, 1, 3))}), 64)
        light, pixels = frames[0, ..., 0] / 255, np.arange(64) + 0.5
        centre = np.array([(light.sum(axis) * pixels).sum() for axis in (0, 1)]) / light.sum()
        np.testing.assert_allclose(centre, 32 + shift, atol=0.01)
        area = np.pi * (radius * 15 / 16) ** 2
        assert abs(light.sum() - area) < 0.02 * area and abs((masks > 0).sum() - area) < 0.06 * area


def test_truth_tells_layers_and_visibility():
    """A ball behind another one of the same place exists, and shows no pixel."""
    world = world_of("balls_two_layer")
    arrays = make(world, sequences=3, length=60)
    assert arrays["present"].all() and (arrays["layers"] == [0, 0, 0, 1, 1, 1]).all()
    shown = np.stack([(arrays["masks"] == k + 1).any((2, 3)) for k in range(6)], -1)
    np.testing.assert_array_equal(arrays["in_camera"], shown)
    np.testing.assert_array_equal(arrays["ids"], np.where(shown, np.arange(1, 7), 0))
    assert (arrays["collisions"][:, 0] == 0).all() and arrays["collisions"].any()
    blue_over_red = (arrays["imgs"][..., 2] > 128) & (arrays["masks"] > 3)
    assert not blue_over_red.any()


@pytest.mark.parametrize(
    "field, message",
    [
        ({"layers": 3}, "sim.layers=3: must be a list"),
        ({"layers": [0]}, "sim.layers=0"),
        ({"layers": [30, 30]}, "sim.layers: 60 balls"),
        ({"radius": 32.0}, "sim.radius=32.0"),
        ({"speed": 30.0}, "at least sim.substeps=13"),
        ({"speed": -1.0}, "sim.speed=-1.0"),
        ({"substeps": 0}, "sim.substeps=0"),
        ({"collide": "no"}, "sim.collide=no"),
        ({"colors": ["pink"]}, "sim.colors="),
        ({"colors": "red"}, "sim.colors=red: must be a list"),
        ({"colors": ["red"], "coloring": "distinct"}, "needs 3 colours"),
        ({"coloring": "none"}, "sim.coloring=none"),
        ({"published": 7}, "sim.published=7"),
        ({"published": {"train": 1}}, "sim.published="),
        ({"published": {"train": 1, "val": 2, "test": -3}}, "sim.published.test=-3"),
    ],
)
def test_impossible_worlds_are_refused_in_one_line(field, message):
    config = {"_target_": "data_gen.sims.balls.Balls", **field}
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        build_simulator(config).reset(1, np.random.default_rng(0))
    assert "\n" not in str(caught.value)
