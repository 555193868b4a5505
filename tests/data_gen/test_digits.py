"""Digits against a renderer that draws one pixel at a time; each split has images of its own."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from data_gen.__main__ import main
from data_gen.drawing import handwriting
from data_gen.errors import DataError
from data_gen.generate import read_settings
from data_gen.schema import read_info
from data_gen.sims.digits import Digits
from data_gen.simulator import State, build_simulator, simulate
from data_gen.splits import BLOCK, SPLITS, Split, describe, make_sequences

datasets = pytest.importorskip("sklearn.datasets")

STILL = dict(counts=[0, 1, 2], digit_size=[0.32, 0.42], speed=[0, 0], apart=1.0)


def cubic(distance):
    """Evaluate Keys' kernel with a = -1/2, from its definition."""
    x = abs(distance)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def ink(image, u, v):
    """Return the brightness at u, v, shares of a digit's square; the 8x8 pixels have a margin of half one."""
    if not (0 <= u <= 1 and 0 <= v <= 1):
        return 0.0
    x, y = 9 * u - 1, 9 * v - 1
    total = sum(image[j, i] * cubic(x - i) * cubic(y - j) for i in range(8) for j in range(8))
    return min(max(total, 0.0), 1.0)


@pytest.mark.parametrize("blend", ["max", "add"])
def test_frames_and_masks_equal_those_of_the_pixel_renderer(rng, blend):
    size, world = 24, Digits(counts=[1, 2], digit_size=[0.4, 0.6], blend=blend)
    state = world.reset(4, rng)
    frames, masks = world.render(state, size)
    images = datasets.load_digits().images / 16
    for n, row, column in np.ndindex(4, size, size):
        inks = []
        for k in np.flatnonzero(state.extra["present"][n]):
            edge = 2 * state.extra["sizes"][n, k]
            corner = state.positions[n, k] - edge / 2
            u, v = (np.array([column + 0.5, row + 0.5]) / size - corner) / edge
            inks.append(ink(images[state.extra["images"][n, k]], u, v))
        light = max(inks) if blend == "max" else min(sum(inks), 1)
        assert frames[n, row, column] == pytest.approx(255 * light, abs=0.51)
        best = int(np.argmax(inks))
        if abs(inks[best] - 0.5) > 1e-5:
            assert masks[n, row, column] == (best + 1 if inks[best] > 0.5 else 0)
    assert set(np.unique(masks)) == {0, 1, 2}
    assert (frames == frames[..., :1]).all()


def test_enlarging_keeps_the_pixels_and_flat_regions(rng):
    images = rng.random((3, 8, 8)).astype(np.float32)
    at_pixels = np.broadcast_to((np.arange(8) + 1) / 9, (3, 8))
    np.testing.assert_allclose(handwriting.enlarge(images, at_pixels, at_pixels), images, atol=1e-6)
    between = np.broadcast_to(np.linspace(2 / 9, 7 / 9, 40), (3, 40))
    flat = handwriting.enlarge(np.full_like(images, 0.7), between, between)
    np.testing.assert_allclose(flat, 0.7, atol=1e-6)
    outside = np.array([[-0.01, 1.01]] * 3)
    assert not handwriting.enlarge(images, outside, at_pixels).any()


def test_splits_show_different_images_of_all_ten_digits():
    images, labels = handwriting.load_digit_images()
    ends = [handwriting.split_range(name) for name in SPLITS]
    assert ends[0][0] == 0 and ends[-1][1] == len(images) == 1797
    assert [last for _, last in ends[:-1]] == [first for first, _ in ends[1:]]
    for name, (first, last) in zip(SPLITS, ends, strict=True):
        world = Split(Digits(**STILL), name, 1, 1, 8, 0).simulator
        images_used = world.reset(3000, np.random.default_rng(0)).extra["images"]
        assert images_used.min() >= first and images_used.max() < last
        assert len(np.unique(images_used)) > 0.9 * (last - first)
        counts = np.bincount(labels[first:last], minlength=10)
        assert counts.min() > 0.08 * (last - first)


def test_a_file_records_its_set_of_images_and_labels(tmp_path):
    sizes = ["train=2", "val=2", "test=2", "length=3", "workers=1"]
    assert main(["sim=digits", f"out={tmp_path}", *sizes]) == 0
    for name in SPLITS:
        info = read_info(tmp_path / f"{name}.h5")
        assert info.config["simulator"]["images"] == name
        assert build_simulator(info.config["simulator"]) == Digits(images=name)
        assert info.shape_names == tuple("0123456789")


