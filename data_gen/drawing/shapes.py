"""Flat shapes as signed distances, and their renderer: one over the other, anti-aliased, with exact masks.

A shape has the area of the unit disc, its centroid at the origin, and y down as in pictures. So an object of
radius r covers pi r^2 whatever its shape, and its position is its centre of mass. Distances are negative
inside, exact near straight edges and circles, and of first order near an ellipse. Their sign is exact.

    distance d, in pixels, of a pixel's centre from the edge of an object, negative inside
    coverage a = clip(1/2 - d, 0, 1),   x <- (1 - a) x + a colour,   from the farthest object to the nearest
    mask     the nearest object with d < 0, that is, one that contains the pixel's centre

The centre of column i is at (i + 1/2) / size of the picture's width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_gen.drawing.windows import blend, label, pixel_shares, place_windows, window_offsets


class Shape(NamedTuple):
    """Shape of the area of the unit disc.

    distance: from coordinates x, y in radii to the signed distance in radii
    reach: distance of the farthest point from the centroid, in radii
    """

    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    reach: float


_SQUARE = np.sqrt(np.pi) / 2  # half an edge

_WIDE = np.sqrt(1.5)  # half axes of the ellipse: _WIDE across, 1 / _WIDE down

_TRIANGLE = np.sqrt(np.pi / np.sqrt(27))  # radius of the incircle; the circumcircle has twice that

# The heart: a square on its corner, and discs over its two upper edges with the edges as diameters.
_HEART = np.sqrt(np.pi / (4 + np.pi))  # half an edge of the square, radius of the discs
# The centroid lies this far above that of the square.
_LIFT = np.pi * (1 + 4 / (3 * np.pi)) / (4 + np.pi) * _HEART / np.sqrt(2)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - _SQUARE


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x * (1 / _WIDE), y * _WIDE
    squared = x * x + y * y
    # |(x, y)| - 1 over the length of its gradient in the original coordinates
    slope = np.sqrt((x * (1 / _WIDE)) ** 2 + (y * _WIDE) ** 2)
    return (squared - np.sqrt(squared)) / np.maximum(slope, np.finfo(float).tiny)


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(y, np.sqrt(0.75) * np.abs(x) - 0.5 * y) - _TRIANGLE


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), y - _LIFT  # both halves are alike; from the centre of the square
    along, across = (x + y) * np.sqrt(0.5), (x - y) * np.sqrt(0.5)
    square = np.maximum(np.abs(along), np.abs(across))
    disc = np.sqrt(along**2 + (across - _HEART) ** 2)
    return np.minimum(square, disc) - _HEART


SHAPES = {
    "square": Shape(_square, _SQUARE * np.sqrt(2)),
    "ellipse": Shape(_ellipse, _WIDE),
    "heart": Shape(_heart, _HEART * np.sqrt(2) + _LIFT),
    "triangle": Shape(_triangle, 2 * _TRIANGLE),
}


def render_background(colours: np.ndarray, waves: np.ndarray | None, size: int) -> np.ndarray:
    """Draw planes "m 3 size size", float32: two colours "m 2 3", blended by a sum of waves.

    waves: "m w 3", cycles per picture to the right and down, and a phase in radians; None for the first
        colour alone.
    """
    colours = colours.astype(np.float32)
    planes = np.empty((len(colours), 3, size, size), np.float32)
    planes[:] = colours[:, 0, :, None, None]
    if waves is None:
        return planes
    across, down = (2 * np.pi * waves[..., i, None] * pixel_shares(size) for i in (0, 1))  # m w size
    across += waves[..., 2, None]
    # sin(across + down), summed over waves, is one product of matrices per frame.
    columns = np.concatenate([np.sin(across), np.cos(across)], axis=1).astype(np.float32)
    rows = np.concatenate([np.cos(down), np.sin(down)], axis=1).astype(np.float32)
    share = 0.5 + 0.5 / waves.shape[1] * (rows.swapaxes(1, 2) @ columns)  # m size size, of the second colour
    planes += (colours[:, 1] - colours[:, 0])[:, :, None, None] * share[:, None]
    return planes


def render_sprites(
    planes: np.ndarray,
    masks: np.ndarray,
    objects: Mapping[str, np.ndarray],
    shape_names: Sequence[str],
    max_radius: float,
) -> None:
    """Draw objects into planes "m 3 size size", float32, and their labels k + 1 into masks "m size size".

    objects: arrays "m k": positions "m k 2", radii, angles, shapes (indices into shape_names), colors "m k 3"
        (in the units of the planes), layers (higher is nearer) and present.
    max_radius: at least the radius of every object.
    """
    # 1. Place a window of w pixels around each object, and compute the distances of its pixels.
    size = planes.shape[-1]
    reach = max_radius * max(SHAPES[name].reach for name in shape_names) + 0.5 / size
    corners, width = place_windows(objects["positions"], reach, size)
    distance = _signed_distances(objects, corners, width, shape_names, size)  # m k w w
    # 2. Lay the objects over each other.
    label(masks, distance < 0, corners, objects["layers"])
    coverage = np.clip(np.float32(0.5) - distance, 0, 1, out=distance)
    blend(planes, objects["colors"], coverage, corners, objects["layers"])


def _signed_distances(
    objects: Mapping[str, np.ndarray],
    corners: np.ndarray,
    width: int,
    shape_names: Sequence[str],
    size: int,
) -> np.ndarray:
    """Return distances in pixels at the pixels of windows, float32 "m k w w"; `size` for absent objects."""
    distance = np.full((*corners.shape[:2], width, width), size, np.float32)
    # 1. Offsets of columns and rows from the centre of the object, in radii: m k 2 w.
    offset = window_offsets(objects["positions"], corners, width, size)
    offset /= objects["radii"][..., None, None]
    cos, sin = np.cos(objects["angles"]), np.sin(objects["angles"])  # m k
    for index, name in enumerate(shape_names):
        # 2. Select the o objects of this shape, and turn the offsets into their axes: o w w.
        chosen = np.nonzero(objects["present"] & (objects["shapes"] == index))
        (x, y), c, s = offset[chosen].swapaxes(0, 1), cos[chosen][:, None], sin[chosen][:, None]
        along = (c * x)[:, None, :] + (s * y)[:, :, None]
        across = (c * y)[:, :, None] - (s * x)[:, None, :]
        # 3. Evaluate the distance, and scale it from radii to pixels.
        in_radii = SHAPES[name].distance(along, across)
        in_radii *= (objects["radii"][chosen] * size)[:, None, None]
        distance[chosen] = in_radii
    return distance


def draw_curtain(
    planes: np.ndarray, masks: np.ndarray, edges: tuple[float, float], colour: np.ndarray
) -> None:
    """Cover the columns between two edges, in shares of the width, with a colour "3".

    Pixels behind the curtain belong to no object.
    """
    size = planes.shape[-1]
    left, right = edges
    columns = np.arange(size)
    covered = np.clip(np.minimum(right * size, columns + 1) - np.maximum(left * size, columns), 0, 1)
    planes += (colour.astype(np.float32)[:, None, None] - planes) * covered.astype(np.float32)
    centres = pixel_shares(size)
    masks[..., (centres > left) & (centres < right)] = 0


def halve(planes: np.ndarray) -> np.ndarray:
    """Average planes "... 2h 2w" two by two: "... h w"."""
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def to_uint8(planes: np.ndarray) -> np.ndarray:
    """Convert planes "m 3 h w" in [0, 255] to frames, uint8 "m h w 3", rounded half up."""
    # By way of int32, as NumPy converts floats to bytes one by one.
    rounded = (planes + np.float32(0.5)).astype(np.int32)
    return np.ascontiguousarray(np.moveaxis(rounded, 1, -1), dtype=np.uint8)
