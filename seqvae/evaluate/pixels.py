"""Errors of decoded frames, and of pictures that need no model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from seqvae import metrics
from seqvae.types import UserError


class PixelErrors:
    """Pixel errors of a model's frames, from frame `first` on, and of trivial pictures where it predicts.

    mode: "grey" compares clipped channel sums (balls on black), "rgb" channels; "auto" takes grey where
    most of the data's pixels are exactly black.

    Raises:
        UserError: unknown mode.
    """

    def __init__(self, frames: UInt8[np.ndarray, "n t h w c"], mode: str, context: int, first: int):
        if mode not in ("auto", "grey", "rgb"):
            raise UserError(f"pixels={mode}: expected auto, grey or rgb")
        black = float((frames[:, 0] == 0).all(-1).mean())
        self.mode = ("grey" if black > 0.5 else "rgb") if mode == "auto" else mode
        self.context, self.first = context, first
        self.mean = self._mean(frames)

    def block(
        self, predicted: Float[np.ndarray, "n t h w _"], frames: UInt8[np.ndarray, "n t h w c"]
    ) -> dict[str, Float[np.ndarray, "n _"]]:
        """Row -> errors. predicted: what the model makes of the same frames, from frame 1 on."""
        truth, model = self.reduce(frames / np.float32(255)), self.reduce(predicted)
        truth, model = np.broadcast_arrays(truth, model)  # where only one of them is grey
        later = slice(self.context, None)
        rows = {"model": metrics.pixel_mse(model[:, self.first - 1 :], truth[:, self.first - 1 :])}
        if predicted.shape[1] > self.context:
            copy = truth[:, self.context - 1 : self.context]
            for row, picture in {
                "copy of the last frame": copy,
                "mean frame": self.mean,
                "black": np.zeros_like(self.mean),
            }.items():
                rows[row] = np.square(truth[:, later] - picture).mean((-3, -2, -1))
        return rows

    def reduce(self, frames: Float[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "n t h w _"]:
        """Frames as they are compared."""
        frames = metrics.without_repeats(frames)
        return metrics.grey(frames) if self.mode == "grey" else frames

    def _mean(self, frames: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "1 1 h w _"]:
        """The mean of all frames, as they are compared."""
        means = (self.reduce(clip[None] / np.float32(255)).mean(1, keepdims=True) for clip in frames)
        return sum(means) / np.float32(len(frames))
