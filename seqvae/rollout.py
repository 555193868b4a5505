"""Open-loop futures: filter a few frames, imagine the rest, in blocks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from seqvae.data.sequences import to_frames, to_video
from seqvae.errors import UserError
from seqvae.interventions import Change, remaining
from seqvae.metrics import without_repeats
from seqvae.sequence import SequenceModel
from seqvae.tree import short_repr, slice_frames
from seqvae.types import Trace
from seqvae.video import Comparison

SEQUENCES = 64  # filtered and imagined at once
DECODED = 1024  # frames decoded at once
NUMBERS = 2**25  # pixels of decoded frames held at once: 128 MiB


@dataclass(frozen=True)
class Rollout:
    """What a model made of n sequences: `context` frames filtered, all later ones imagined.

    z: latent states. positions, velocities, extents (half the width and height of boxes): x in half-widths of
    the picture, y in half-heights, None for models without; not a number in slots that are absent or
    background. presence: which slots are not absent, None for models whose slots never are. frames in [0, 1]
    and masks: None unless decoded, masks also for models without. attention: masks that the encoder sees in
    the `context` frames, None for models whose encoder makes none. Of several samples each is a Rollout of
    its own.
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
        """The array index of the first frame that the model has not seen."""
        return self.context

    def pictures(self) -> UInt8[np.ndarray, "n t h w c"]:
        """The decoded frames as on disk, uint8."""
        return _pictures(self.frames)


def compare(
    rollout: Rollout,
    i: int,
    truth: UInt8[np.ndarray, "_ h w c"] | None,
    cloud: Float[np.ndarray, "s t k 2"] | None = None,
) -> Comparison:
    """Frames of a video of sequence i: truth | model | difference. Sampled positions are drawn as crosses."""
    model = _pictures(without_repeats(rollout.frames[i : i + 1]))[0]
    boxes, extents = (None if x is None else x[i] for x in (rollout.positions, rollout.extents))
    return Comparison(truth, model, boxes, extents, rollout.first_predicted, cloud)


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

    frames as on disk, of which only the context is looked at. prev_actions[:, t] led to frame t, seen or
    imagined; models that follow no actions take no notice of them. By default everything is deterministic:
    the posterior's and the transition's point estimates. With sample=True both are drawn from, so that
    draws differ by the noise of the future and by what is not known of the present. change: what is done to
    the slots after the context, before the future is imagined. The numbers of a dropped slot are from then
    on not a number, its masks 0.

    Raises:
        UserError: too few frames, or actions missing or too few; or the change cannot be made.
    """
    blocks = roll_out_blocks(model, frames, prev_actions, context, horizon, sample, decode, change)
    return _joined([rollout for _, rollout in blocks])


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
    """`roll_out` of some sequences at a time, with their place in n, where all would not fit in memory."""
    prev_actions = check_lengths(model, frames, prev_actions, context, horizon)
    size = SEQUENCES
    if decode:
        size = max(1, min(size, NUMBERS // ((context + horizon) * frames[0, 0].size)))
    for where in _blocks(len(frames), size):
        led = None if prev_actions is None else _tensor(prev_actions[where], model)
        before, ahead = (
            slice_frames(led, time) for time in (slice(context), slice(context, context + horizon))
        )
        with torch.no_grad():
            trace = _filter(model, frames[where, :context], before, sample)
            rollout = _rollout(model, trace, context, decode)
            if horizon > 0:
                begin = change(model, trace) if change else trace
                future = model.imagine(begin.carry, horizon, ahead, sample)
                rollout = _then(rollout, _rollout(model, future, context, decode), change)
            yield where, rollout


def imagine_far(
    model: SequenceModel,
    frames: UInt8[np.ndarray, "n t h w c"],
    context: int,
    horizon: int,
    chunk: int = 100,
) -> Iterator[Float[Tensor, "n _ k d"]]:
    """States of a long deterministic rollout, `chunk` frames at a time; first that of the last context frame.

    Nothing is kept, so any horizon fits in memory.

    Raises:
        UserError: too few frames; or the model follows actions, of which no data holds enough.
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
        for done in range(0, horizon, chunk):
            trace = model.imagine(trace.carry, min(chunk, horizon - done), None, False)
            yield trace.z


