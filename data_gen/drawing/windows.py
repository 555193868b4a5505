"""Objects laid over each other, window by window: colours blended by coverage, and labels.

A window is a square of w pixels around an object that holds all pixels it may cover.

    x <- (1 - a) x + a colour,   from the farthest object to the nearest, a the coverage of a pixel
    label                        the nearest object that a pixel is inside of
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def pixel_shares(size: int) -> np.ndarray:
    """Return the centres of the pixels along an edge, as shares of it."""
    return (np.arange(size) + 0.5) / size


def place_windows(positions: np.ndarray, reach: float, size: int) -> tuple[np.ndarray, int]:
    """Return the upper left pixel of the window of each object, "m k 2", and the width of all windows.

    positions, reach: centres "m k 2", and the largest extent to each side, as shares of the picture's edge.
    """
    width = min(int(2 * reach * size) + 1, size)
    corners = np.ceil((positions - reach) * size - 0.5)
    return np.clip(corners, 0, size - width).astype(np.intp), width


def window_offsets(positions: np.ndarray, corners: np.ndarray, width: int, size: int) -> np.ndarray:
    """Return columns and rows of each window from the centre of its object, "m k 2 w", as shares."""
    return pixel_shares(size)[corners[..., None] + np.arange(width)] - positions[..., None]


def blend(
    planes: np.ndarray, colours: np.ndarray, coverage: np.ndarray, corners: np.ndarray, layers: np.ndarray
) -> None:
    """Blend objects into planes "m c size size", float32, from the farthest to the nearest.

    colours: "m k c", in the units of the planes.
    coverage: "m k w w", in [0, 1].
    layers: "m k", higher is nearer; of equal ones the later is.
    """
    windows = sliding_window_view(planes, coverage.shape[-2:], axis=(2, 3), writeable=True)
    colours = colours.astype(np.float32)[..., None, None]  # m k c 1 1
    frame = np.arange(len(planes))
    for k in _far_to_near(layers):
        column, row = corners[frame, k].T
        behind = windows[frame, :, row, column]  # m c w w
        change = colours[frame, k] - behind
        change *= coverage[frame, k][:, None]
        windows[frame, :, row, column] = behind + change


def label(masks: np.ndarray, inside: np.ndarray, corners: np.ndarray, layers: np.ndarray) -> None:
    """Write the label k + 1 of the nearest object into masks "m size size", where it is inside "m k w w"."""
    windows = sliding_window_view(masks, inside.shape[-2:], axis=(1, 2), writeable=True)
    frame = np.arange(len(masks))
    for k in _far_to_near(layers):
        column, row = corners[frame, k].T
        labels = windows[frame, row, column]  # m w w
        np.copyto(labels, (k + 1).astype(np.uint8)[:, None, None], where=inside[frame, k])
        windows[frame, row, column] = labels


def _far_to_near(layers: np.ndarray) -> Iterator[np.ndarray]:
    """Yield one object per frame, "m", the farthest first: layers "m k"."""
    yield from np.argsort(layers, axis=1, kind="stable").T
