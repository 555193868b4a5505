"""Sprites that come and go: their lives, the law of their starts, pictures and truth, refused options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from data_gen.drawing.boxes import BOX_SHAPES, box_distances
from data_gen.drawing.colours import palette_rgb
from data_gen.drawing.shapes import halve
from data_gen.errors import DataError
from data_gen.sims._counted import counted_uniforms
from data_gen.sims.spmot import SpMOT
from data_gen.simulator import build_simulator, simulate
from data_gen.splits import Split, make_sequences


def run(rng, n=200, length=150, **fields):
    """Trajectories with their truth: positions "n t k 2", present "n t k" and so on."""
    world = SpMOT(**fields)
    states = simulate(world, world.reset(n, rng), length).states
    return states, world.truth(states)


def lives_of(present):
    """Yield sequence, place, first frame and the one after the last of each whole life in "n t k"."""
    for n, k in np.ndindex(len(present), present.shape[2]):
        edges = np.flatnonzero(np.diff(present[n, :, k].astype(int)))
        begins = edges[~present[n, edges, k]] + 1
        ends = edges[present[n, edges, k]] + 1
        ends = ends[ends > begins[0]] if len(begins) else ends[:0]
        yield from ((n, k, begin, end) for begin, end in zip(begins, ends, strict=False))


# ---- lives


def test_sprites_cross_the_picture_straight_at_one_speed(rng):
    states, truth = run(rng)
    whole = list(lives_of(truth["present"]))
    assert len(whole) > 1000
    starts, sides = [], []
    for n, k, begin, end in whole[::7]:
        boxes, path = states.extra["boxes"][n, begin, k], states.positions[n, begin:end, k]
        corner = path - 0.5 * (boxes % 2)  # whole pixels
        start, velocity = corner[0], states.velocities[n, begin, k]
        np.testing.assert_array_equal(corner, np.rint(start + np.arange(end - begin)[:, None] * velocity))
        assert np.linalg.norm(velocity) == pytest.approx(5.3)
        assert (corner >= 10).all() and (corner <= 117).all()
        beyond = np.rint(start + (end - begin) * velocity)  # where it would be next
        left = [
            axis
            for axis in range(2)
            if (start[axis], np.sign(velocity[axis])) in ((10, 1), (117, -1))
            and not 10 <= beyond[axis] <= 117
        ]
        assert left, (start, velocity, beyond)  # from one edge over the opposite one
        sides.append((left[0], start[left[0]])), starts.append(start[1 - left[0]])
    share = np.unique(np.array(sides), axis=0, return_counts=True)[1] / len(sides)
    assert len(share) == 4 and abs(share - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / len(sides))
    assert abs(np.mean(starts) - 63.5) < 5 * 108 / np.sqrt(12 * len(starts))


def test_births_follow_after_the_wait_with_their_probability(rng):
    """Absent: the wait, then a geometric number of frames of mean 1 / birth, then the birth itself."""
    for fields, wait, birth in (({}, 5, 0.5), ({"wait": 2, "birth": 0.25}, 2, 0.25)):
        _, truth = run(rng, **fields)
        whole, gaps = list(lives_of(truth["present"])), []
        for (n, k, _, end), (m, j, begin, _) in zip(whole[:-1], whole[1:], strict=True):
            if (n, k) == (m, j):
                gaps.append(begin - end)
        extra = np.array(gaps) - wait - 1  # at least 1
        assert extra.min() == 1
        spread = np.sqrt((1 - birth) / birth**2 / len(extra))
        assert abs(extra.mean() - 1 / birth) < 5 * spread
        assert abs((extra == 1).mean() - birth) < 5 * np.sqrt(birth * (1 - birth) / len(extra))


def test_sizes_colours_and_shapes_are_drawn_for_each_life(rng):
    states, truth = run(rng)
    whole = list(lives_of(truth["present"]))
    for n, k, begin, end in whole[::20]:
        for array in (states.extra["boxes"], truth["shapes"], truth["colors"], truth["ids"]):
            assert (array[n, begin:end, k] == array[n, begin, k]).all()
    born = tuple(np.array([(n, begin, k) for n, k, begin, _ in whole]).T)
    boxes = states.extra["boxes"][born]
    assert boxes.min() >= round(21 * 0.9 * np.sqrt(0.8)) and boxes.max() <= round(21 * 1.1 * np.sqrt(1.2)) + 2
    area = boxes.prod(-1) / 21**2
    assert abs(area.mean() - (1 + 0.01 / 3)) < 5 * area.std() / np.sqrt(len(area)) + 0.01  # of scale^2
    for array, number in ((truth["shapes"][born], 4), (states.extra["hues"][born], 6)):
        share = np.bincount(array, minlength=number) / len(array)
        assert abs(share - 1 / number).max() < 5 * np.sqrt(1 / number / len(array))


def test_numbers_belong_to_one_life(rng):
    arrays = make_sequences(Split(SpMOT(), "test", 10, 80, 32, 1), 0, 10)
    shown = arrays["in_camera"]
    assert (arrays["ids"][shown] > 0).all() and (arrays["ids"][~shown] == 0).all()
    for n, k, begin, end in lives_of(arrays["present"]):
        numbers = arrays["ids"][n, begin:end, k]
        number = numbers.max()
        assert np.isin(numbers, (0, number)).all()
        others = arrays["ids"][n].copy()
        others[begin:end, k] = 0
        assert not (others == number).any()


def test_starts_have_the_law_of_any_later_frame(rng):
    """Shares of phases at the start and 200 frames later, 2,000 sequences each, by their standard errors."""
    world = SpMOT()
    start = world.reset(2000, rng)
    late = simulate(world, world.reset(2000, rng), 200).states.map(lambda x: x[:, -1])
    for state in (start, late):
        assert abs(state.extra["phase"].mean() - start.extra["phase"].mean()) < 5 * 9 / np.sqrt(6000)
    first, second = (np.bincount(s.extra["phase"].ravel(), minlength=40) / 6000 for s in (start, late))
    error = np.sqrt((first + second) / 6000)
    assert (abs(first - second) < 5 * error + 1e-9).all()


def test_numbers_by_counter_are_those_of_splitmix64():
    """The published sequence of the seed 1234567; other counters go on where the draws of one end."""
    numbers = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    key, expected = np.array(1234567, np.uint64), np.array(numbers, np.uint64) / 2.0**64
    np.testing.assert_allclose(counted_uniforms(key, np.array(0), 4), expected, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(counted_uniforms(key, np.array(1), 2), expected[2:], rtol=1e-15, atol=1e-15)
    many = counted_uniforms(np.arange(1000, dtype=np.uint64), np.arange(1000), 4)
    assert abs(many.mean(0) - 0.5).max() < 5 / np.sqrt(12 * 1000)
    assert abs(np.corrcoef(many.T) - np.eye(4)).max() < 5 / np.sqrt(1000)


# ---- pictures


@pytest.mark.parametrize("name", BOX_SHAPES)
def test_shapes_are_those_of_their_inequalities(name):
    """Inside by the sign; and the distance from a straight edge is in pixels."""
    a, b, w = 9.0, 6.0, 30
    offsets = np.broadcast_to(np.arange(w) - w / 2 + 0.25, (1, 1, 2, w))
    here = np.array([[True]])
    distance = box_distances(offsets, np.array([[[a, b]]]), np.array([[0]]), here, (name,))[0, 0]
    x, y = offsets[0, 0, 0][None, :], offsets[0, 0, 1][:, None]
    inside = {
        "circle": (x / a) ** 2 + (y / b) ** 2 < 1,
        "rectangle": (abs(x) < a) & (abs(y) < b),
        "triangle": (y < b) & (abs(x) / a < (y + b) / (2 * b)),
        "diamond": abs(x) / a + abs(y) / b < 1,
    }[name]
    np.testing.assert_array_equal(distance < 0, inside)
    slope = np.hypot(*np.gradient(distance.astype(float)))[1:-1, 1:-1]
    near = abs(distance[1:-1, 1:-1]) < 2
    assert np.median(slope[near]) == pytest.approx(1, abs=0.1)
    gone = box_distances(offsets, np.array([[[a, b]]]), np.array([[0]]), ~here, (name,))
    assert (gone > 1).all()


def test_pictures_show_later_places_over_earlier_ones(rng):
    """A pixel in the middle of a mask has the colour of its sprite, and that is the last one there."""
    world = SpMOT(shapes=["rectangle"])
    states = simulate(world, world.reset(60, rng), 3).states
    frames, masks = world.render(states, 64)
    truth, pixels = world.truth(states), 2 * (np.arange(64) + 0.5)
    x, y = (abs(pixels - states.positions[..., i, None]) for i in (0, 1))  # n t k w
    half = states.extra["boxes"][..., None] / 2
    inside = (x < half[..., 0, :])[..., None, :] & (y < half[..., 1, :])[..., None]  # n t k h w
    inside &= truth["present"][..., None, None]
    expected = (inside * np.arange(1, 4)[:, None, None]).max(2)
    np.testing.assert_array_equal(masks, expected)
    same = np.ones(masks.shape, bool)  # pixels whose neighbours belong to the same sprite
    for shift in np.ndindex(3, 3):
        same &= np.roll(masks, np.array(shift) - 1, (2, 3)) == masks
    same[:, :, [0, -1]], same[..., [0, -1]] = False, False
    for k in range(3):
        n, t, row, column = np.nonzero(same & (masks == k + 1))
        np.testing.assert_array_equal(frames[n, t, row, column], 255 * truth["colors"][n, t, k])
    assert not frames[same & (masks == 0)].any()


def test_a_rectangle_covers_its_pixels(rng):
    """Drawn on whole pixels of 128 and averaged: the light is that of its area, wholly inside the picture."""
    world = SpMOT(places=1, shapes=["rectangle"], colors=["red"], margin=20)
    states = simulate(world, world.reset(50, rng), 1).states
    frames, _ = world.render(states, 64)
    light = frames[..., 0].sum((2, 3)) / 255
    area = states.extra["boxes"].prod(-1)[..., 0] / 4 * world.truth(states)["present"][..., 0]
    np.testing.assert_allclose(light, area, atol=0.5)
    assert (area > 0).any() and (palette_rgb(["red"]) == [1, 0, 0]).all()
    np.testing.assert_array_equal(halve(np.arange(16.0).reshape(4, 4)), [[2.5, 4.5], [10.5, 12.5]])


@pytest.mark.parametrize(
    "field, message",
    [
        ({"places": 0}, "sim.places=0"),
        ({"edge": 200}, "sim.edge=200: a sprite may exceed"),
        ({"scale": [1.2, 0.9]}, "sim.scale=[1.2, 0.9]"),
        ({"ratio": [0, 1]}, "sim.ratio=0"),
        ({"shapes": ["heart"]}, "sim.shapes=['heart']"),
        ({"colors": []}, "sim.colors=[]"),
        ({"speed": 0}, "sim.speed=0"),
        ({"wait": -1}, "sim.wait=-1"),
        ({"birth": 0}, "sim.birth=0"),
        ({"birth": 1.5}, "sim.birth=1.5"),
        ({"margin": 64}, "sim.margin=64"),
        ({"limit": 128.5}, "sim.limit=128.5"),
    ],
)
def test_impossible_worlds_are_refused_in_one_line(field, message):
    config = {"_target_": "data_gen.sims.spmot.SpMOT", **field}
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        build_simulator(config)
    assert "\n" not in str(caught.value)