def test_truth_holds_digit_presence_and_position():
    world = Digits(**STILL)
    arrays = make_sequences(Split(world, "val", 2 * BLOCK, 1, 50, 0), 0, 2 * BLOCK)
    visible = np.stack([(arrays["masks"] == k + 1).any(axis=(2, 3)) for k in range(2)], axis=-1)
    np.testing.assert_array_equal(visible, arrays["present"])  # so far apart no digit hides another
    np.testing.assert_array_equal(arrays["in_camera"], visible)
    np.testing.assert_array_equal(arrays["ids"], visible * [1, 2])
    assert not arrays["imgs"][~visible.any(axis=2)].any()
    labels = handwriting.load_digit_images()[1]
    start = Split(world, "val", 1, 1, 8, 0).simulator.reset(
        BLOCK, np.random.default_rng(np.random.SeedSequence((0, 1, 0)))
    )
    np.testing.assert_array_equal(arrays["shapes"][:BLOCK, 0], labels[start.extra["images"]])
    images, present = arrays["sources"], arrays["present"][:, 0]
    assert images.shape == (2 * BLOCK, 2) and ((images >= 0) == present).all()
    np.testing.assert_array_equal(labels[images[present]], arrays["shapes"][:, 0][present])
    np.testing.assert_array_equal(images[:BLOCK][present[:BLOCK]], start.extra["images"][present[:BLOCK]])
    n, _, y, x = np.nonzero(arrays["masks"] == 1)
    distance = np.abs((np.stack([x, y], axis=1) + 0.5) / 50 - arrays["positions"][n, 0, 0])
    assert n.size and (distance <= arrays["sizes"][n, 0, 0][:, None]).all()


def test_counts_are_balanced_and_digits_apart():
    arrays = make_sequences(Split(Digits(**STILL), "train", 6 * BLOCK, 1, 8, 0), 0, 6 * BLOCK)
    present = arrays["present"][:, 0]
    counts = Counter(present.sum(axis=1).tolist())
    assert sorted(counts) == [0, 1, 2] and max(counts.values()) - min(counts.values()) <= 6  # one per block
    both = present.all(axis=1)
    gap = np.linalg.norm(np.diff(arrays["positions"][both, 0], axis=1), axis=-1)
    assert (gap[:, 0] >= arrays["sizes"][both, 0].sum(axis=1)).all()


def test_digits_bounce_off_the_walls_and_keep_their_speed(rng):
    world = Digits(speed=[0.1, 0.2])
    states = simulate(world, world.reset(20, rng), 30).states
    room = states.extra["sizes"][..., None]
    assert (states.positions >= room).all() and (states.positions <= 1 - room).all()
    np.testing.assert_array_equal(np.abs(states.velocities), np.abs(states.velocities[:, :1]).repeat(30, 1))
    extra = {"images": np.zeros((1, 1), int), "sizes": np.full((1, 1), 0.2), "present": np.ones((1, 1), bool)}
    one = Digits(counts=[1], digit_size=[0.4, 0.4])
    step = one.step(State(np.array([[[0.25, 0.5]]]), np.array([[[-0.1, 0.1]]]), extra))
    np.testing.assert_allclose(step.state.positions, [[[0.25, 0.6]]])  # 0.05 to the wall, and 0.05 back
    np.testing.assert_allclose(step.state.velocities, [[[0.1, 0.1]]])


def test_a_missing_scikit_learn_is_reported_in_one_line(tmp_path, monkeypatch, capsys):
    handwriting.load_digit_images.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["sim=digits", f"out={tmp_path / 'new'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "seqvae[digits]" in error and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"digit_size": [0.5, 1.0]}, "no room"),
        ({"digit_size": 0.3}, "sim.digit_size=0.3: must be two"),
        ({"blend": "mix"}, "sim.blend=mix"),
        ({"images": "all"}, "sim.images=all"),
        ({"images": ["train"]}, "sim.images="),
        ({"counts": [-1]}, "sim.counts=-1"),
    ],
)
def test_a_bad_option_is_reported_in_one_line(options, message):
    with pytest.raises(DataError, match=message) as caught:
        Digits(**options)
    assert "\n" not in str(caught.value)


def test_single_frames_are_the_default_where_digits_stand_still():
    settings = read_settings(["sim=digits_still"])
    assert (settings.length, settings.image_size, settings.sim["counts"]) == (1, 50, [0, 1, 2])
    split = Split(build_simulator(settings.sim), "test", 1, 1, 50, 0)
    assert describe(split)["simulator"]["images"] == "test"
