"""Errors of frames in [0, 1]."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def grey(frames: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w 1"]:
    """Channel sum clipped to 1, as the STOVE protocol reduces balls on black (not luminance)."""
    return np.minimum(frames.sum(-1, keepdims=True), 1)


def without_repeats(frames: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w _"]:
    """The one channel of frames that are grey in c channels; other frames as they are.

    Models of grey frames decode to the data's channels. Summing equal channels would count them c times.
    """
    first = frames[..., :1]
    return first if (frames == first).all() else frames


def pixel_mse(
    predicted: Float[np.ndarray, "*n h w c"], truth: Float[np.ndarray, "*n h w c"]
) -> Float[np.ndarray, "*n"]:
    """Mean over pixels and channels of the squared difference; reduce both by `grey` for balls on black."""
    return np.square(predicted - truth).mean((-3, -2, -1))
