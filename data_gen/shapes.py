"""Flat shapes as signed distances: negative inside, vectorised over pixels and objects.

A shape has the area of the unit disc, its centroid at the origin, and y down as in pictures. So an object of
radius r covers pi r^2 whatever its shape, and its position is the centre of mass of what is seen of it.
Distances are exact near straight edges and circles, and first-order near an ellipse. Their sign is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


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
