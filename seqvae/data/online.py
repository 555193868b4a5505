"""Clips and sequences of a simulator, made while the training runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count

import numpy as np
import torch
from torch.utils.data import Dataset

from data_gen.errors import DataError
from data_gen.splits import BLOCK, Split, make_sequences
from seqvae.data.clips import (
    Batch,
    ClipRequest,
    InMemoryClips,
    Positions,
    Video,
    clip_starts,
)
from seqvae.data.conversion import to_device
from seqvae.data.interaction import KEYS, Interaction
from seqvae.data.sequences import Sequences, fields_of
from seqvae.data.streamed import Prefetcher
from seqvae.errors import UserError
from seqvae.streams import Stream, generator
from seqvae.tree import concat_batch

ENDLESS = sys.maxsize  # sequences of a split that is never finished

# A round: what a worker makes at a time, and what is shuffled together.
_ROUND_BLOCKS, _ROUND_BYTES = 4, 256 * 2**20


class OnlineClips:
    """Clips of a split without end; each frame is shown once.

    Round r consists of the sequences r * size ... (r + 1) * size - 1 of the split, cut into clips. Of several
    ranks, each has rounds of its own. So the clips are new, and still a pure function of the request.
    """

    def __init__(
        self, split: Split, device: torch.device | str = "cpu", workers: int = 2, sequences: int = 1000
    ) -> None:
        """Prepare to simulate.

        workers: number of processes that simulate; 0: this one does.
        sequences: number of sequences that `full_sequences` yields.
        """
        self.split, self.device, self.workers = split, torch.device(device), workers
        self.sequences = sequences
        fitting = max(_ROUND_BYTES // (split.length * split.image_size**2 * 3), 1)
        self.size = min(fitting // BLOCK * BLOCK or fitting, _ROUND_BLOCKS * BLOCK)
        self._prefetcher: Prefetcher | None = None
        self._next: tuple[int, int] | None = None  # number of the round that comes next, number of ranks
        self._held: tuple[int, InMemoryClips] | None = None  # a round and its number

    def require_clips(self, clip_length: int) -> None:
        """Raise UserError when the sequences are shorter than a clip."""
        clip_starts("online", self.split.length, clip_length)

    def full_sequences(
        self, at_once: int, rank: int = 0, size: int = 1
    ) -> Iterator[tuple[int, Video, Interaction]]:
        """Yield the first `sequences` sequences in order and in full, as InMemoryClips does.

        rank, size: of `size` processes, each gets every `size`-th round
        """
        self.close()
        rounds = range(rank, -(-self.sequences // self.size), size)
        with closing(self._simulate(rounds)) as simulated_rounds:
            for number, arrays in zip(rounds, simulated_rounds, strict=True):
                before = number * self.size
                left = self.sequences - before
                clips = InMemoryClips({key: array[:left] for key, array in arrays.items()}, self.device)
                for first, video, given in clips.full_sequences(at_once):
                    yield before + first, video, given

    def batch(self, request: ClipRequest) -> Batch:
        """Return the clips of a request.

        Steps in succession come from the prefetcher; a jump starts a new one.

        Raises:
            UserError: the sequences are shorter than a clip, or the simulator cannot make them.
        """
        self.require_clips(request.clip_length)
        per_round = self.size * (self.split.length // request.clip_length)
        numbers = request.step * request.share + np.arange(request.share)  # of this rank's clips
        turns, places = np.divmod(numbers, per_round)
        parts = []
        for turn in np.unique(turns):
            number = int(turn) * request.world_size + request.rank
            sequences, starts = round_positions(
                number, request.seed, self.size, self.split.length, request.clip_length
            )
            chosen = places[turns == turn]
            clips = self._get_round(number, request.world_size)
            part = clips.cut(sequences[chosen], starts[chosen], request.clip_length)
            parts.append(replace(part, sequences=part.sequences + number * self.size))
        return parts[0] if len(parts) == 1 else concat_batch(parts)

    def close(self) -> None:
        """End the workers; the next batch starts new ones."""
        if self._prefetcher is not None:
            self._prefetcher.close()
        self._prefetcher = self._next = self._held = None

    def _get_round(self, number: int, world_size: int) -> InMemoryClips:
        """Return a round, which is held on the device until another one is asked for."""
        if self._held is not None and self._held[0] == number:
            return self._held[1]
        if self._prefetcher is None or (number, world_size) != self._next:
            self.close()
            self._prefetcher = self._simulate(count(number, world_size))
        self._held = None  # before the next, so that both are never held
        arrays = {key: to_device(array, self.device) for key, array in next(self._prefetcher).items()}
        clips = InMemoryClips(arrays, self.device)
        self._held, self._next = (number, clips), (number + world_size, world_size)
        return clips

    def _simulate(self, numbers: Iterable[int]) -> Prefetcher:
        return Prefetcher(
            _Rounds(self.split, self.size),
            self.workers,
            sampler=numbers,
            batch_size=None,
            collate_fn=_pass_on,
            # spawned: a fork would copy the training's threads and its hold on the GPU
            multiprocessing_context="spawn" if self.workers else None,
            prefetch_factor=1 if self.workers else None,
        )


def round_positions(number: int, seed: int, sequences: int, length: int, clip_length: int) -> Positions:
    """Draw the sequence and the first frame of all clips of round `number`, in the order of their use.

    Each sequence is cut into as many clips as it holds, without overlap, from a first frame drawn for it.
    All sequences show one of their clips before any shows its next.
    """
    rng = generator(Stream.ROUNDS, seed, number)
    clips = length // clip_length
    first = rng.integers(length - clips * clip_length + 1, size=sequences)
    clip = rng.permuted(np.tile(np.arange(clips), (sequences, 1)), axis=1)  # of a sequence, in a pass
    order = rng.permuted(np.tile(np.arange(sequences), (clips, 1)), axis=1)  # of sequences, in a pass
    starts = first[order] + clip_length * clip[order, np.arange(clips)[:, None]]
    return order.ravel(), starts.ravel()


class _Rounds(Dataset):
    """Item r: frames, actions, rewards and ends of round r.

    As NumPy arrays, which need no shared memory to travel.
    """

    def __init__(self, split: Split, size: int) -> None:
        self.split, self.size = split, size

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        arrays = _make(self.split, number * self.size, (number + 1) * self.size)
        return {key: arrays[key] for key in ("imgs", *KEYS) if key in arrays}


def _pass_on(item: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return an item unchanged: a collate_fn, without which torch would make tensors of it."""
    return item


def simulate(split: Split, simulator: str) -> Sequences:
    """Make all sequences of a split, here and now. simulator: its name.

    Raises:
        UserError: the simulator cannot make them.
    """
    world = split.simulator
    arrays = _make(split, 0, split.sequences)
    reach = getattr(type(world), "reach", None)
    return Sequences(
        name=f"{simulator} ({split.name})",
        coord_limit=world.limit,
        num_actions=world.num_actions,
        simulator=simulator,
        **fields_of(arrays, world.limit, reach, world.shape_names),
    )


def _make(split: Split, start: int, stop: int) -> dict[str, np.ndarray]:
    try:
        return make_sequences(split, start, stop)
    except DataError as error:
        raise UserError(str(error)) from None
