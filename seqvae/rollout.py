"""Open-loop futures: filter a few frames, imagine the rest, in blocks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from seqvae.data.conversion import to_frames, to_video
from seqvae.errors import UserError
from seqvae.interventions import Change, remaining
from seqvae.io import track
from seqvae.sequence import SequenceModel
from seqvae.tree import join_records, short_repr, slice_frames
from seqvae.types import Trace

SEQUENCES = 64  # filtered and imagined at once
DECODED = 1024  # frames decoded at once
NUMBERS = 2**25  # numbers of decoded frames held at once: 128 MiB


@dataclass(frozen=True)
class Rollout:
    """States and frames that a model made of n sequences: `context` frames filtered, all later ones imagined.

    Places are coordinates, x in half-widths of the picture and y in half-heights. They are not a number in
    slots that are absent or background. Of several samples each is a Rollout of its own.

    z: n t k d, latent states
    context: number of filtered frames
    positions: n t k 2, None for models without
    velocities: n t k 2, coordinates per frame, None for models without
    extents: n t k 2, half the width and height of boxes, None for models without
    presence: n t k, which slots are not absent, None for models whose slots never are
    frames: n t h w c, in [0, 1], None unless decoded
    masks: n t k h w, None unless decoded, or for models without
    attention: n context k h w, masks that the encoder sees, None for models whose encoder makes none
    """

    __repr__ = short_repr

    z: Float[np.ndarray, "n t k d"]
    context: int
    positions: Float[np.ndarray, "n t k 2"] | None = None
    velocities: Float[np.ndarray, "n t k 2"] | None = None
    extents: Float[np.ndarray, "n t k 2"] | None = None
    presence: Bool[np.ndarray, "n t k"] | None = None
    frames: Float[np.ndarray, "n t h w c"] | None = None
    masks: Float[np.ndarray, "n t k h w"] | None = None
    attention: Float[np.ndarray, "n context k h w"] | None = None

    @property
    def first_predicted(self) -> int:
        """Array index of the first frame that the model has not seen."""
        return self.context

    def pictures(self) -> UInt8[np.ndarray, "n t h w c"]:
        """Return the decoded frames as bytes.

        Raises:
            ValueError: the rollout was not decoded.
        """
        if self.frames is None:
            raise ValueError("a rollout without frames has no pictures; decode it")
        return as_bytes(self.frames)


def as_bytes(frames: Float[np.ndarray, "n t h w c"]) -> UInt8[np.ndarray, "n t h w c"]:
    """Return frames in [0, 1] as on disk."""
    return to_frames(rearrange(torch.as_tensor(frames), "n t h w c -> n t c h w")).numpy()


def roll_out(
    model: SequenceModel,
    frames: UInt8[np.ndarray, "n t h w c"],
    prev_actions: Int[np.ndarray, "n _"] | None = None,
    context: int = 8,
    horizon: int = 92,
    sample: bool = False,
    decode: bool = False,
    change: Change | None = None,
) -> Rollout:
    """Filter frames 1 to `context` and imagine `horizon` more, for all sequences.

    By default everything is deterministic: the point estimates of posterior and transition. Samples differ by
    the noise of the future and by what is not known of the present.

    frames: as on disk; only the context is looked at.
    prev_actions: [:, t] led to frame t, filtered or imagined. Models that follow no actions ignore them.
    sample: draw from posterior and transition.
    decode: also make frames and masks.
    change: intervention on the slots after the context, before the future is imagined. The numbers of a
        dropped slot are from then on not a number, its masks 0.

    Raises:
        UserError: too few frames, or actions missing or too few; or the change cannot be made.
    """
    blocks = roll_out_blocks(model, frames, prev_actions, context, horizon, sample, decode, change)
    return join_records(np.concatenate, [rollout for _, rollout in blocks])


def roll_out_blocks(
    model: SequenceModel,
    frames: UInt8[np.ndarray, "n t h w c"],
    prev_actions: Int[np.ndarray, "n _"] | None = None,
    context: int = 8,
    horizon: int = 92,
    sample: bool = False,
    decode: bool = False,
    change: Change | None = None,
) -> Iterator[tuple[slice, Rollout]]:
    """Yield `roll_out` of some sequences at a time, with their place in n, to bound the memory."""
    prev_actions = check_lengths(model, frames, prev_actions, context, horizon)
    size = SEQUENCES
    if decode:
        size = max(1, min(size, NUMBERS // ((context + horizon) * frames[0, 0].size)))
    for where in track(list(_blocks(len(frames), size)), "rollouts"):
        led_to = None if prev_actions is None else _tensor(prev_actions[where], model)
        past, future = slice(context), slice(context, context + horizon)
        with torch.no_grad():
            trace = _filter(model, frames[where, :context], slice_frames(led_to, past), sample)
            rollout = record(model, trace, context, decode)
            if horizon > 0:
                changed = change(model, trace) if change else trace
                imagined = model.imagine(changed.carry, horizon, slice_frames(led_to, future), sample)
                rollout = _append(rollout, record(model, imagined, context, decode), change)
            yield where, rollout


def imagine_far(
    model: SequenceModel,
    frames: UInt8[np.ndarray, "n t h w c"],
    context: int,
    horizon: int,
    chunk: int = 100,
) -> Iterator[Float[Tensor, "n _ k d"]]:
    """Yield the states of a long deterministic rollout, `chunk` frames at a time.

    The first one is of the last context frame alone. Nothing is kept, so any horizon fits in memory.

    Raises:
        UserError: too few frames; or the model follows actions: no data holds enough.
    """
    if model.actions:
        raise UserError(
            f"the model follows {model.actions} actions, and no data has those of {horizon} frames; give a "
            "model that follows none"
        )
    check_lengths(model, frames, None, context, horizon)
    with torch.no_grad():
        trace = _filter(model, frames[:, :context], None, sample=False)
        yield trace.z[:, -1:]
        for done in track(range(0, horizon, chunk), "long rollouts"):
            trace = model.imagine(trace.carry, min(chunk, horizon - done), None, False)
            yield trace.z


def check_lengths(
    model: SequenceModel, frames: np.ndarray, prev_actions: np.ndarray | None, context: int, horizon: int
) -> np.ndarray | None:
    """Return the actions that the model follows, None if it follows none, where all are long enough.

    Raises:
        UserError: fewer frames than the context, or actions missing or too few.
    """
    if context < 1 or horizon < 0:
        raise UserError(f"context={context} horizon={horizon}: expected at least 1 and 0")
    if frames.shape[1] < context:
        raise UserError(f"context={context}: the sequences have only {frames.shape[1]} frames")
    if not model.actions:
        return None
    if prev_actions is None:
        raise UserError(f"the model follows one of {model.actions} actions a frame, and the data has none")
    if context + horizon > prev_actions.shape[1]:
        after = max(prev_actions.shape[1] - context, 0)
        raise UserError(
            f"horizon={horizon}: the data has the actions that lead to {after} frames after context={context}"
        )
    return prev_actions


def device_of(model: SequenceModel) -> torch.device:
    """Return the device of the model's parameters or buffers; the CPU for a model without any."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def _filter(model: SequenceModel, frames: np.ndarray, prev_actions: Tensor | None, sample: bool) -> Trace:
    return model.filter(to_video(_tensor(frames, model)), prev_actions, sample=sample)


