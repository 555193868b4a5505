"""Clips of cached encodings: every frame of the training set is encoded once and read as often as needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqvae.data.clips import ClipRequest, InMemoryClips, clip_starts
from seqvae.data.conversion import to_device
from seqvae.data.interaction import Interaction
from seqvae.data.online import OnlineClips
from seqvae.data.sequences import Sequences
from seqvae.data.streamed import StreamedClips
from seqvae.errors import UserError
from seqvae.evaluate import Truth
from seqvae.matching import reorder, track
from seqvae.sequence import SequenceModel
from seqvae.train.runtime import ONE, Ranks
from seqvae.tree import concat_batch, map_record, short_repr
from seqvae.types import Encoding

AT_ONCE = 16  # sequences encoded together
TRUE_STD = 1e-3  # half-widths, of true states


@dataclass(frozen=True)
class EncodingBatch:
    """Clips of encodings "b t ..."; the other fields are those of Batch."""

    __repr__ = short_repr

    encoding: Encoding
    prev_actions: Int[Tensor, "b t"] | None
    rewards: Float[Tensor, "b t"] | None = None
    ends: Bool[Tensor, "b t"] | None = None


def track_slots(model: SequenceModel, encoding: Encoding) -> Encoding:
    """Bring the slots of every sequence "b t ..." into one order, where the model has positions."""
    if "position" not in model.layout:
        return encoding
    place, precision = model.identity(encoding.mean), model.identity(encoding.precision)
    order = track(place, model.background_slots, precision > 0).flatten(0, 1)
    return encoding.map(lambda x: reorder(x.flatten(0, 1), order).unflatten(0, x.shape[:2]))


def encode_sequences(
    model: SequenceModel, clips: InMemoryClips | StreamedClips | OnlineClips, ranks: Ranks = ONE
) -> EncodingClips:
    """Encode every training frame with the present weights, and track slots; without features.

    A pure function of weights and data, so a resumed training finds the same encodings. Each rank encodes its
    share, and gets the others'.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        parts = {
            first: (track_slots(model, _gaussian(model, video)), given)
            for first, video, given in clips.full_sequences(AT_ONCE, ranks.rank, ranks.size)
        }
    model.train(was_training)
    device = next(model.parameters()).device
    parts = _gathered(parts, ranks, device)
    encoding, interaction = (concat_batch(list(of_all)) for of_all in zip(*parts, strict=True))
    return EncodingClips(encoding, interaction)


def _gathered(parts: dict[int, Any], ranks: Ranks, device: torch.device) -> list[Any]:
    """Return the records of all ranks in the order of their keys."""
    if ranks.size == 1:
        return [parts[first] for first in sorted(parts)]
    # by way of the host: ranks may have unequal numbers of sequences, or none
    on_host = {first: [map_record(Tensor.cpu, x) for x in records] for first, records in parts.items()}
    everything = {first: records for of_rank in ranks.gather(on_host) for first, records in of_rank.items()}
    return [[map_record(lambda x: x.to(device), r) for r in everything[i]] for i in sorted(everything)]


def _gaussian(model: SequenceModel, video: Float[Tensor, "b t c h w"]) -> Encoding:
    """Encode without features: masks of all frames would fill the memory, and only pixels need them."""
    encoding = model.frame.encode(video)
    return Encoding(encoding.mean, encoding.precision)


def encode_true_states(model: SequenceModel, sequences: Sequences) -> Encoding:
    """Return true positions and radii as encodings with std TRUE_STD, for dynamics trained with supervision.

    Raises:
        UserError: the data has none, or the model's state does not begin with size and position.
    """
    names = [field.name for field in model.layout.fields[:2]]
    if names != ["size", "position"]:
        raise UserError("source=states: only for models whose state begins with size and position")
    truth = Truth.of(sequences, sequences.frames.shape[1])
    if truth is None or truth.radii is None:
        raise UserError(f"{sequences.name}: has no true states, so source=states cannot train on it")
    slots, objects = model.frame.slots, truth.positions.shape[2]
    if slots != objects:
        raise UserError(
            f"{sequences.name}: has {objects} objects, the model {slots} slots; source=states needs one each"
        )
    like = next(model.parameters())
    mean = torch.zeros(*truth.positions.shape[:3], model.frame.layout.dim)
    extent = truth.radii[..., None] / np.array([1.0, truth.aspect])  # in half-widths and half-heights
    mean[..., model.layout["size"]] = torch.as_tensor(extent).float()
    mean[..., model.layout["position"]] = torch.as_tensor(truth.positions).float()
    precision = torch.zeros_like(mean)
    for name in names:
        precision[..., model.layout[name]] = TRUE_STD**-2
    return Encoding(mean.to(like), precision.to(like))


class EncodingClips:
    """Random clips of encodings "n t ..."."""

    def __init__(self, encoding: Encoding, interaction: Interaction | None = None):
        self.encoding, self.interaction = encoding, interaction or Interaction()

    def batch(self, request: ClipRequest) -> EncodingBatch:
        """Return the clips of a request, as InMemoryClips.batch has them of frames."""
        n, length = self.encoding.mean.shape[:2]
        sequences, first = request.positions(n, clip_starts("encodings", length, request.clip_length))
        device = self.encoding.mean.device
        row = to_device(sequences, device)[:, None]
        time = to_device(first, device)[:, None] + torch.arange(request.clip_length, device=device)
        given = self.interaction.map(lambda x: x[row, time])
        encoding = self.encoding.map(lambda x: x[row, time])
        return EncodingBatch(encoding, given.prev_actions, given.rewards, given.ends)
