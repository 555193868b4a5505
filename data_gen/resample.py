"""Frames in another size, by the mean over the area of each new pixel."""

from __future__ import annotations

import numpy as np


def area_average(frames: np.ndarray, size: int) -> np.ndarray:
    """uint8 "n h w c" -> "n size size c"; a new pixel is the mean of what it covers, rounded half up."""
    rows, columns = (_weights(old, size) for old in frames.shape[1:3])
    narrow = np.einsum("xw,nhwc->nhxc", columns, frames.astype(np.float32), optimize=True)
    small = np.einsum("yh,nhxc->nyxc", rows, narrow, optimize=True)
    return np.minimum(small + 0.5, 255).astype(np.uint8, order="C")


def _weights(old: int, new: int) -> np.ndarray:
    """Share of each new pixel that lies on each old one, float32 "new old"; rows sum to 1."""
    edges = np.arange(new + 1)[:, None] * (old / new)
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (np.maximum(overlap, 0) * (new / old)).astype(np.float32)