def _tensor(x: np.ndarray, model: SequenceModel) -> Tensor:
    return torch.as_tensor(x, device=device_of(model))


def _blocks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _append(past: Rollout, future: Rollout, change: Change | None) -> Rollout:
    """Join past and future, each slot in its place; a dropped one has no numbers in the future."""
    slots = past.z.shape[2]
    kept = remaining(slots, change.drop or ()) if change else range(slots)

    def in_place(name: str, x: np.ndarray) -> np.ndarray:
        if name == "frames" or x.shape[2] == slots:
            return x
        fill = 0 if name in ("masks", "presence") else np.nan
        placed = np.full((*x.shape[:2], slots, *x.shape[3:]), fill, x.dtype)
        placed[:, :, kept] = x
        return placed

    joined = {
        f.name: np.concatenate([x, in_place(f.name, getattr(future, f.name))], 1)
        for f in fields(Rollout)
        if f.name != "attention" and isinstance(x := getattr(past, f.name), np.ndarray)
    }
    return replace(past, **joined)


def record(model: SequenceModel, trace: Trace, context: int, decode: bool) -> Rollout:
    """Return the states of a trace with all that a model says of them, as a Rollout.

    context: number of filtered frames in the trace.
    decode: also make frames and masks.
    """
    frames, masks = _decode(model, trace) if decode else (None, None)
    extents = trace.z[..., model.layout["size"]] if "size" in model.layout else None
    presence = model.presence(trace.z)
    objects = torch.ones_like(trace.z[..., 0], dtype=torch.bool) if presence is None else presence.clone()
    objects[:, :, : model.background_slots] = False

    def of_objects(x: Tensor | None) -> Any:
        return None if x is None else _array(x.masked_fill(~objects[..., None], torch.nan))

    return Rollout(
        z=trace.z.cpu().numpy(),
        context=context,
        positions=of_objects(model.positions(trace.z)),
        velocities=of_objects(model.velocities(trace.z)),
        extents=of_objects(extents if extents is not None and extents.shape[-1] == 2 else None),
        presence=_array(presence),
        frames=_array(frames),
        masks=_array(masks),
        attention=_array(_attention(trace)) if decode else None,
    )


def _array(x: Tensor | None) -> Any:
    return None if x is None else x.cpu().numpy()


def _attention(trace: Trace) -> Tensor | None:
    """Return the encoder's own masks of filtered frames, in the trace's order, None where it makes none."""
    features = trace.encoding.features if trace.encoding is not None else {}
    return features["log_masks"].exp() if "log_masks" in features else None


def _decode(model: SequenceModel, trace: Trace) -> tuple[Tensor, Tensor | None]:
    """Return frames "b t h w c" and masks of a trace, a few frames of all its sequences at a time."""
    b, length = trace.z.shape[:2]
    step = max(1, DECODED // b)
    scenes = []
    for start in range(0, length, step):
        time = slice(start, start + step)
        context = None if trace.context is None else trace.context[:, time]
        scenes.append(model.decode(replace(trace, z=trace.z[:, time], context=context)))
    frames = torch.cat([scene.frames for scene in scenes], 1)
    masks = None if scenes[0].masks is None else torch.cat([scene.masks for scene in scenes], 1)
    return rearrange(frames, "b t c h w -> b t h w c"), masks
