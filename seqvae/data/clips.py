"""Short clips of a dataset that is held in memory, for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from data_gen.schema import open_dataset
from seqvae.data.sequences import prev_actions, reading, to_video
from seqvae.errors import UserError
from seqvae.streams import Stream, seed_sequence
from seqvae.tree import short_repr

# Which clips a training step sees: a pure function of seed and step, so a resume needs the step alone.


def clip_positions(
    step: int,
    batch_size: int,
    seed: int,
    *,
    sequences: int,
    starts: int,
    rank: int = 0,
    world_size: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Sequence and first frame of every clip in a rank's share of batch number `step`: two int64 "b".

    Every sequence comes once in an epoch, in an order drawn for that epoch, each time with a start drawn
    from 0 ... starts - 1. The ranks' shares together are the batch that a single process would get.

    Raises UserError when the batch does not divide among the ranks.
    """
    share_of(batch_size, world_size)
    places = step * batch_size + np.arange(batch_size)
    epochs, ranks_within = np.divmod(places, sequences)
    order = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        order[here] = _order(seed, int(epoch), sequences)[ranks_within[here]]
    first = _rng(Stream.STARTS, seed, step).integers(starts, size=batch_size)
    share = slice(rank, None, world_size)
    return order[share], first[share]


def clip_batches(
    step: int, batch_size: int, seed: int, *, sequences: int, starts: int, rank: int = 0, world_size: int = 1
) -> Iterator[list[int]]:
    """Batches from `step` on, without end, as indices of a ClipDataset: a batch_sampler for a DataLoader."""
    while True:
        sequence, first = clip_positions(
            step, batch_size, seed, sequences=sequences, starts=starts, rank=rank, world_size=world_size
        )
        yield (sequence * starts + first).tolist()
        step += 1


def fresh_positions(
    number: int, seed: int, *, sequences: int, length: int, clip_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sequence and first frame of all clips of round `number` of new sequences: two int64 "b".

    Each sequence is cut into as many clips as it holds, without overlap, from a first frame drawn for it.
    All sequences show one of their clips before any shows its next.
    """
    rng = _rng(Stream.ROUNDS, seed, number)
    clips = length // clip_length
    first = rng.integers(length - clips * clip_length + 1, size=sequences)
    clip = rng.permuted(np.tile(np.arange(clips), (sequences, 1)), axis=1)  # of a sequence, in a pass
    order = rng.permuted(np.tile(np.arange(sequences), (clips, 1)), axis=1)  # of sequences, in a pass
    starts = first[order] + clip_length * clip[order, np.arange(clips)[:, None]]
    return order.ravel(), starts.ravel()


def share_of(batch_size: int, world_size: int) -> int:
    """Clips of a batch that each rank gets. Raises UserError when the batch does not divide among them."""
    if batch_size % world_size:
        raise UserError(f"batch_size={batch_size}: must be a multiple of the {world_size} processes")
    return batch_size // world_size


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, sequences: int) -> np.ndarray:
    return _rng(Stream.ORDER, seed, epoch).permutation(sequences)


def _rng(stream: Stream, seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng(seed_sequence(stream, seed, number))


Video = Float[Tensor, "b t c h w"]
PrevActions = Int[Tensor, "b t"]


@dataclass(frozen=True)
class Batch:
    """Clips as a model takes them. prev_actions[:, t] led to frame t (None without actions).

    sequences, starts: where the clips come from in the dataset.
    """

    __repr__ = short_repr

    video: Float[Tensor, "b t c h w"]
    prev_actions: Int[Tensor, "b t"] | None
    sequences: Int[Tensor, " b"]
    starts: Int[Tensor, " b"]


def join(batches: list[Batch]) -> Batch:
    """Batches as one, in their order."""
    if len(batches) == 1:
        return batches[0]
    columns = ([getattr(batch, field.name) for batch in batches] for field in fields(Batch))
    return Batch(*(None if column[0] is None else torch.cat(column) for column in columns))


class InMemoryClips:
    """Clips of a dataset that is held whole, as uint8 on the device where the clips are wanted."""

    def __init__(
        self, source: str | Path | Mapping[str, np.ndarray], device: torch.device | str = "cpu"
    ) -> None:
        """source: a dataset file, or arrays by name: `imgs` "n t h w c" uint8, and optionally `actions` "n t"
        as on disk, or `prev_actions` "n t", which led to each frame.

        Raises UserError for a file that cannot be read.
        """
        self.name = "arrays" if isinstance(source, Mapping) else str(source)
        arrays = source if isinstance(source, Mapping) else _read(source)
        self.frames: UInt8[Tensor, "n t h w c"] = torch.as_tensor(arrays["imgs"]).to(device)
        led = prev_actions(arrays["actions"]) if "actions" in arrays else arrays.get("prev_actions")
        self.prev_actions: Int[Tensor, "n t"] | None = None
        if led is not None:
            self.prev_actions = torch.as_tensor(led).to(device)

    def require_clips(self, clip_length: int) -> None:
        """Raise UserError when the sequences are shorter than a clip."""
        clip_starts(self.name, self.frames.shape[1], clip_length)

    def whole(self, at_once: int) -> Iterator[tuple[Video, PrevActions | None]]:
        """All sequences in order and in full, `at_once` at a time, with what led to each frame."""
        for first in range(0, len(self.frames), at_once):
            part = slice(first, first + at_once)
            yield to_video(self.frames[part]), None if self.prev_actions is None else self.prev_actions[part]

    def batch(
        self, step: int, batch_size: int, clip_length: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> Batch:
        """Batch number `step`, a pure function of the arguments; of several ranks each gets its share.

        Raises UserError when the sequences are shorter than a clip.
        """
        n, length = self.frames.shape[:2]
        sequences, starts = clip_positions(
            step,
            batch_size,
            seed,
            sequences=n,
            starts=clip_starts(self.name, length, clip_length),
            rank=rank,
            world_size=world_size,
        )
        return self.cut(sequences, starts, clip_length)

    def cut(self, sequences: np.ndarray, starts: np.ndarray, clip_length: int) -> Batch:
        """The clips of these sequences "b" that begin at these frames "b"."""
        length = self.frames.shape[1]
        sequences, starts = (torch.as_tensor(x).to(self.frames.device) for x in (sequences, starts))
        time = starts[:, None] + torch.arange(clip_length, device=self.frames.device)
        # index_select copies whole frames, which plain indexing does byte by byte.
        flat = rearrange(sequences[:, None] * length + time, "b t -> (b t)")
        frames = self.frames.flatten(0, 1).index_select(0, flat).unflatten(0, time.shape)
        actions = None if self.prev_actions is None else self.prev_actions[sequences[:, None], time]
        return Batch(to_video(frames), actions, sequences, starts)

    def close(self) -> None:
        """Nothing: no process runs beside it, as with clips that are read or made while the training runs."""


def _read(path: str | Path) -> dict[str, np.ndarray]:
    with reading(path), open_dataset(path) as file:
        return {key: file[key][:] for key in ("imgs", "actions") if key in file}


def clip_starts(name: str, length: int, clip_length: int) -> int:
    """How many clips a sequence holds."""
    if not 1 <= clip_length <= length:
        raise UserError(
            f"{name}: sequences of {length} frames hold no clip of clip_length={clip_length}; "
            f"take clips of 1 to {length} frames"
        )
    return length - clip_length + 1
