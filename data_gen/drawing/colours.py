"""Colours at random or from a palette, and which colour goes with which shape."""

from __future__ import annotations

import numpy as np

PALETTE = {
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "magenta": (1.0, 0.0, 1.0),
    "cyan": (0.0, 1.0, 1.0),
}


# Ranges of saturation and value of a random colour: strong, and bright on dark backgrounds.
_STRONG = (0.6, 1.0), (0.7, 1.0)


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Hue, saturation and value "... 3" in [0, 1] as red, green and blue "... 3" in [0, 1]."""
    hue, saturation, value = np.moveaxis(hsv[..., None, :], -1, 0)
    sector = (6 * hue + np.array([5.0, 3.0, 1.0])) % 6
    return value * (1 - saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1))


def draw_hsv(
    n: int, k: int, rng: np.random.Generator, *, repeat: bool = True, strong: tuple = _STRONG
) -> np.ndarray:
    """Random colours, RGB "n k 3": uniform in hue, saturation and value.

    repeat: False gives the k hues of a row parts of the circle of their own, at least 1 / 2k apart.
    strong: ranges of saturation and of value.
    """
    hue = rng.random((n, k))
    if not repeat:
        parts = rng.permuted(np.broadcast_to(np.arange(k), (n, k)), axis=1)
        hue = (rng.random((n, 1)) + (parts + hue / 2) / k) % 1
    saturation, value = (rng.uniform(*span, (n, k)) for span in strong)
    return hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))


def draw_named(
    n: int, k: int, allowed: np.ndarray, rng: np.random.Generator, *, repeat: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of colours and shapes, int64 "n k" each, of allowed combinations only.

    allowed: bool "colours shapes". Colours that go with some shape are equally frequent, and so are the
        shapes that go with a colour.
    repeat: False makes the colours of a row differ; there must be k that go with some shape.
    """
    usable = np.flatnonzero(allowed.any(axis=1))
    if repeat:
        colors = usable[rng.integers(len(usable), size=(n, k))]
    else:
        colors = rng.permuted(np.broadcast_to(usable, (n, len(usable))), axis=1)[:, :k]
    shapes = np.where(allowed[colors], rng.random((n, k, allowed.shape[1])), -1.0).argmax(axis=-1)
    return colors, shapes


def palette(names: tuple[str, ...]) -> np.ndarray:
    """The colours of these names, RGB "k 3" in [0, 1]."""
    return np.array([PALETTE[name] for name in names])
