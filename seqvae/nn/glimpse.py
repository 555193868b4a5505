"""Axis-aligned spatial transformers (Jaderberg et al. 2015, arXiv 1506.02025), one axis at a time.

Positions and half-extents are (x, y) in half-widths and half-heights: the image spans [-1, 1] in x (right)
and y (down). Axis-aligned bilinear sampling is separable, so reading a glimpse is two small matrix products.
"""

from __future__ import annotations

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor


def pixel_centres(size: int, like: Tensor) -> Float[Tensor, "size"]:
    """Coordinates of the pixel centres along an axis of `size` pixels, in half-widths."""
    return (2 * torch.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1


def sample_points(centre: Float[Tensor, "*b"], extent: Float[Tensor, "*b"], n: int) -> Float[Tensor, "*b n"]:
    """The n sampling points of a glimpse along one axis, in half-widths of the image."""
    return centre[..., None] + extent[..., None] * pixel_centres(n, centre)


def bilinear(points: Float[Tensor, "*b n"], size: int) -> Float[Tensor, "*b n size"]:
    """Weights with which the pixels of an axis make up the value at each point; 0 outside the image."""
    at_pixel = (points + 1) * (size / 2) - 0.5
    pixels = torch.arange(size, device=points.device, dtype=points.dtype)
    return (1 - (at_pixel[..., None] - pixels).abs()).relu_()


def read(
    image: Float[Tensor, "b c h w"], centre: Float[Tensor, "b k 2"], extent: Float[Tensor, "b k 2"], n: int
) -> Float[Tensor, "b k c n n"]:
    """Glimpses of n x n samples at centre +- extent."""
    (_, _, h, w), (cx, cy), (ex, ey) = image.shape, centre.unbind(-1), extent.unbind(-1)
    across = bilinear(sample_points(cx, ex, n), w)
    down = bilinear(sample_points(cy, ey, n), h)
    rows = einsum(down, image, "b k i h, b c h w -> b k c i w")
    return einsum(rows, across, "b k c i w, b k j w -> b k c i j")


def write(
    glimpse: Float[Tensor, "b k c n n"],
    centre: Float[Tensor, "b k 2"],
    extent: Float[Tensor, "b k 2"],
    height: int,
    width: int,
) -> Float[Tensor, "b k c h w"]:
    """The inverse transform: each glimpse pasted at centre +- extent on an empty canvas."""
    n, (cx, cy), (ex, ey) = glimpse.shape[-1], centre.unbind(-1), extent.unbind(-1)
    across = bilinear((pixel_centres(width, centre) - cx[..., None]) / ex[..., None], n)  # b k w n
    down = bilinear((pixel_centres(height, centre) - cy[..., None]) / ey[..., None], n)  # b k h n
    rows = einsum(down, glimpse, "b k h i, b k c i j -> b k c h j")
    return einsum(rows, across, "b k c h j, b k w j -> b k c h w")


def box_cover(
    points: Float[Tensor, "*#b n"], centre: Float[Tensor, "*#b"], extent: Float[Tensor, "*#b"], pixel: float
) -> Float[Tensor, "*_ n"]:
    """The share of the pixels (of width `pixel`) at the points that an interval centre +- extent covers.

    Exact for intervals at least a pixel wide.
    """
    inside = extent[..., None] - (points - centre[..., None]).abs()
    return (0.5 + inside / pixel).clamp(0, 1)


def beside(down: Float[Tensor, "*b h"], across: Float[Tensor, "*b w"]) -> Float[Tensor, "*b h w"]:
    """1 - down_i across_j: the share of each pixel that is left free by a box with these covers.

    As one matrix product a box, whose gradient needs no further tensor of the size of an image.
    """
    columns, rows = down.flatten(0, -2)[:, :, None], across.flatten(0, -2)[:, None]
    one = down.new_ones(()).expand(len(columns), down.shape[-1], across.shape[-1])
    return torch.baddbmm(one, columns, rows, alpha=-1).unflatten(0, down.shape[:-1])
