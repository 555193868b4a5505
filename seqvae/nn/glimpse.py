"""Glimpses of an image: axis-aligned spatial transformers (Jaderberg et al. 2015, arXiv 1506.02025).

Positions and half-extents are (x, y), x in half-widths and y in half-heights: the image spans [-1, 1], x to
the right and y down. Bilinear sampling of an axis-aligned box is separable, so a glimpse is read or pasted
by one small matrix product per axis.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqvae.nn.native import call_in_parts, usable

SOURCE = Path(__file__).with_name("glimpse.c")  # reads glimpses, on the CPU


def pixel_centres(size: int, like: Tensor) -> Float[Tensor, "size"]:
    """Return the coordinates, in [-1, 1], of the pixel centres along an axis of `size` pixels."""
    return (2 * torch.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1


def sample_points(centre: Float[Tensor, "*b"], extent: Float[Tensor, "*b"], n: int) -> Float[Tensor, "*b n"]:
    """Return the image coordinates of the n samples of a glimpse along one axis."""
    return centre[..., None] + extent[..., None] * pixel_centres(n, centre)


def bilinear(points: Float[Tensor, "*b n"], size: int) -> Float[Tensor, "*b n size"]:
    """Return the weights of the pixels along an axis in the value at each point; 0 outside of the image."""
    at_pixel = (points + 1) * (size / 2) - 0.5  # pixel centres are at 0, 1, ..., size - 1
    pixels = torch.arange(size, device=points.device, dtype=points.dtype)
    return (1 - (at_pixel[..., None] - pixels).abs()).relu_()


def read(
    image: Float[Tensor, "b c h w"], centre: Float[Tensor, "b k 2"], extent: Float[Tensor, "b k 2"], n: int
) -> Float[Tensor, "b k c n n"]:
    """Return glimpses of n x n samples at centre +- extent."""
    if usable(SOURCE, image, centre, extent) and not (torch.is_grad_enabled() and image.requires_grad):
        return _Read.apply(image.contiguous(), centre.contiguous(), extent.contiguous(), n)
    (_, _, h, w), (cx, cy), (ex, ey) = image.shape, centre.unbind(-1), extent.unbind(-1)
    across = bilinear(sample_points(cx, ex, n), w)  # b k j w
    down = bilinear(sample_points(cy, ey, n), h)  # b k i h
    rows = einsum(down, image, "b k i h, b c h w -> b k c i w")
    return einsum(rows, across, "b k c i w, b k j w -> b k c i j")


class _Read(torch.autograd.Function):
    """`read`, with its gradient with respect to centre and extent, by glimpse.c."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, centre: Tensor, extent: Tensor, n: int):
        ctx.save_for_backward(image, centre, extent)
        ctx.n = n
        glimpses = image.new_empty(*centre.shape[:2], image.shape[1], n, n)
        _in_parts("read_glimpses", n, image, centre, extent, glimpses)
        return glimpses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor):
        image, centre, extent = ctx.saved_tensors
        d_centre, d_extent = torch.empty_like(centre), torch.empty_like(extent)
        given = (image, centre, extent, grad.contiguous())
        _in_parts("read_gradient", ctx.n, *given, d_centre, d_extent)
        return None, d_centre, d_extent, None


class _Sizes(ctypes.Structure):
    """The struct `Sizes` of glimpse.c."""

    _fields_ = [(name, ctypes.c_int) for name in ("batch", "slots", "channels", "height", "width", "n")]


def _in_parts(function: str, n: int, image: Tensor, centre: Tensor, *others: Tensor) -> None:
    """Call a function of glimpse.c."""

    def arguments(part: slice) -> tuple[Any, ...]:
        sizes = _Sizes(part.stop - part.start, centre.shape[1], *image.shape[1:], n)
        return sizes, *(x[part] for x in (image, centre, *others))

    call_in_parts(SOURCE, function, len(centre), arguments, 128)


def write(
    glimpse: Float[Tensor, "b k c n n"],
    centre: Float[Tensor, "b k 2"],
    extent: Float[Tensor, "b k 2"],
    height: int,
    width: int,
) -> Float[Tensor, "b k c h w"]:
    """Paste each glimpse at centre +- extent on an empty canvas: the inverse transform of `read`."""
    n, (cx, cy), (ex, ey) = glimpse.shape[-1], centre.unbind(-1), extent.unbind(-1)
    # the pixels in coordinates of the glimpse, whose samples they interpolate
    across = bilinear((pixel_centres(width, centre) - cx[..., None]) / ex[..., None], n)  # b k w n
    down = bilinear((pixel_centres(height, centre) - cy[..., None]) / ey[..., None], n)  # b k h n
    rows = einsum(down, glimpse, "b k h i, b k c i j -> b k c h j")
    return einsum(rows, across, "b k c h j, b k w j -> b k c h w")


def blob(n: int, peak: float, fall: float) -> Float[Tensor, "n n"]:
    """Return peak - fall * r^2 on n x n samples, with r from 0 in the centre to 1 at the edges."""
    axis = torch.linspace(-1, 1, n)
    return peak - fall * (axis.square() + axis.square()[:, None])


def box_cover(
    points: Float[Tensor, "*#b n"], centre: Float[Tensor, "*#b"], extent: Float[Tensor, "*#b"], pixel: float
) -> Float[Tensor, "*_ n"]:
    """Return the share of the pixels at the points that the interval centre +- extent covers.

    It is exact for intervals at least a pixel wide.

    pixel: width of a pixel, in the units of the points
    """
    inside = extent[..., None] - (points - centre[..., None]).abs()  # from the nearer edge; < 0 outside
    return (0.5 + inside / pixel).clamp(0, 1)


def uncovered_share(down: Float[Tensor, "*b h"], across: Float[Tensor, "*b w"]) -> Float[Tensor, "*b h w"]:
    """Return 1 - down_i across_j: the share of each pixel outside of a box with these covers per axis.

    One matrix product per box, so that the gradient keeps no further tensor of the size of an image.
    """
    columns, rows = down.flatten(0, -2)[:, :, None], across.flatten(0, -2)[:, None]  # m h 1, m 1 w
    one = down.new_ones(()).expand(len(columns), down.shape[-1], across.shape[-1])
    return torch.baddbmm(one, columns, rows, alpha=-1).unflatten(0, down.shape[:-1])
