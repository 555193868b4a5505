"""Frames, masks and positions brought to one size: cropped to the middle, or squeezed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.formats import ImportOptions
from data_gen.media.reading import fit, kept_part


@dataclass(frozen=True)
class Resizing:
    """A change of the size of pictures.

    old, new: height and width
    crop: whether to keep the largest part in the middle with the new shape; otherwise all is squeezed
    """

    old: tuple[int, int]
    new: tuple[int, int]
    crop: bool

    @staticmethod
    def of(size: tuple[int, int], options: ImportOptions) -> Resizing:
        """Return the change that options ask of pictures of this size."""
        edge = options.image_size
        return Resizing(size, size if edge is None else (edge, edge), options.crop)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the part of the old picture that is kept, in its pixels."""
        return kept_part(self.old, self.new, self.crop)

    def frames(self, frames: np.ndarray) -> np.ndarray:
        """Resize frames uint8 "... h w 3"."""
        if self.old == self.new:
            return frames
        flat = frames.reshape(-1, *frames.shape[-3:])
        resized = np.stack([fit(np.ascontiguousarray(frame), self.new, self.crop) for frame in flat])
        return resized.reshape(*frames.shape[:-3], *resized.shape[1:])

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Resize labels "... h w": each pixel takes the label at its centre."""
        if self.old == self.new:
            return labels
        left, top, width, height = self.box
        rows = top + (np.arange(self.new[0]) + 0.5) * height / self.new[0]
        columns = left + (np.arange(self.new[1]) + 0.5) * width / self.new[1]
        return labels[..., rows.astype(int)[:, None], columns.astype(int)]

    def note(self, name: str) -> tuple[str, ...]:
        """Return the line that says what happens to the pictures, if anything does."""
        if self.old == self.new:
            return ()
        how = "cropped to the middle and resized" if self.crop else "squeezed"
        (h, w), (new_h, new_w) = self.old, self.new
        return (f"{name}: frames of {w}x{h} {how} to {new_w}x{new_h}",)
