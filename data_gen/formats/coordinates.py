"""Positions of other programs in the units of a dataset: [0, coord_limit] over width and over height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError
from data_gen.formats.resizing import Resizing
from data_gen.lazy import LazyArray


@dataclass(frozen=True)
class Coordinates:
    """Units of positions in a file, x to the right and y down, and their conversion.

    kind: "pixels" from the corner of the picture, "unit" [0, 1], "signed" [-1, 1], or the number L of [0, L]
    resizing: of the pictures
    """

    kind: str | float
    resizing: Resizing

    @property
    def limit(self) -> float:
        """Width of the converted picture in the dataset's units."""
        named = {"pixels": float(self.resizing.new[1]), "unit": 1.0, "signed": 2.0}
        return named[self.kind] if isinstance(self.kind, str) else float(self.kind)

    def positions(self, array: np.ndarray) -> np.ndarray:
        """Convert positions "... 2"."""
        left, top, kept_width, kept_height = self.resizing.box
        height, width = self.resizing.old
        x_size, y_size = self._picture_size()
        origin = 1.0 if self.kind == "signed" else 0.0
        x = self.limit * (width * (origin / x_size) - left) / kept_width
        y = self.limit * (height * (origin / y_size) - top) / kept_height
        return array * self._factors() + np.array([x, y])

    def vectors(self, array: np.ndarray) -> np.ndarray:
        """Convert velocities "... 2"."""
        return array * self._factors()

    def lengths(self, array: np.ndarray) -> np.ndarray:
        """Convert sizes, measured as x is."""
        return array * self._factors()[0]

    def _picture_size(self) -> tuple[float, float]:
        """Return width and height of the picture in the units of the file."""
        height, width = self.resizing.old
        named = {"pixels": (float(width), float(height)), "unit": (1.0, 1.0), "signed": (2.0, 2.0)}
        return named[self.kind] if isinstance(self.kind, str) else (float(self.kind), float(self.kind))

    def _factors(self) -> np.ndarray:
        _, _, kept_width, kept_height = self.resizing.box
        height, width = self.resizing.old
        x_size, y_size = self._picture_size()
        return np.array(
            [self.limit / x_size * (width / kept_width), self.limit / y_size * (height / kept_height)]
        )


def check_coordinates(name: str, array: LazyArray, coordinates: Coordinates) -> None:
    """Raise DataError if positions contradict the units that an option gives them."""
    low, high, inside, count = np.inf, -np.inf, 0, 0
    (width, height), origin = coordinates._picture_size(), float(coordinates.kind == "signed")
    for block in array.blocks():
        known = block[np.isfinite(block).all(-1)]
        if not len(known):
            continue
        low, high = min(low, float(known.min())), max(high, float(known.max()))
        inside += int(((known >= -origin) & (known <= np.array([width, height]) - origin)).all(-1).sum())
        count += len(known)
    told = (
        f"{name}: holds numbers from {low:g} to {high:g}, which coordinates={coordinates.kind} does not fit"
    )
    if count and inside < count / 2:
        raise DataError(f"{told}: most lie outside the picture")
    if coordinates.kind == "pixels" and count and max(-low, high) <= 1:
        raise DataError(f"{told}; is it coordinates=unit or coordinates=signed")
