"""Clips of cached evidence: every frame of the training set encoded once, then read as often as needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from seqvae.data.clips import InMemoryClips, StreamedClips
from seqvae.data.sampler import clip_positions
from seqvae.sequence import SequenceModel
from seqvae.types import Evidence, concat_batch

AT_ONCE = 16  # sequences encoded together


@dataclass(frozen=True)
class EvidenceBatch:
    """Clips of evidence "b t ..."; prev_actions[:, t] led to frame t (None without actions)."""

    evidence: Evidence
    prev_actions: Int[Tensor, "b t"] | None


class EvidenceClips:
    """What a model's encoder, as it is now, says of every training frame; random clips of that.

    A pure function of the weights and the data, so a resumed training finds the same evidence.
    """

    def __init__(self, model: SequenceModel, clips: InMemoryClips | StreamedClips):
        was_training = model.training
        model.eval()
        with torch.no_grad():
            self.evidence = concat_batch([model.frame.encode(video) for video in clips.whole(AT_ONCE)])
        model.train(was_training)
        self.prev_actions = clips.prev_actions

    def batch(
        self, step: int, batch_size: int, clip_length: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> EvidenceBatch:
        """Batch number `step`, as InMemoryClips.batch has it of frames."""
        n, length = self.evidence.mean.shape[:2]
        starts = length - clip_length + 1
        sequences, first = clip_positions(
            step, batch_size, seed, sequences=n, starts=starts, rank=rank, world_size=world_size
        )
        device = self.evidence.mean.device
        row = torch.as_tensor(sequences).to(device)[:, None]
        time = torch.as_tensor(first).to(device)[:, None] + torch.arange(clip_length, device=device)
        actions = None if self.prev_actions is None else self.prev_actions[row, time]
        return EvidenceBatch(self.evidence.map(lambda x: x[row, time]), actions)
