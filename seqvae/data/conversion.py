"""Frames, actions and states on disk, converted to what a model takes, and back.

A dataset file holds uint8 frames "n t h w c", actions under the frame that they follow, and states in the
simulator's own units, in which the picture reaches from 0 to `limit` in both coordinates. A model takes
float32 frames "b t c h w" in [0, 1], actions under the frame that they led to, and states in half-widths and
half-heights. Nothing else converts between the two.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)


def to_video(
    frames: UInt8[Tensor, "b t h w c"] | UInt8[np.ndarray, "b t h w c"],
) -> Float[Tensor, "b t c h w"]:
    """Convert uint8 frames to float32 in [0, 1], on the device of the input."""
    # Moving bytes and widening them afterwards is faster than both at once.
    planes = rearrange(torch.as_tensor(frames), "b t h w c -> b t c h w").contiguous()
    return planes.to(torch.float32).div_(255)


def to_frames(video: Float[Tensor, "b t c h w"]) -> UInt8[Tensor, "b t h w c"]:
    """Convert a video to bytes, floor(255 x + 0.5) of values clipped to [0, 1]; the inverse of `to_video`."""
    levels = (video.detach().float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return rearrange(levels, "b t c h w -> b t h w c").contiguous()


def prev_actions(actions: Int[Tensor, "b t"] | Int[np.ndarray, "b t"]) -> Int[Tensor, "b t"]:
    """Convert actions on disk, where [:, t] acts between frames t and t + 1, to the ones that led to frame t.

    The last entry on disk is the action that led to frame 0, so this is a rotation of whole sequences.
    """
    return torch.as_tensor(actions).roll(1, dims=1)


def to_coordinates(positions: Array, limit: float) -> Array:
    """Convert positions in [0, limit] to coordinates in [-1, 1]: x in half-widths, y in half-heights."""
    return positions / (limit / 2) - 1


def to_half_widths(lengths: Array, limit: float) -> Array:
    """Convert lengths in simulator units (velocities, radii, distances) to half-widths."""
    return lengths / (limit / 2)


def from_coordinates(coordinates: Array, limit: float) -> Array:
    """Convert coordinates in [-1, 1] to positions in [0, limit]; the inverse of `to_coordinates`."""
    return (coordinates + 1) / 2 * limit


def from_half_widths(lengths: Array, limit: float) -> Array:
    """Convert half-widths to lengths in simulator units; the inverse of `to_half_widths`."""
    return lengths / 2 * limit