def check_lengths(
    model: SequenceModel, frames: np.ndarray, prev_actions: np.ndarray | None, context: int, horizon: int
) -> np.ndarray | None:
    """The actions that the model follows (None if it follows none), when frames and actions are enough.

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
    known = max(prev_actions.shape[1] - context, 0)
    if context + horizon > prev_actions.shape[1]:
        raise UserError(
            f"horizon={horizon}: the data has the actions that lead to {known} frames after context={context}"
        )
    return prev_actions


def device_of(model: SequenceModel) -> torch.device:
    """Where the model's numbers are; the CPU for a model without any."""
    some = next(model.parameters(), None)
    some = next(model.buffers(), None) if some is None else some
    return torch.device("cpu") if some is None else some.device


def _filter(model: SequenceModel, frames: np.ndarray, before: Tensor | None, sample: bool) -> Trace:
    return model.filter(to_video(_tensor(frames, model)), before, sample=sample)


def _tensor(x: np.ndarray, model: SequenceModel) -> Tensor:
    return torch.as_tensor(x, device=device_of(model))


def _blocks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _then(past: Rollout, future: Rollout, change: Change | None) -> Rollout:
    """Past and future as one, each slot in its place; a dropped one has no numbers in the future."""
    slots = past.z.shape[2]
    left = remaining(slots, change.drop or ()) if change else range(slots)

    def placed(name: str, x: np.ndarray) -> np.ndarray:
        if name == "frames" or x.shape[2] == slots:
            return x
        fill = 0 if name in ("masks", "presence") else np.nan
        full = np.full((*x.shape[:2], slots, *x.shape[3:]), fill, x.dtype)
        full[:, :, left] = x
        return full

    whole = {
        name: None if x is None else np.concatenate([x, placed(name, getattr(future, name))], 1)
        for name, x in _arrays(past).items()
        if name != "attention"
    }
    return Rollout(context=past.context, attention=past.attention, **whole)


def _rollout(model: SequenceModel, trace: Trace, context: int, decode: bool) -> Rollout:
    frames, masks = _decoded(model, trace) if decode else (None, None)
    extents = trace.z[..., model.layout["size"]] if "size" in model.layout else None
    presence = model.presence(trace.z)
    objects = torch.ones_like(trace.z[..., 0], dtype=torch.bool) if presence is None else presence.clone()
    objects[:, :, : model.background_slots] = False

    def of_objects(x: Tensor | None) -> Tensor | None:
        return x if x is None else x.masked_fill(~objects[..., None], torch.nan)

    tensors = {
        "z": trace.z,
        "positions": of_objects(model.positions(trace.z)),
        "velocities": of_objects(model.velocities(trace.z)),
        "extents": of_objects(extents) if extents is not None and extents.shape[-1] == 2 else None,
        "presence": presence,
        "frames": frames,
        "masks": masks,
        "attention": _attention(trace) if decode else None,
    }
    return Rollout(context=context, **{n: None if x is None else x.cpu().numpy() for n, x in tensors.items()})


def _attention(trace: Trace) -> Tensor | None:
    """The encoder's own masks of filtered frames, in the trace's order, where it makes some."""
    features = trace.encoding.features if trace.encoding is not None else {}
    return features["log_masks"].exp() if "log_masks" in features else None


def _decoded(model: SequenceModel, trace: Trace) -> tuple[Tensor, Tensor | None]:
    """Frames "b t h w c" and masks of a trace, a few frames of all its sequences at a time."""
    b, length = trace.z.shape[:2]
    step = max(1, DECODED // b)
    scenes = []
    for start in range(0, length, step):
        part = slice(start, start + step)
        context = None if trace.context is None else trace.context[:, part]
        scenes.append(model.decode(replace(trace, z=trace.z[:, part], context=context)))
    frames = torch.cat([scene.frames for scene in scenes], 1)
    masks = None if scenes[0].masks is None else torch.cat([scene.masks for scene in scenes], 1)
    return rearrange(frames, "b t c h w -> b t h w c"), masks


def _pictures(frames: Float[np.ndarray, "n t h w c"]) -> UInt8[np.ndarray, "n t h w c"]:
    return to_frames(rearrange(torch.as_tensor(frames), "n t h w c -> n t c h w")).numpy()


def _joined(rollouts: list[Rollout]) -> Rollout:
    parts = [_arrays(rollout) for rollout in rollouts]
    whole = {
        name: None if x is None else np.concatenate([part[name] for part in parts])
        for name, x in parts[0].items()
    }
    return Rollout(context=rollouts[0].context, **whole)


def _arrays(rollout: Rollout) -> dict[str, np.ndarray | None]:
    return {f.name: getattr(rollout, f.name) for f in fields(Rollout) if f.name != "context"}
