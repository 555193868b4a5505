"""Errors of decoded frames, and of pictures that need no model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8

from seqvae import metrics
from seqvae.evaluate.objects import straight_paths
from seqvae.rollout import DECODED, Rollout, device_of
from seqvae.sequence import SequenceModel
from seqvae.types import UserError


@torch.no_grad()
def frames_left_alone(
    model: SequenceModel, rollout: Rollout, clamp: float, wall: Float[np.ndarray, "n s"] | None
) -> dict[str, Float[np.ndarray, "n horizon h w c"]]:
    """Row -> decoded states of the last context frame, of which only the positions move: linear and bouncing.

    Empty without a prediction or velocities. clamp: where linear motion stops, in half-widths. wall: where
    each slot bounces; None: there is no such row.
    """
    last, horizon = rollout.context - 1, rollout.z.shape[1] - rollout.context
    if rollout.velocities is None or horizon == 0:
        return {}
    paths = straight_paths(rollout.positions[:, last], rollout.velocities[:, last], horizon, clamp, wall)
    return {name: _drawn(model, rollout, path) for name, (path, _) in paths.items() if name != "static"}


def _drawn(
    model: SequenceModel, rollout: Rollout, path: Float[np.ndarray, "n horizon s 2"]
) -> Float[np.ndarray, "n horizon h w c"]:
    """Frames of the last context state with the positions of `path`."""
    z = torch.as_tensor(rollout.z[:, rollout.context - 1 :][:, :1]).expand(-1, path.shape[1], -1, -1).clone()
    z[..., model.layout["position"]] = torch.as_tensor(path).to(z)
    steps = z.to(device_of(model)).split(max(1, DECODED // len(z)), 1)
    frames = torch.cat([model.frame.decode(step).frames for step in steps], 1).cpu()
    return rearrange(frames, "n t c h w -> n t h w c").numpy()


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
        self,
        predicted: Float[np.ndarray, "n t h w _"],
        frames: UInt8[np.ndarray, "n t h w c"],
        alone: Mapping[str, Float[np.ndarray, "n horizon h w _"]] = MappingProxyType({}),
    ) -> dict[str, Float[np.ndarray, "n _"]]:
        """Row -> errors. predicted: what the model makes of the same frames, from frame 1 on. alone:
        what it would, if everything were left to itself after the context."""
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
            for row, drawn in alone.items():
                rows[row] = metrics.pixel_mse(*np.broadcast_arrays(self.reduce(drawn), truth[:, later]))
        return rows

    def reduce(self, frames: Float[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "n t h w _"]:
        """Frames as they are compared."""
        frames = metrics.without_repeats(frames)
        return metrics.grey(frames) if self.mode == "grey" else frames

    def _mean(self, frames: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "1 1 h w _"]:
        """The mean of all frames, as they are compared."""
        means = (self.reduce(clip[None] / np.float32(255)).mean(1, keepdims=True) for clip in frames)
        return sum(means) / np.float32(len(frames))
