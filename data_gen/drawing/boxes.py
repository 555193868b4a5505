"""Shapes that fill a box, as signed distances.

A box has half edges a across and b down, and its middle at the origin, y down. Distances are negative inside,
exact for rectangles, and of first order in the distance otherwise. Their sign is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# From coordinates x, y and half edges a, b to the signed distance, all in one unit, by broadcasting.
Distance = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _ellipse(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = (x / a) ** 2 + (y / b) ** 2
    # |(x / a, y / b)| - 1 over the length of its gradient
    slope = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2)
    return (squared - np.sqrt(squared)) / np.maximum(slope, np.finfo(np.float32).tiny)


def _rectangle(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x) - a, np.abs(y) - b)


def _triangle(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Isosceles, on the lower edge of the box, with its tip in the middle of the upper one."""
    side = (np.abs(x) / a - (y + b) / (2 * b)) / np.sqrt(1 / a**2 + 1 / (4 * b**2))
    return np.maximum(side, y - b)


def _diamond(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (np.abs(x) / a + np.abs(y) / b - 1) / np.sqrt(1 / a**2 + 1 / b**2)


BOX_SHAPES: dict[str, Distance] = {
    "circle": _ellipse,
    "rectangle": _rectangle,
    "triangle": _triangle,
    "diamond": _diamond,
}


def box_distances(
    offsets: np.ndarray, extents: np.ndarray, shapes: np.ndarray, present: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """Return signed distances in pixels at the pixels of windows, float32 "m k w w"; w for absent objects.

    offsets: columns and rows of each window from the middle of its box, pixels, "m k 2 w".
    extents: half edges a and b of the boxes, pixels, "m k 2".
    shapes: indices into names, "m k".  present: bool "m k".
    """
    width = offsets.shape[-1]
    distance = np.full((*shapes.shape, width, width), width, np.float32)
    for index, name in enumerate(names):
        chosen = np.nonzero(present & (shapes == index))  # o objects
        x, y = offsets[chosen].astype(np.float32).swapaxes(0, 1)  # o w
        a, b = extents[chosen].astype(np.float32).T[..., None, None]  # o 1 1
        distance[chosen] = BOX_SHAPES[name](x[:, None, :], y[:, :, None], a, b)
    return distance
