"""Frames, actions and states on disk, converted to what a model takes, and back.

A dataset file holds uint8 frames "n t h w c", actions under the frame that they follow, and states in the
simulator's own units, in which the picture reaches from 0 to `limit` in both coordinates. A model takes
float32 frames "b t c h w" in [0, 1], actions under the frame that they led to, and states in half-widths and
half-heights. Nothing else converts between the two; `as_video` is for frames that come from elsewhere.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from data_gen.media.reading import fit
from seqvae.errors import UserError
from seqvae.types import DataSpec

Array = TypeVar("Array", np.ndarray, Tensor)


def to_video(
    frames: UInt8[Tensor, "b t h w c"] | UInt8[np.ndarray, "b t h w c"],
) -> Float[Tensor, "b t c h w"]:
    """Convert uint8 frames to float32 in [0, 1], on the device of the input."""
    # Moving bytes and widening them afterwards is faster than both at once.
    planes = rearrange(torch.as_tensor(frames), "b t h w c -> b t c h w").contiguous()
    return planes.to(torch.float32).div_(255)


def to_device(x: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """Copy from the host to a device without waiting for it: a GPU reads from memory that stays in place."""
    host = torch.as_tensor(x)
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)


def as_video(frames: Any, spec: DataSpec, resize: bool = False) -> Float[Tensor, "b t c h w"]:
    """Convert frames as people have them to a video for a model: float32 "b t c h w" in [0, 1].

    A float tensor "b t c h w" of the right size is returned as it is. Everything else may be an array of
    NumPy, a tensor or nested lists; without a batch axis ("t h w c"); with the colours last or first; in
    whole numbers from 0 to 255 or in numbers from 0 to 1. Numbers that are not a number are kept: they may
    belong to missing frames. A tensor stays on its device.

    spec: size of the model's frames, `model.spec`
    resize: crop frames of another size to the middle and resize them, in 8 bits, as `seqvae.read` does with
        videos, instead of refusing them

    Raises:
        UserError: the frames have other axes, values or sizes, or their axes have two readings.
    """
    if _is_video(frames, spec):
        return frames
    pixels = frames if isinstance(frames, Tensor) else _from_numpy(frames)
    if pixels.ndim not in (4, 5):
        shape = tuple(pixels.shape)
        raise UserError(
            f"frames: have the shape {shape}; give (t, h, w, c) or (b, t, h, w, c), a single image as "
            "image[None], grey ones as frames[..., None].repeat(3, -1)"
        )
    pixels = pixels if pixels.ndim == 5 else pixels[None]
    if not pixels.numel():
        raise UserError(f"frames: have the shape {tuple(pixels.shape)}, so there are none")
    if _has_colours_last(pixels, spec):
        pixels = rearrange(pixels, "b t h w c -> b t c h w")
    video = _in_unit_interval(pixels.contiguous())
    size = video.shape[-2:]
    if size == (spec.height, spec.width):
        return video
    if not resize:
        raise UserError(
            f"frames: are {size[1]}x{size[0]}, the model takes {spec.width}x{spec.height}; resize them with "
            "seqvae.as_video(frames, model.spec, resize=True), or give another model"
        )
    return _resize(video, spec)


def _is_video(frames: Any, spec: DataSpec) -> bool:
    """Return whether frames are a float tensor "b t c h w" of the right size."""
    size = (spec.channels, spec.height, spec.width)
    return (
        isinstance(frames, Tensor)
        and frames.is_floating_point()
        and frames.ndim == 5
        and tuple(frames.shape[2:]) == size
    )


def _from_numpy(frames: Any) -> Tensor:
    try:
        array = np.asarray(frames)
    except ValueError:  # lists of unequal lengths
        raise UserError("frames: are not all of one size; resize them first") from None
    if array.dtype.kind not in "iuf":
        raise UserError(f"frames: are of type {array.dtype}; give uint8, or numbers from 0 to 1")
    plain = {"u": np.uint8 if array.dtype == np.uint8 else np.int64, "i": np.int64, "f": np.float32}
    array = np.ascontiguousarray(array, plain[array.dtype.kind])
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _has_colours_last(pixels: Tensor, spec: DataSpec) -> bool:
    """Return whether pixels are "b t h w c" and not "b t c h w"; where both could be, the size decides."""
    c, size, shape = spec.channels, (spec.height, spec.width), tuple(pixels.shape)
    last, first = shape[-1] == c, shape[-3] == c
    if last and first:
        last, first = shape[-3:-1] == size, shape[-2:] == size
    if last == first:
        reading = "two readings" if last else f"no axis of {c} colours"
        raise UserError(
            f"frames: the shape {shape} has {reading}; give (b, t, {c}, h, w) or (b, t, h, w, {c})"
        )
    return last


def _in_unit_interval(pixels: Tensor) -> Tensor:
    """Return pixels in float32: whole numbers divided by 255, others as they are, which must be in [0, 1]."""
    whole = not pixels.is_floating_point()
    if pixels.is_complex() or pixels.dtype == torch.bool:
        raise UserError(f"frames: are of type {pixels.dtype}; give uint8, or numbers from 0 to 1")
    top = 255 if whole else 1
    if pixels.dtype != torch.uint8 and bool(((pixels < 0) | (pixels > top)).any()):
        remedy = "whole numbers are pixels from 0 to 255" if whole else "give uint8, or divide by 255"
        raise UserError(f"frames: have numbers outside of 0 to {top}; {remedy}")
    video = pixels.to(torch.float32)
    return video.div_(255) if whole else video


def _resize(video: Float[Tensor, "b t c h w"], spec: DataSpec) -> Float[Tensor, "b t c new_h new_w"]:
    frames = to_frames(video).cpu().numpy()
    fitted = [[fit(frame, (spec.height, spec.width)) for frame in sequence] for sequence in frames]
    return to_video(np.array(fitted)).to(video.device)


def to_frames(video: Float[Tensor, "b t c h w"]) -> UInt8[Tensor, "b t h w c"]:
    """Convert a video to bytes, floor(255 x + 0.5) of values clipped to [0, 1]; the inverse of `to_video`."""
    levels = (video.detach().float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return rearrange(levels, "b t c h w -> b t h w c").contiguous()


def prev_actions(
    actions: Int[Tensor, "b t"] | Int[np.ndarray, "b t"], count: int = 0, name: str = "actions"
) -> Int[Tensor, "b t"]:
    """Convert actions on disk, where [:, t] acts between frames t and t + 1, to the ones that led to frame t.

    The last entry on disk is the action that led to frame 0, so this is a rotation of whole sequences.

    count: number of different actions, 0 where it is not known
    name: of the data, for messages

    Raises:
        UserError: an action is none of 0 ... count - 1.
    """
    acting = torch.as_tensor(actions)
    if count and acting.numel() and not 0 <= int(acting.min()) <= int(acting.max()) < count:
        found = f"{int(acting.min())} to {int(acting.max())}"
        raise UserError(f"{name}: has actions from {found}, must be 0 to {count - 1}; make the data again")
    return acting.roll(1, dims=1)


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
