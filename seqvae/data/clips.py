"""Short clips for training: the request for a batch, and clips of a dataset that is held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from data_gen.schema import read_info
from seqvae.data.conversion import to_device, to_video
from seqvae.data.interaction import KEYS, Interaction
from seqvae.data.sequences import open_arrays
from seqvae.errors import UserError
from seqvae.streams import Stream, generator
from seqvae.tree import short_repr

Video = Float[Tensor, "b t c h w"]
Positions = tuple[Int[np.ndarray, " b"], Int[np.ndarray, " b"]]


@dataclass(frozen=True)
class ClipRequest:
    """Request for a rank's share of batch number `step`; the clips are a pure function of it.

    step: number of the batch, from 0
    batch_size: clips per batch, of all ranks together
    clip_length: frames per clip
    seed: of the order of sequences and the first frames
    rank: number of this process
    world_size: number of processes that share the batch

    Raises:
        UserError: the batch does not divide among the ranks.
    """

    step: int
    batch_size: int
    clip_length: int
    seed: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self):
        if self.batch_size % self.world_size:
            raise UserError(
                f"batch_size={self.batch_size}: must be a multiple of the {self.world_size} processes"
            )

    @property
    def share(self) -> int:
        """Clips of this rank."""
        return self.batch_size // self.world_size

    def following(self) -> ClipRequest:
        """Return the request for the next batch."""
        return replace(self, step=self.step + 1)

    def positions(self, sequences: int, starts: int) -> Positions:
        """Draw the sequence and the first frame of every clip from a finite set of sequences.

        Every sequence comes once per epoch, in an order drawn for that epoch, each time with a start drawn
        from 0 ... starts - 1. The ranks' shares together are the batch that a single process would get.
        """
        numbers = self.step * self.batch_size + np.arange(self.batch_size)  # of clips, since step 0
        epochs, places = np.divmod(numbers, sequences)
        chosen = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            inside = epochs == epoch
            chosen[inside] = _epoch_order(self.seed, int(epoch), sequences)[places[inside]]
        first = generator(Stream.STARTS, self.seed, self.step).integers(starts, size=self.batch_size)
        share = slice(self.rank, None, self.world_size)
        return chosen[share], first[share]


def clip_starts(name: str, length: int, clip_length: int) -> int:
    """Return the number of frames at which a clip can begin.

    Raises:
        UserError: sequences of `length` frames hold no clip; the message begins with `name`.
    """
    if not 1 <= clip_length <= length:
        raise UserError(
            f"{name}: sequences of {length} frames hold no clip of clip_length={clip_length}; "
            f"take clips of 1 to {length} frames"
        )
    return length - clip_length + 1


@lru_cache(maxsize=2)  # a batch at the end of an epoch has clips of the next one
def _epoch_order(seed: int, epoch: int, sequences: int) -> np.ndarray:
    return generator(Stream.ORDER, seed, epoch).permutation(sequences)


@dataclass(frozen=True)
class Batch:
    """Clips as a model takes them.

    video: b t c h w, in [0, 1]
    prev_actions: b t, the action that led to each frame, None without actions
    sequences: b, number of the sequence in the dataset
    starts: b, frame of the sequence at which the clip begins, from 0
    rewards: b t, received on arriving at each frame, None without rewards
    ends: b t, whether the episode has ended at each frame, None if that is not known
    """

    __repr__ = short_repr

    video: Float[Tensor, "b t c h w"]
    prev_actions: Int[Tensor, "b t"] | None
    sequences: Int[Tensor, " b"]
    starts: Int[Tensor, " b"]
    rewards: Float[Tensor, "b t"] | None = None
    ends: Bool[Tensor, "b t"] | None = None


class InMemoryClips:
    """Clips of a dataset that is held whole, as uint8 on the device where the clips are wanted."""

    def __init__(
        self,
        source: str | Path | Mapping[str, Any],
        device: torch.device | str = "cpu",
        name: str | None = None,
    ) -> None:
        """Read a dataset, or take its arrays.

        source: a dataset file, or arrays or tensors by name: `imgs` "n t h w c" uint8, and optionally those
            of Interaction.of.
        name: name of the data in messages, by default the file.

        Raises:
            UserError: the file cannot be read.
        """
        self.name = name or ("arrays" if isinstance(source, Mapping) else str(source))
        arrays, actions = (source, 0) if isinstance(source, Mapping) else _read(source)
        self.frames: UInt8[Tensor, "n t h w c"] = torch.as_tensor(arrays["imgs"]).to(device)
        self.interaction = Interaction.of(arrays, device, actions, self.name)

    def require_clips(self, clip_length: int) -> None:
        """Raise UserError when the sequences are shorter than a clip."""
        clip_starts(self.name, self.frames.shape[1], clip_length)

    def full_sequences(
        self, at_once: int, rank: int = 0, size: int = 1
    ) -> Iterator[tuple[int, Video, Interaction]]:
        """Yield the sequences in order and in full, `at_once` at a time after the number of the first.

        rank, size: of `size` processes, each gets every `size`-th part
        """
        for first in range(rank * at_once, len(self.frames), size * at_once):
            part = slice(first, first + at_once)
            yield first, to_video(self.frames[part]), self.interaction.map(lambda x, part=part: x[part])

    def batch(self, request: ClipRequest) -> Batch:
        """Return the clips of a request.

        Raises:
            UserError: the sequences are shorter than a clip.
        """
        n, length = self.frames.shape[:2]
        starts = clip_starts(self.name, length, request.clip_length)
        return self.cut(*request.positions(n, starts), request.clip_length)

    def cut(self, sequences: np.ndarray, starts: np.ndarray, clip_length: int) -> Batch:
        """Return the clips of these sequences "b" that begin at these frames "b"."""
        device, length = self.frames.device, self.frames.shape[1]
        sequence, start = to_device(sequences, device), to_device(starts, device)
        time = start[:, None] + torch.arange(clip_length, device=device)
        # index_select copies whole frames, which plain indexing does byte by byte.
        flat = (sequence[:, None] * length + time).flatten()
        frames = self.frames.flatten(0, 1).index_select(0, flat)
        frames = rearrange(frames, "(b t) h w c -> b t h w c", t=clip_length)
        given = self.interaction.map(lambda x: x[sequence[:, None], time])
        return Batch(to_video(frames), given.prev_actions, sequence, start, given.rewards, given.ends)

    def close(self) -> None:
        """Do nothing: unlike clips that are read or made during the training, these need no process."""


def _read(path: str | Path) -> tuple[dict[str, np.ndarray], int]:
    """Return the arrays of a dataset, and its number of actions."""
    with open_arrays(path) as arrays:
        return {key: arrays[key][:] for key in ("imgs", *KEYS) if key in arrays}, read_info(path).num_actions
