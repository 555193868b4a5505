"""Pictures of a model's latent states: samples, reconstructions, interpolations, traversals.

Each is rows of frames, uint8 "row column h w c", for a contact sheet.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from seqvae.data.conversion import to_frames, to_video
from seqvae.matching import assign, reorder, squared_distances
from seqvae.rollout import device_of
from seqvae.sequence import SequenceModel
from seqvae.types import Trace

Rows = UInt8[np.ndarray, "row column h w c"]
REACH = 2.5  # standard deviations of a number over the data, to either side


@torch.no_grad()
def prior_samples(model: SequenceModel, rows: int, columns: int) -> Rows:
    """Draw a video per row from p(z_1:T), without the noise of its frames; action 0 throughout."""
    like = torch.zeros(rows, model.frame.slots, model.layout.dim, device=device_of(model))
    actions = _no_actions(model, like[:, :1].expand(-1, columns, -1))
    return _decode(model, model.imagine(model.init(rows, like), columns, actions, sample=True))


@torch.no_grad()
def reconstructions(model: SequenceModel, images: UInt8[np.ndarray, "n h w c"]) -> Rows:
    """Return two rows: the images, and the reconstruction of each as a first frame."""
    decoded = rearrange(_decode(model, _filter(model, images)), "n 1 h w c -> 1 n h w c")
    return np.concatenate([images[None], _with_channels(decoded, images.shape[-1])])


@torch.no_grad()
def slots(model: SequenceModel, images: UInt8[np.ndarray, "n h w c"]) -> tuple[Rows, list[str]] | None:
    """Return a row per image: itself, its reconstruction, the encoder's masks, each slot's mask and part.

    Also returns the names of the columns. None for models without masks.
    """
    trace = _filter(model, images)
    scene = model.decode(trace)
    if scene.masks is None:
        return None
    masks = rearrange(scene.masks, "n 1 k h w -> n k 1 h w")
    shown = {
        "": scene.frames,
        "mask": masks.expand(-1, -1, scene.frames.shape[2], -1, -1),
        "part": masks * scene.frames,
    }
    if trace.encoding is not None and "log_masks" in trace.encoding.features:
        attention = rearrange(trace.encoding.features["log_masks"].exp(), "n 1 k h w -> n k 1 h w")
        shown = {"": shown[""], "encoder's\nmask": attention.expand_as(shown["mask"]), **shown}
    pictures = to_frames(torch.cat(list(shown.values()), 1)).cpu().numpy()
    names = [f"{what}\n{slot}" for what in shown if what for slot in _slot_names(model, masks.shape[1])]
    pictures = np.concatenate([_with_channels(images[:, None], pictures.shape[-1]), pictures], 1)
    return pictures, ["image", "model", *names]


@torch.no_grad()
def interpolations(model: SequenceModel, images: UInt8[np.ndarray, "n h w c"], columns: int) -> Rows:
    """Lead from one image to the next per row, in equal steps of z; each slot to the nearest of the next."""
    trace = _filter(model, images)
    start, end = trace.z[:-1, 0], trace.z[1:, 0]
    compared = model.layout["position"] if "position" in model.layout else slice(None)
    order = assign(squared_distances(start[..., compared], end[..., compared]), model.background_slots)
    end = reorder(end, order)
    share = torch.linspace(0, 1, columns, device=start.device, dtype=start.dtype)[:, None, None]
    return _decode(model, _with_states(trace, start[:, None] + share * (end - start)[:, None]))


@torch.no_grad()
def traversals(
    model: SequenceModel, images: UInt8[np.ndarray, "n h w c"], rows: int, columns: int
) -> tuple[Rows, list[str]]:
    """Vary one number of the first image's first object per row; also return the rows' names ("code 7").

    The numbers are the ones that differ most over the images. They vary by 2.5 standard deviations to either
    side of their mean.
    """
    trace = _filter(model, images)
    slot = model.background_slots
    mean, std = trace.z[:, 0, slot].mean(0), trace.z[:, 0, slot].std(0, correction=0)
    chosen = std.argsort(descending=True)[:rows]
    share = torch.linspace(-REACH, REACH, columns, device=std.device, dtype=std.dtype)
    z = repeat(trace.z[0, 0], "k d -> r t k d", r=len(chosen), t=columns).clone()
    values = mean[chosen, None] + std[chosen, None] * share
    z[torch.arange(len(chosen)), :, slot, chosen] = values
    names = [name for field in model.layout.fields for name in _names(field.name, field.size)]
    return _decode(model, _with_states(trace, z)), [names[i] for i in chosen.tolist()]


def _filter(model: SequenceModel, images: UInt8[np.ndarray, "n h w c"]) -> Trace:
    """Return point estimates of images, each as the first frame of a sequence, after action 0."""
    video = to_video(torch.as_tensor(images[:, None], device=device_of(model)))
    return model.filter(video, _no_actions(model, video), sample=False)


def _no_actions(model: SequenceModel, like: Float[Tensor, "b t *_"]) -> Int[Tensor, "b t"] | None:
    """Return action 0 at every frame, for models that follow actions."""
    return torch.zeros_like(like.flatten(2)[..., 0], dtype=torch.long) if model.actions else None


def _with_states(trace: Trace, z: Float[Tensor, "r t k d"]) -> Trace:
    """Return other states in the context that every first frame has."""
    context = trace.context
    if context is not None:
        context = context[:1, :1].expand(*z.shape[:2], -1)
    return replace(trace, z=z, context=context)


def _decode(model: SequenceModel, trace: Trace) -> Rows:
    return to_frames(model.decode(trace).frames).cpu().numpy()


def _with_channels(frames: Rows, channels: int) -> Rows:
    return np.broadcast_to(frames, (*frames.shape[:-1], channels))


def _slot_names(model: SequenceModel, count: int) -> list[str]:
    objects = [f"object {i + 1}" for i in range(count - model.background_slots)]
    return ["background"] * model.background_slots + objects


def _names(name: str, size: int) -> list[str]:
    return [name] if size == 1 else [f"{name} {i}" for i in range(size)]
