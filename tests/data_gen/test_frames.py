"""Shapes and ranges of pictures: whatever has one meaning is read, anything else is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.frames import Levels, could_be_pictures, find_axes, find_white, join_levels, measure, to_rgb
from tests.refusals import refusal

ONE_MEANING = {
    (5, 7, 16, 24, 3): "n t h w c",
    (5, 7, 16, 24, 1): "n t h w c",
    (5, 7, 16, 24, 4): "n t h w c",
    (5, 7, 3, 16, 24): "n t c h w",
    (5, 3, 7, 16, 24): "n c t h w",
    (3, 3, 16, 24, 3): "n t h w c",
    (7, 16, 24, 3): "x h w c",
    (7, 16, 24, 1): "x h w c",
    (3, 16, 24, 3): "x h w c",
    (7, 3, 16, 24): "x c h w",
    (7, 16, 24): "x h w",
    (16, 24, 3): "h w c",
}


@pytest.mark.parametrize("shape", ONE_MEANING)
@pytest.mark.parametrize("first", ["n", "t"])
def test_shapes_with_one_meaning(shape, first):
    assert " ".join(find_axes("a", shape, first=first)) == ONE_MEANING[shape].replace("x", first)


@pytest.mark.parametrize("shape", [shape for shape, axes in ONE_MEANING.items() if "x" in axes])
def test_one_sequence_or_single_images_is_asked_for(shape):
    axes = ONE_MEANING[shape]
    message = refusal(find_axes, "file: key", shape, error=DataError)
    assert message.startswith(f"file: key: shape {shape}")
    assert all(f'layout="{axes.replace("x", letter)}"' in message for letter in "tn")


SEVERAL_MEANINGS = {
    (3, 3, 64, 64): ["t c h w", "n t h w", "c t h w"],
    (10, 3, 64, 3): ["t h w c", "t c h w", "n t h w"],
    (10, 3, 3, 64, 64): ["n t c h w", "n c t h w"],
    (20, 100, 64, 64): ["n t h w", "t n h w"],  # Moving MNIST is t n h w
    (100, 1, 64, 64): ["t c h w", "n t h w"],
    (100, 4, 64, 64): ["t c h w", "n t h w"],
    (3, 64, 64): ["t h w", "c h w"],
}


@pytest.mark.parametrize("shape", SEVERAL_MEANINGS)
def test_shapes_with_several_meanings_are_asked_for(shape):
    message = refusal(lambda: find_axes("a", shape, first="t"), error=DataError)
    for layout in SEVERAL_MEANINGS[shape]:
        assert f'layout="{layout}"' in message
        assert " ".join(find_axes("a", shape, layout)) == layout


LAYOUTS = {
    "n t h w": "which layout=",
    "n t h w x": "must name each axis once",
    "n t h h c": "must name each axis once",
    "n t w c": "must name each axis once",
    "n t c h w": "has 64 channels",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_that_do_not_fit(layout):
    assert LAYOUTS[layout] in refusal(find_axes, "a", (2, 5, 64, 64, 3), layout, error=DataError)


def test_states_are_no_pictures():
    assert could_be_pictures((7, 16, 24), np.dtype("u1"))
    for shape in [(5, 7, 3, 2), (5, 7), (5, 7, 2), (100, 4, 4), (0, 16, 24, 3), (2,) * 6]:
        assert not could_be_pictures(shape, np.dtype("f4"))
    assert not could_be_pictures((7, 16, 24), np.dtype("O"))


WHITES = {
    "uint8": (np.uint8([0, 1]), 255),
    "bool": (np.array([False, True]), 1),
    "unit floats": (np.float32([0, 0.3, 1]), 1),
    "floats of 0 and 1": (np.float64([0, 1]), 1),
    "levels in floats": (np.float32([0, 3, 254]), 255),
    "black floats": (np.float32([0, 0]), 1),
    "uint16": (np.uint16([0, 40000]), 65535),
    "black uint16": (np.uint16([0, 0]), 65535),
    "levels in int64": (np.int64([0, 200]), 255),
    "black int64": (np.int64([0, 0]), 255),
}
UNKNOWN = {
    "above 1": np.float32([0, 1.5]),
    "resized levels": np.float32([0, 120.5]),
    "large floats": np.float32([0, 300]),
    "8 bits in uint16": np.uint16([0, 255]),
    "12 bits in uint16": np.uint16([0, 4095]),
    "0 and 1 in int64": np.int64([0, 1]),
    "16 bits in int32": np.int32([0, 40000]),
}


def levels_of(array):
    kind = {"uint8": "u1", "uint16": "u2", "bool": "b"}.get(str(array.dtype), array.dtype.kind)
    return measure([array[:, None]], kind)


@pytest.mark.parametrize("case", WHITES)
def test_white_by_type_and_range(case):
    array, white = WHITES[case]
    assert find_white("a", levels_of(array)) == white


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_white_is_asked_for_and_taken(case):
    array = UNKNOWN[case]
    message = refusal(find_white, "file: key", levels_of(array), error=DataError)
    assert (
        message.startswith("file: key: holds numbers from 0 to ") and "say which number is white" in message
    )
    assert find_white("a", levels_of(array), 65535) == 65535


def test_numbers_outside_the_range_are_refused():
    for array in (np.float32([-1, 1]), np.float32([0, np.nan]), np.float32([0, np.inf]) * -1):
        assert "bring them to 0 ... 1" in refusal(find_white, "a", levels_of(array), error=DataError)
    assert "more than scale=1" in refusal(find_white, "a", levels_of(np.uint8([2])), 1, error=DataError)


def test_the_darkest_array_is_read_as_the_others():
    dark, bright = measure([np.float32([[0], [1]])], "f"), measure([np.float32([[0], [200]])], "f")
    assert join_levels([dark, bright])["f"] == Levels("f", 0, 200)
    assert find_white("a", join_levels([dark, bright])["f"]) == 255


def test_levels_are_rounded_half_up():
    array = np.array([0, 0.4, 0.5, 1.5, 254.49, 254.5])[:, None]
    expected = [0, 0, 1, 2, 254, 255]
    for white in (1, 255, 65535):
        rgb = to_rgb(array / 255 * white, white)
        assert rgb.dtype == np.uint8 and rgb.tolist() == [[level] * 3 for level in expected]
    levels = np.arange(0, 65536, 257, dtype=np.uint16)[:, None]
    assert to_rgb(levels, 65535.0)[:, 0].tolist() == list(range(256))
    assert to_rgb(np.array([[False], [True]]), 1.0).tolist() == [[0] * 3, [255] * 3]


def test_alpha_is_laid_on_black(rng):
    rgba = rng.integers(0, 256, (50, 4), dtype=np.uint8)
    exact = rgba[:, :3].astype(float) * rgba[:, 3:] / 255
    np.testing.assert_array_equal(to_rgb(rgba, 255.0), np.floor(exact + 0.5).astype(np.uint8))
    rgba[:, 3] = 255
    np.testing.assert_array_equal(to_rgb(rgba, 255.0), rgba[:, :3])
    assert measure([rgba], "u1").opaque and not measure([np.uint8([[1, 2, 3, 4], [1, 2, 3, 5]])], "u1").opaque
