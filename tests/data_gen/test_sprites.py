"""Sprites against a renderer that draws one pixel at a time, and their options."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from data_gen.drawing.colours import PALETTE
from data_gen.drawing.shapes import SHAPES
from data_gen.errors import DataError
from data_gen.sims.sprites import BACKGROUNDS, CURTAIN, Sprites
from data_gen.simulator import simulate
from data_gen.splits import BLOCK, Split, make_sequences

VARYING = dict(counts=[2, 3, 4, 5], radius=[0.07, 0.14], growth=0.003, spin=0.15, stay=[3, 6], away=[2, 4])
NAMED = dict(colors=list(PALETTE), background="black")


def make(world, sequences=BLOCK, length=6, size=32):
    return make_sequences(Split(world, "train", sequences, length, size, 0), 0, sequences)


def start(world, rng, n=1, **extra):
    """Sample a state, with the given positions and arrays in place of the sampled ones."""
    state = world.reset(n, rng)
    positions = extra.pop("positions", state.positions)
    given = {key: np.broadcast_to(value, state.extra[key].shape) for key, value in extra.items()}
    return dataclasses.replace(
        state, positions=np.broadcast_to(positions, state.positions.shape), extra={**state.extra, **given}
    )


# A renderer of one pixel, from the definition of each shape: area of the unit disc, centroid at 0, y down.


def in_polygon(x, y, corners):
    turns = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return all(t > 0 for t in turns) or all(t < 0 for t in turns)


def inside(shape, x, y):
    if shape == "square":
        return max(abs(x), abs(y)) < math.sqrt(math.pi / 4)
    if shape == "ellipse":  # half axes in the ratio 3 : 2
        return x * x / 1.5 + y * y * 1.5 < 1
    if shape == "triangle":  # equilateral, one corner up
        outer = math.sqrt(4 * math.pi / math.sqrt(27))
        turns = [math.radians(a) for a in (-90, 30, 150)]
        return in_polygon(x, y, [(outer * math.cos(a), outer * math.sin(a)) for a in turns])
    # A square on its corner and discs on its upper edges: areas d^2 / 2 + 2 * pi (d / 2 / sqrt 2)^2 / 2 = pi
    diagonal = math.sqrt(math.pi / (0.5 + math.pi / 8))
    quarter, radius = diagonal / 4, diagonal / math.sqrt(8)
    # a half disc's centroid is 4 r / 3 pi from its diameter; both point up by 45 degrees
    lift = (quarter + 4 * radius / (3 * math.pi) / math.sqrt(2)) * (math.pi * radius**2) / math.pi
    y -= lift
    half = diagonal / 2
    return in_polygon(x, y, [(0, -half), (half, 0), (0, half), (-half, 0)]) or any(
        math.hypot(x - side * quarter, y + quarter) < radius for side in (-1, 1)
    )


def label(world, state, n, t, column, row, size):
    """Return the label of one pixel: the nearest of the objects that contain its centre."""
    x, y = (column + 0.5) / size, (row + 0.5) / size
    if world.curtain and world.curtain[0] < x < world.curtain[1]:
        return 0
    extra, best = {key: array[n, t] for key, array in state.extra.items()}, (-1, 0)
    for k in range(world.num_objects):
        if extra["clock"][k] % (extra["stay"][k] + extra["away"][k]) >= extra["stay"][k]:
            continue
        (px, py), angle, r = state.positions[n, t, k], extra["angles"][k], extra["radii"][k]
        u = (math.cos(angle) * (x - px) + math.sin(angle) * (y - py)) / r
        v = (math.cos(angle) * (y - py) - math.sin(angle) * (x - px)) / r
        if inside(world.shapes[extra["shapes"][k]], u, v):
            best = max(best, (extra["layers"][k], k + 1))
    return best[1]


@pytest.mark.parametrize("curtain", [None, [0.4, 0.55]])
def test_masks_equal_those_of_the_pixel_renderer(rng, curtain):
    world, size = Sprites(**VARYING, curtain=curtain), 32
    states = simulate(world, world.reset(4, rng), 2).states
    _, masks = world.render(states, size)
    for n, t in np.ndindex(4, 2):
        labels = [[label(world, states, n, t, i, j, size) for i in range(size)] for j in range(size)]
        np.testing.assert_array_equal(masks[n, t], labels)
    assert len(np.unique(masks)) == world.num_objects + 1


def test_away_from_edges_a_pixel_has_the_colour_of_its_label(rng):
    world, size = Sprites(background="color"), 64
    states = simulate(world, world.reset(20, rng), 1).states
    frames, masks = world.render(states, size)
    around = np.lib.stride_tricks.sliding_window_view(masks, (5, 5), axis=(2, 3))
    plain = (around == around[..., 2:3, 2:3]).all(axis=(-2, -1))
    colors = np.concatenate([states.extra["background"][:, :, :1], states.extra["colors"]], axis=2)
    expected = np.take_along_axis(colors, masks.reshape(20, 1, -1, 1).astype(int), axis=2)
    expected = np.floor(255 * expected.astype(np.float32) + 0.5).reshape(frames.shape)
    middle = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert plain.mean() > 0.7
    np.testing.assert_allclose(frames[middle][plain], expected[middle][plain], atol=1)  # of float32


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_the_area_of_its_disc_around_its_position(rng, shape):
    """At random positions the number of pixels whose centre is inside is pi r^2 on average.

    Coverage adds a part of a pixel: its mean over offsets -1/2 to 1/2 of the edge is A + c / 12 (Steiner),
    with c = pi for a smooth edge and 3 sqrt 3 for a triangle with offset edges.
    """
    world = Sprites(counts=[1], shapes=[shape], radius=[0.2, 0.2], background="black")
    state = start(world, rng, n=300, colors=1.0)
    frames, masks = world.render(state, 32)
    covered, area = frames[..., 0] / 255, np.pi * (0.2 * 32) ** 2
    pixels, sums = (masks != 0).sum(axis=(1, 2)), covered.sum(axis=(1, 2))
    assert abs(pixels.mean() - area) < 5 * pixels.std() / np.sqrt(300)
    error = 5 * sums.std() / np.sqrt(300)
    assert -error < sums.mean() - area < np.sqrt(27) / 12 + error
    centres = (np.arange(32) + 0.5) / 32
    for axis in (0, 1):
        error_of_centre = covered.sum(axis=1 + axis) @ centres / sums - state.positions[:, 0, axis]
        spread = error_of_centre.std() / np.sqrt(300)
        assert abs(error_of_centre.mean()) < 5 * spread and abs(error_of_centre).max() < 0.1 / 32
    x, y = ((axis + 0.5) / 32 for axis in np.nonzero(masks)[:0:-1])
    where = state.positions[np.nonzero(masks)[0], 0]
    far = np.hypot(x - where[:, 0], y - where[:, 1]).max()
    assert 0.2 * SHAPES[shape].reach - 1 / 32 < far <= 0.2 * SHAPES[shape].reach


def test_the_higher_layer_hides_the_lower(rng):
    world = Sprites(counts=[2], shapes=["square"], radius=[0.1, 0.2], **NAMED)
    for layers, front in (([0, 1], 1), ([1, 0], 0)):
        state = start(
            world, rng, positions=0.5, angles=0.0, layers=layers, radii=0.2, colors=[[1, 0, 0], [0, 0, 1]]
        )
        frames, masks = world.render(state, 32)
        assert set(np.unique(masks)) == {0, front + 1}
        assert frames[0, 16, 16].tolist() == ([0, 0, 255] if front else [255, 0, 0])
    smaller = start(world, rng, positions=0.5, angles=0.0, layers=[1, 0], radii=[0.1, 0.2])
    counts = np.bincount(world.render(smaller, 320)[1].ravel())
    assert counts[1:].tolist() == [56**2, 114**2 - 56**2]  # edges of sqrt(pi) r: 56.7 and 113.4 pixels


def test_the_curtain_hides_the_objects_behind_it(rng):
    world = Sprites(counts=[1], radius=[0.1, 0.1], curtain=[0.5, 1.0], **NAMED)
    states = start(world, rng, n=2, positions=np.array([[[0.25, 0.5]], [[0.75, 0.5]]]))
    frames, masks = world.render(states, 32)
    assert masks[0].any() and not masks[1].any() and frames[0, :, :16].any() and not frames[1, :, :16].any()
    assert (frames[:, :, 16:] == np.floor(255 * np.array(CURTAIN) + 0.5)).all()
    narrow = dataclasses.replace(world, curtain=(0.5, 0.5 + 1 / 64))  # half a pixel
    frames, _ = narrow.render(states, 32)
    np.testing.assert_allclose(frames[0, 0, 16], 255 * np.array(CURTAIN) / 2, atol=0.5)


def test_truth_agrees_with_the_masks():
    world = Sprites(**VARYING, curtain=[0.3, 0.7])
    arrays = make(world, length=20)
    labels = [(arrays["masks"] == k + 1).any(axis=(2, 3)) for k in range(world.num_objects)]
    np.testing.assert_array_equal(arrays["in_camera"], np.stack(labels, axis=-1))
    np.testing.assert_array_equal(arrays["ids"], arrays["in_camera"] * np.arange(1, 6))
    assert arrays["present"][arrays["in_camera"]].all()
    hidden = arrays["present"] & ~arrays["in_camera"]
    x, reach = arrays["positions"][..., 0], 1.6 * arrays["sizes"]
    behind = (x - reach > 0.3) & (x + reach < 0.7)
    assert hidden.any() and not (behind & arrays["in_camera"]).any()
    clear = ((x + reach < 0.3) | (x - reach > 0.7)) & arrays["present"] & (arrays["layers"] == 4)
    assert clear.any() and arrays["in_camera"][clear].all()


def test_held_out_combinations_never_occur_or_they_alone():
    held_out = [["red", "square"], ["red", "heart"], ["blue", "triangle"]]
    every = {(colour, shape) for colour in PALETTE for shape in SHAPES}
    excluded = {tuple(pair) for pair in held_out}
    for repeat in (True, False):
        world = Sprites(counts=[5], radius=[0.1, 0.1], held_out=held_out, repeat_colors=repeat, **NAMED)
        assert combinations(make(world)) == every - excluded
    only = Sprites(held_out=held_out, only_held_out=True, **NAMED)
    assert combinations(make(only)) == excluded


def combinations(arrays):
    names = {tuple(np.float32(rgb)): name for name, rgb in PALETTE.items()}
    rgb, shapes = arrays["colors"][:, 0].reshape(-1, 3), arrays["shapes"][:, 0].ravel()
    return {(names[tuple(c)], list(SHAPES)[s]) for c, s in zip(rgb, shapes, strict=True)}


def test_colours_repeat_only_where_they_may():
    for repeat in (True, False):
        colors = make(Sprites(counts=[5], radius=[0.1, 0.1], repeat_colors=repeat, **NAMED))["colors"][:, 0]
        different = [len(np.unique(row, axis=0)) == 5 for row in colors]
        assert all(different) if not repeat else not all(different)


def test_counts_are_equally_frequent():
    world = Sprites(counts=[1, 2, 4])
    present = make(world, length=2)["present"]
    assert (present[:, 0] == present[:, 1]).all()
    counts = Counter(present[:, 0].sum(axis=1).tolist())
    assert sorted(counts) == [1, 2, 4] and max(counts.values()) - min(counts.values()) <= 1


def test_objects_come_and_go_in_turns_within_the_counts():
    present = make(Sprites(**VARYING), length=40, size=8)["present"]
    assert present.sum(axis=2).min() == 2 and present.sum(axis=2).max() == 5
    assert present[..., :2].all()
    stay, away = set(), set()
    for row in present[..., 2:].swapaxes(1, 2).reshape(-1, 40):
        changes = np.flatnonzero(np.diff(row.astype(int)))
        for first, last in zip(changes[:-1], changes[1:], strict=True):
            (stay if row[last] else away).add(last - first)
    assert stay == {3, 4, 5, 6} and away == {2, 3, 4}


def test_objects_stay_between_the_walls_and_keep_their_speed():
    world = Sprites(radius=[0.08, 0.15], growth=0.01, spin=0.1, speed=[0.05, 0.1])
    rng = np.random.default_rng(1)
    states = simulate(world, world.reset(BLOCK, rng), 60).states
    radii = states.extra["radii"]
    reach = np.array([shape.reach for shape in SHAPES.values()])[states.extra["shapes"]] * radii
    assert (states.positions >= reach[..., None]).all() and (states.positions <= 1 - reach[..., None]).all()
    assert radii.min() >= 0.08 and radii.max() <= 0.15
    for rates in (states.velocities, states.extra["growth"]):
        np.testing.assert_array_equal(np.abs(rates), np.abs(rates[:, :1]).repeat(60, axis=1))
        assert (rates[:, 0] != rates[:, -1]).any()
    turned = np.diff(states.extra["angles"], axis=1) - states.extra["spins"][:, 1:]
    np.testing.assert_allclose(np.cos(turned), 1, atol=1e-12)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_backgrounds_are_constant_and_as_they_are_called(background, rng):
    world = Sprites(counts=[1], radius=[0.05, 0.05], background=background)
    states = simulate(world, start(world, rng, n=8, stay=0, away=1), 3).states  # no object is present
    frames, masks = world.render(states, 32)
    assert not masks.any() and (frames == frames[:, :1]).all()
    spread = np.ptp(frames.astype(int), axis=(2, 3)).max(axis=(1, 2))
    if background == "black":
        assert not frames.any()
    elif background in ("gray", "color"):
        assert not spread.any() and len(np.unique(frames[:, 0, 0, 0], axis=0)) == 8
        assert (np.ptp(frames, axis=-1) == 0).all() == (background == "gray")
    else:
        low, high = (255 * pick(states.extra["background"], axis=-2) for pick in (np.min, np.max))
        assert (frames >= low[:, :, None, None] - 1).all() and (frames <= high[:, :, None, None] + 1).all()
        assert np.median(spread) > 20


def test_parts_of_a_split_hold_the_same_arrays_as_all_of_it():
    """This makes the result independent of the number of processes."""
    split = Split(Sprites(**VARYING, background="texture"), "train", 2 * BLOCK, 2, 16, seed=4)
    full = make_sequences(split, 0, 2 * BLOCK)
    for first, last in ((0, 7), (60, 70), (BLOCK, 2 * BLOCK)):
        part = make_sequences(split, first, last)
        assert set(part) == set(full) and "masks" in part
        for key in part:
            np.testing.assert_array_equal(part[key], full[key][first:last])


BAD = [
    ({"counts": []}, "sim.counts=\\[\\]"),
    ({"counts": 3}, "sim.counts=3"),
    ({"counts": [0]}, "at least one"),
    ({"counts": [2.5]}, "sim.counts=2.5"),
    ({"speed": [0.2, 0.1]}, "the lowest comes first"),
    ({"speed": 0.1}, "sim.speed=0.1: must be two numbers"),
    ({"speed": [0, 0.9]}, "no room"),
    ({"radius": [0.1, 0.4]}, "no room"),
    ({"radius": [0, 0.1]}, "sim.radius=0"),
    ({"growth": 0.06}, "sim.growth=0.06"),
    ({"growth": -1}, "sim.growth=-1"),
    ({"spin": "fast"}, "sim.spin=fast"),
    ({"apart": -1}, "sim.apart=-1"),
    ({"shapes": ["star"]}, "sim.shapes=\\['star'\\]"),
    ({"shapes": [["square"]]}, "sim.shapes"),
    ({"radius": {0.1: 1, 0.2: 1}}, "sim.radius"),
    ({"shapes": []}, "sim.shapes=\\[\\]"),
    ({"colors": "pink"}, "sim.colors=pink"),
    ({"colors": ["red", "red"]}, "different names"),
    ({"repeat_colors": "no"}, "sim.repeat_colors=no"),
    ({"held_out": [["red", "heart"]]}, "needs sim.colors"),
    ({"only_held_out": True}, "needs sim.colors"),
    ({"held_out": ["red"], **NAMED}, "must be a pair"),
    ({"held_out": [["red", "star"]], **NAMED}, "must be a pair"),
    ({"held_out": 3, **NAMED}, "must be a list of pairs"),
    ({"only_held_out": True, **NAMED}, "leaves 0 colours"),
    ({"counts": [7], "repeat_colors": False, **NAMED}, "leaves 6 colours for 7"),
    ({"stay": [1, 2]}, "give both"),
    ({"stay": [0, 2], "away": [1, 2]}, "sim.stay=0"),
    ({"background": "sea"}, "sim.background=sea"),
    ({"curtain": [0.5, 1.5]}, "sim.curtain=1.5"),
]


@pytest.mark.parametrize("options, message", BAD)
def test_a_bad_option_is_reported_in_one_line(options, message):
    with pytest.raises(DataError, match=message) as caught:
        Sprites(**options)
    assert "\n" not in str(caught.value)


def test_objects_that_cannot_start_apart_are_refused(rng):
    with pytest.raises(DataError, match="sim.apart=2"):
        Sprites(counts=[6], apart=2).reset(2, rng)
    world = Sprites(apart=1)
    state = world.reset(50, rng)
    gap = np.linalg.norm(state.positions[:, [0, 0, 1]] - state.positions[:, [1, 2, 2]], axis=-1)
    reach = np.array([shape.reach for shape in SHAPES.values()])[state.extra["shapes"]] * state.extra["radii"]
    assert (gap >= reach[:, [0, 0, 1]] + reach[:, [1, 2, 2]]).all()
