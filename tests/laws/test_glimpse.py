"""Glimpses: the places they read, and writing as the inverse of reading."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import grid_sample

from seqvae.nn.glimpse import bilinear, box_cover, pixel_centres, read, sample_points, write
from tests.laws.common import F64

SIZES = [(32, 32), (20, 45), (7, 50)]


def ramp(height: int, width: int) -> torch.Tensor:
    """Return x + 10 y at every pixel: an image without any symmetry."""
    like = torch.zeros(1, dtype=F64)
    return (pixel_centres(width, like) + 10 * pixel_centres(height, like)[:, None])[None, None]


@pytest.mark.parametrize("size", SIZES)
def test_a_ramp_is_read_exactly_inside_the_image(size):
    centre = torch.tensor([[[0.3, -0.2], [-0.1, 0.4]]], dtype=F64)
    extent = torch.tensor([[[0.3, 0.25], [0.2, 0.3]]], dtype=F64)
    glimpse = read(ramp(*size), centre, extent, 9)
    x = sample_points(centre[..., 0], extent[..., 0], 9)[:, :, None, None, :]
    y = sample_points(centre[..., 1], extent[..., 1], 9)[:, :, None, :, None]
    torch.testing.assert_close(glimpse, x + 10 * y, rtol=1e-12, atol=1e-12)


def test_x_points_right_and_y_down():
    image = torch.zeros(1, 1, 10, 20)
    image[0, 0, 8, 3] = 1  # row 8 of 10, column 3 of 20: x = -0.65, y = 0.7
    corner = read(image, torch.tensor([[[-0.65, 0.7]]]), torch.tensor([[[0.05, 0.1]]]), 1)
    assert corner.item() == pytest.approx(1, abs=1e-5)  # (p + 1) * 10 - 0.5, rounded in float32


@pytest.mark.parametrize("size", SIZES)
def test_reading_agrees_with_grid_sample(size):
    image = torch.randn(3, 2, *size, dtype=F64)
    centre, extent = 1.5 * torch.randn(3, 4, 2, dtype=F64), torch.rand(3, 4, 2, dtype=F64) + 0.05
    x, y = (sample_points(centre[..., i], extent[..., i], 6) for i in (0, 1))
    grid = torch.stack([x[:, :, None, :].expand(-1, -1, 6, -1), y[:, :, :, None].expand(-1, -1, -1, 6)], -1)
    for k in range(4):
        sampled = grid_sample(image, grid[:, k], "bilinear", "zeros", align_corners=False)
        torch.testing.assert_close(read(image, centre, extent, 6)[:, k], sampled)


def test_bilinear_weights_sum_to_one_inside_and_fade_outside():
    inside = torch.linspace(-0.9, 0.9, 50, dtype=F64)
    torch.testing.assert_close(bilinear(inside, 10).sum(-1), torch.ones(50, dtype=F64))
    edge = torch.tensor([-1.1, -1.0, 1.0, 1.1], dtype=F64)  # a pixel is 0.2 wide
    torch.testing.assert_close(bilinear(edge, 10).sum(-1), torch.tensor([0, 0.5, 0.5, 0], dtype=F64))


@pytest.mark.parametrize("size", [(32, 32), (32, 64)])
def test_writing_undoes_reading_on_smooth_images(size):
    like = torch.zeros(1, dtype=F64)
    x, y = pixel_centres(size[1], like), pixel_centres(size[0], like)[:, None]
    image = (torch.sin(2 * x + 1) * torch.cos(3 * y))[None, None]
    centre, extent = torch.tensor([[[0.1, -0.2]]], dtype=F64), torch.tensor([[[0.5, 0.6]]], dtype=F64)
    n = 40
    canvas = write(read(image, centre, extent, n), centre, extent, *size)[0, 0]
    inside = ((x - 0.1).abs() < 0.5 * (1 - 1 / n)) & ((y + 0.2).abs() < 0.6 * (1 - 1 / n))
    # each of the two interpolations errs by at most an eighth of the second derivative times its step squared
    bound = (4 + 9) / 8 * ((2 / 32) ** 2 + (2 * 0.6 / n) ** 2)
    assert ((canvas - image[0, 0])[inside.expand(size)[None]].abs()).max() < bound
    outside = ((x - 0.1).abs() > 0.5 * (1 + 1 / n)) | ((y + 0.2).abs() > 0.6 * (1 + 1 / n))
    assert (canvas[outside.expand(size)[None]] == 0).all()


def test_box_cover_is_the_covered_share_of_each_pixel():
    centre, extent = torch.tensor([0.13, -0.9], dtype=F64), torch.tensor([0.31, 0.4], dtype=F64)
    pixels = pixel_centres(16, centre)
    fine = torch.linspace(-1, 1, 16 * 1000 + 1, dtype=F64)[:-1] + 1 / 16000
    within = ((fine - centre[:, None]).abs() < extent[:, None]).double().unflatten(-1, (16, 1000)).mean(-1)
    torch.testing.assert_close(box_cover(pixels, centre, extent, 2 / 16), within, rtol=0, atol=2e-3)
