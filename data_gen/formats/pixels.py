"""Colours of foreign files as bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_gen.errors import DataError


def as_bytes(path: Path, key: str, frames: np.ndarray) -> np.ndarray:
    """Bytes as they are, or numbers in [0, 1] as floor(255 x + 0.5); DataError for everything else."""
    if frames.dtype == np.uint8:
        return frames
    if frames.dtype.kind != "f":
        raise DataError(f"{path}: {key} has type {frames.dtype}, must be uint8, or numbers in [0, 1]")
    low, high = frames.min(), frames.max()
    if not (low >= 0 and high <= 1):  # not a number is neither
        raise DataError(f"{path}: {key} holds values from {low:g} to {high:g}, must be in [0, 1] or uint8")
    return np.floor(frames * 255.0 + 0.5).astype(np.uint8)
