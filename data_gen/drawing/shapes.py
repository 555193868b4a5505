"""Flat shapes as signed distances, painted one over the other, anti-aliased, with masks of what is seen.

A shape has the area of the unit disc, its centroid at the origin, and y down as in pictures. So an object of
radius r covers pi r^2 whatever its shape, and its position is the centre of mass of what is seen of it.
Distances are negative inside, exact near straight edges and circles, and first-order near an ellipse. Their
sign is exact.

    distance d, in pixels, of a pixel's centre from the edge of an object, negative inside
    coverage a = clip(1/2 - d, 0, 1),   x <- (1 - a) x + a colour,   from the farthest object to the nearest
    mask     the nearest object with d < 0, that is, that holds the pixel's centre

The centre of column i is at (i + 1/2) / size of the picture's width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Shape(NamedTuple):
    """distance(x, y): coordinates in radii -> signed distance in radii.  reach: of its farthest point."""

    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    reach: float


_SQUARE = np.sqrt(np.pi) / 2  # half an edge

_WIDE = np.sqrt(1.5)  # half axes of the ellipse: _WIDE across, 1 / _WIDE down

_TRIANGLE = np.sqrt(np.pi / np.sqrt(27))  # radius of the circle inside; twice it is that outside

# The heart: a square on its corner, and discs over its two upper edges with the edges as diameters.
_HEART = np.sqrt(np.pi / (4 + np.pi))  # half an edge of the square, radius of the discs
_LIFT = np.pi * (1 + 4 / (3 * np.pi)) / (4 + np.pi) * _HEART / np.sqrt(2)  # of the centroid over the square's


def _square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - _SQUARE


def _ellipse(x, y):
    x, y = x * (1 / _WIDE), y * _WIDE
    squared = x * x + y * y
    # |(x, y)| - 1 over the length of its gradient in the original coordinates
    slope = np.sqrt((x * (1 / _WIDE)) ** 2 + (y * _WIDE) ** 2)
    return (squared - np.sqrt(squared)) / np.maximum(slope, np.finfo(float).tiny)


def _triangle(x, y):
    return np.maximum(y, np.sqrt(0.75) * np.abs(x) - 0.5 * y) - _TRIANGLE


def _heart(x, y):
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


BATCH = 64  # frames painted at once: their planes then fit into a core's second-level cache


def backdrop(colors: np.ndarray, waves: np.ndarray | None, size: int) -> np.ndarray:
    """Planes "m 3 size size", float32: two colours "m 2 3", blended by a sum of waves (None: the first).

    waves: "m w 3", each cycles a picture to the right and down, and a phase in radians.
    """
    colors = colors.astype(np.float32)
    planes = np.empty((len(colors), 3, size, size), np.float32)
    planes[:] = colors[:, 0, :, None, None]
    if waves is None:
        return planes
    across, down = (2 * np.pi * waves[..., i, None] * pixel_centres(size) for i in (0, 1))
    across += waves[..., 2, None]
    # sin(across + down), summed over waves, is one product of matrices a frame.
    columns = np.concatenate([np.sin(across), np.cos(across)], axis=1).astype(np.float32)
    rows = np.concatenate([np.cos(down), np.sin(down)], axis=1).astype(np.float32)
    share = 0.5 + 0.5 / waves.shape[1] * (rows.swapaxes(1, 2) @ columns)
    planes += (colors[:, 1] - colors[:, 0])[:, :, None, None] * share[:, None]
    return planes


def paint(
    planes: np.ndarray,
    masks: np.ndarray,
    objects: dict[str, np.ndarray],
    shape_names: Sequence[str],
    radius: float,
) -> None:
    """Paint objects into planes "m 3 size size", float32, and their labels k + 1 into masks "m size size".

    objects: arrays "m k": positions (with 2 behind), radii, angles, shapes (indices into shape_names),
        colors (with 3 behind, in the units of the planes), layers (higher is nearer) and present.
    radius: none is larger.
    """
    size = planes.shape[-1]
    reach = radius * max(SHAPES[name].reach for name in shape_names) + 0.5 / size
    width = min(int(2 * reach * size) + 1, size)
    corners = np.ceil((objects["positions"] - reach) * size - 0.5)
    corners = np.clip(corners, 0, size - width).astype(np.intp)
    distance = _distances(objects, corners, width, shape_names, size)
    inside = distance < 0
    coverage = np.clip(np.float32(0.5) - distance, 0, 1, out=distance)

    windows = sliding_window_view(planes, (width, width), axis=(2, 3), writeable=True)
    labels = sliding_window_view(masks, (width, width), axis=(1, 2), writeable=True)
    colors = objects["colors"].astype(np.float32)[..., None, None]
    frame = np.arange(len(planes))
    for which in np.argsort(objects["layers"], axis=1).T:  # the farthest of every frame, then the next
        column, row = corners[frame, which].T
        behind = windows[frame, :, row, column]
        over = colors[frame, which] - behind
        over *= coverage[frame, which][:, None]
        windows[frame, :, row, column] = behind + over
        seen = labels[frame, row, column]
        np.copyto(seen, (which + 1).astype(np.uint8)[:, None, None], where=inside[frame, which])
        labels[frame, row, column] = seen


def _distances(objects, corners, width, shape_names, size):
    """Distances in pixels, float32 "m k width width", at the pixels of windows; of the absent, large."""
    distance = np.full((*corners.shape[:2], width, width), size, np.float32)
    away = pixel_centres(size)[corners[..., None] + np.arange(width)] - objects["positions"][..., None]
    away /= objects["radii"][..., None, None]
    cos, sin = np.cos(objects["angles"]), np.sin(objects["angles"])
    for index, name in enumerate(shape_names):
        which = np.nonzero(objects["present"] & (objects["shapes"] == index))
        (x, y), c, s = away[which].swapaxes(0, 1), cos[which][:, None], sin[which][:, None]
        along = (c * x)[:, None, :] + (s * y)[:, :, None]
        across = (c * y)[:, :, None] - (s * x)[:, None, :]
        far = SHAPES[name].distance(along, across)
        far *= (objects["radii"][which] * size)[:, None, None]
        distance[which] = far
    return distance


def hang_curtain(planes: np.ndarray, masks: np.ndarray, edges: Sequence[float], color: np.ndarray) -> None:
    """Cover the columns between two edges, as shares of the width, with a colour "3"; what is behind has no
    label."""
    size = planes.shape[-1]
    left, right = edges
    columns = np.arange(size)
    covered = np.clip(np.minimum(right * size, columns + 1) - np.maximum(left * size, columns), 0, 1)
    planes += (color.astype(np.float32)[:, None, None] - planes) * covered.astype(np.float32)
    centres = pixel_centres(size)
    masks[..., (centres > left) & (centres < right)] = 0


def pixel_centres(size: int) -> np.ndarray:
    """Centres of the pixels along an edge, as shares of it."""
    return (np.arange(size) + 0.5) / size


def to_bytes(planes: np.ndarray) -> np.ndarray:
    """Planes "m 3 h w" in [0, 255] as frames, uint8 "m h w 3", rounded half up."""
    # By way of int32, because NumPy turns floats into bytes one by one.
    whole = (planes + np.float32(0.5)).astype(np.int32)
    return np.ascontiguousarray(np.moveaxis(whole, 1, -1), dtype=np.uint8)
