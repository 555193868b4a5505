"""Colours of objects: a palette, random colours, and allowed combinations of colour and shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PALETTE = {
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "magenta": (1.0, 0.0, 1.0),
    "cyan": (0.0, 1.0, 1.0),
}

Ranges = tuple[tuple[float, float], tuple[float, float]]

# Ranges of saturation and value of random colours: strong, and bright on dark backgrounds.
STRONG: Ranges = (0.6, 1.0), (0.7, 1.0)


def palette_rgb(names: Sequence[str]) -> np.ndarray:
    """Return the colours of these names, RGB "k 3" in [0, 1]."""
    return np.array([PALETTE[name] for name in names])


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Convert hue, saturation and value "... 3" to red, green and blue "... 3", all in [0, 1]."""
    hue, saturation, value = np.moveaxis(hsv[..., None, :], -1, 0)
    sector = (6 * hue + np.array([5.0, 3.0, 1.0])) % 6
    return value * (1 - saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1))


def sample_hsv(
    n: int, k: int, rng: np.random.Generator, *, repeat: bool = True, ranges: Ranges = STRONG
) -> np.ndarray:
    """Sample colours, RGB "n k 3", uniform in hue, saturation and value.

    repeat: False assigns the k hues of a row to separate sectors of the circle, at least 1 / 2k apart.
    ranges: of saturation and of value.
    """
    hue = rng.random((n, k))
    if not repeat:
        sector = rng.permuted(np.broadcast_to(np.arange(k), (n, k)), axis=1)
        hue = (rng.random((n, 1)) + (sector + hue / 2) / k) % 1
    saturation, value = (rng.uniform(low, high, (n, k)) for low, high in ranges)
    return hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))


def sample_combinations(
    n: int, k: int, allowed: np.ndarray, rng: np.random.Generator, *, repeat: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Sample indices of colours and of shapes, int64 "n k" each, in allowed combinations only.

    allowed: bool "colours shapes". Colours that go with some shape are equally frequent, and so are the
        shapes that go with a colour.
    repeat: False makes the colours of a row differ; there must be k that go with some shape.
    """
    usable = np.flatnonzero(allowed.any(axis=1))
    if repeat:
        colours = usable[rng.integers(len(usable), size=(n, k))]
    else:
        colours = rng.permuted(np.broadcast_to(usable, (n, len(usable))), axis=1)[:, :k]
    shapes = np.where(allowed[colours], rng.random((n, k, allowed.shape[1])), -1.0).argmax(axis=-1)
    return colours, shapes
