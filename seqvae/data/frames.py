"""The one place where frames and actions on disk become what a model takes, and back."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor


def to_video(
    frames: UInt8[Tensor, "b t h w c"] | UInt8[np.ndarray, "b t h w c"],
) -> Float[Tensor, "b t c h w"]:
    """uint8 frames as float32 in [0, 1], on the device of the input."""
    # Moving bytes and widening them afterwards is faster than both at once.
    planes = rearrange(torch.as_tensor(frames), "b t h w c -> b t c h w").contiguous()
    return planes.to(torch.float32).div_(255)


def to_frames(video: Float[Tensor, "b t c h w"]) -> UInt8[Tensor, "b t h w c"]:
    """floor(255 x + 0.5) of a video in [0, 1], which is clipped first; the inverse of to_video."""
    levels = (video.detach().float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return rearrange(levels, "b t c h w -> b t h w c").contiguous()


def prev_actions(actions: Int[Tensor, "b t"] | Int[np.ndarray, "b t"]) -> Int[Tensor, "b t"]:
    """From actions on disk, where [:, t] acts between frame t and t + 1, to what led to frame t.

    The last entry on disk is the action that led to frame 0, so this is a rotation.
    """
    return torch.as_tensor(actions).roll(1, dims=1)
