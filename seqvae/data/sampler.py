"""Which clips a training step sees: a pure function of seed and step, so a resume needs the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from seqvae.streams import Stream, seed_sequence
from seqvae.types import UserError


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
