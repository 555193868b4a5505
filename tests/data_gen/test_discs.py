"""The renderer of discs against the formula, evaluated at every pixel in float64."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.drawing.colours import PALETTE
from data_gen.drawing.discs import draw_discs

RGB = np.array(list(PALETTE.values()))


def formula(positions, radii, colours, limit, size):
    centres = (np.arange(size) + 0.5) / size * limit
    x, y = positions[..., 0, None, None], positions[..., 1, None, None]
    squared = (centres[None, None, None, :] - x) ** 2 + (centres[None, None, :, None] - y) ** 2
    g = np.exp(-((squared / radii[:, None, None] ** 2) ** 4))
    image = np.clip(np.einsum("nkhw,kc->nhwc", g, colours), 0, 1)
    return np.floor(255 * image + 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    "k, radius, limit, size, colours",
    [
        (3, 1.2, 10.0, 32, RGB[:3]),  # billiards
        (6, 1.0, 10.0, 50, RGB[[0, 1, 2, 0, 1, 2]]),  # two balls per channel
        (3, 2.0, 30.0, 50, RGB[:3]),  # gravity
        (6, 1.5, 10.0, 40, RGB),  # up to three balls per channel
        (4, 1.5, 10.0, 32, np.linspace(0.1, 0.9, 12).reshape(4, 3)),  # faint and mixed colours
        (2, 8.0, 10.0, 16, RGB[[0, 0]]),  # larger than the frame
        (3, 0.1, 10.0, 24, RGB[:3]),  # smaller than a pixel
    ],
)
def test_bytes_equal_the_formula(rng, k, radius, limit, size, colours):
    """Some centres are outside of the frame, and discs overlap."""
    positions = rng.uniform(-0.3 * limit, 1.3 * limit, (400, k, 2))
    radii = np.full(k, radius) * rng.uniform(0.8, 1.2, k)
    frames = draw_discs(positions, radii, colours, limit=limit, size=size)
    np.testing.assert_array_equal(frames, formula(positions, radii, colours, limit, size))


def test_radii_may_differ_between_frames(rng):
    positions, radii = rng.uniform(-1, 11, (200, 5, 2)), rng.uniform(0.3, 2.0, (200, 5))
    colours = RGB[[0, 3, 0, 4, 3]]
    frames = draw_discs(positions, radii, colours, limit=10.0, size=32)
    for n in range(0, 200, 10):
        np.testing.assert_array_equal(
            frames[n], formula(positions[n : n + 1], radii[n], colours, 10.0, 32)[0]
        )


def test_x_points_right_and_y_down():
    frame = draw_discs(np.array([[8.0, 2.0]]), np.ones(1), RGB[:1], limit=10.0, size=20)
    rows, columns = np.nonzero(frame[..., 0])
    assert abs(columns.mean() - 15.5) < 0.5 and abs(rows.mean() - 3.5) < 0.5
    assert frame[4, 16, 0] == 255 and not frame[..., 1:].any()


def test_leading_axes_and_empty_input(rng):
    positions = rng.uniform(0, 10, (4, 7, 3, 2))
    frames = draw_discs(positions, np.ones(3), RGB[:3], limit=10.0, size=16)
    assert frames.shape == (4, 7, 16, 16, 3) and frames.dtype == np.uint8
    one = draw_discs(positions[2, 5], np.ones(3), RGB[:3], limit=10.0, size=16)
    np.testing.assert_array_equal(one, frames[2, 5])
    assert draw_discs(positions[:0], np.ones(3), RGB[:3], limit=10.0, size=16).shape == (0, 7, 16, 16, 3)
