"""Clips of sequences that a simulator makes while the training runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
    InMemoryClips,
    PrevActions,
    Video,
    clip_starts,
    fresh_positions,
    join,
    share_of,
)
from seqvae.data.sequences import Sequences, fields_of, reach_of
from seqvae.data.streamed import ReadAhead
from seqvae.errors import UserError

ENDLESS = sys.maxsize  # sequences of a split that is never finished

# A round: what a worker makes at a time, and what is shuffled together.
_ROUND_BLOCKS, _ROUND_BYTES = 4, 256 * 2**20


class OnlineClips:
    """Clips of a split without end, each frame of which is shown once.

    Round r consists of the sequences r * size ... (r + 1) * size - 1 of the split, cut into clips. Of several
    ranks, each has rounds of its own. So the clips are new, and still a pure function of seed and step.
    """

    def __init__(
        self, split: Split, device: torch.device | str = "cpu", workers: int = 2, sequences: int = 1000
    ) -> None:
        """workers: processes that simulate; 0: this one does.  sequences: how many `whole` yields."""
        self.split, self.device, self.workers = split, torch.device(device), workers
        self.sequences = sequences
        fitting = max(_ROUND_BYTES // (split.length * split.image_size**2 * 3), 1)
        self.size = min(fitting // BLOCK * BLOCK or fitting, _ROUND_BLOCKS * BLOCK)
        self._ahead: ReadAhead | None = None
        self._coming: tuple[int, int] | None = None  # the round that comes next, and the ranks
        self._number, self._round = -1, None

    def require_clips(self, clip_length: int) -> None:
        """Raise UserError when the sequences are shorter than a clip."""
        clip_starts("online", self.split.length, clip_length)

    def whole(self, at_once: int) -> Iterator[tuple[Video, PrevActions | None]]:
        """The first `sequences` sequences in order and in full, `at_once` at a time."""
        self.close()
        with closing(self._simulate(range(-(-self.sequences // self.size)))) as rounds:
            left = self.sequences
            for arrays in rounds:
                clips = InMemoryClips({key: array[:left] for key, array in arrays.items()}, self.device)
                yield from clips.whole(at_once)
                left -= self.size

    def batch(
        self, step: int, batch_size: int, clip_length: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> Batch:
        """Batch number `step`, a pure function of the arguments and the split.

        Steps in succession come from what is made ahead, a jump starts anew. Raises UserError when the
        sequences are shorter than a clip, or the simulator cannot make them.
        """
        self.require_clips(clip_length)
        share = share_of(batch_size, world_size)
        places = step * share + np.arange(share)
        turns, within = np.divmod(places, self.size * (self.split.length // clip_length))
        parts = []
        for turn in np.unique(turns):
            number = int(turn) * world_size + rank
            sequences, starts = fresh_positions(
                number, seed, sequences=self.size, length=self.split.length, clip_length=clip_length
            )
            chosen = within[turns == turn]
            part = self._get(number, world_size).cut(sequences[chosen], starts[chosen], clip_length)
            parts.append(replace(part, sequences=part.sequences + number * self.size))
        return join(parts)

    def close(self) -> None:
        """End the workers; the next batch starts new ones."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._coming = self._round = None
        self._number = -1

    def _get(self, number: int, world_size: int) -> InMemoryClips:
        """A round, held on the device until another one is asked for."""
        if number != self._number:
            if (number, world_size) != self._coming:
                self.close()
                self._ahead = self._simulate(count(number, world_size))
            self._round = None  # before the next, so that both are never held
            self._round = InMemoryClips(next(self._ahead), self.device)
            self._number, self._coming = number, (number + world_size, world_size)
        return self._round

    def _simulate(self, numbers) -> ReadAhead:
        return ReadAhead(
            _Rounds(self.split, self.size),
            self.workers,
            sampler=numbers,
            batch_size=None,
            collate_fn=_as_it_is,
            # spawned: a fork would copy the training's threads and its hold on the GPU
            multiprocessing_context="spawn" if self.workers else None,
            prefetch_factor=1 if self.workers else None,
        )


class _Rounds(Dataset):
    """Item r: frames and actions of round r. As NumPy arrays, which need no shared memory to travel."""

    def __init__(self, split: Split, size: int) -> None:
        self.split, self.size = split, size

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        try:
            arrays = make_sequences(self.split, number * self.size, (number + 1) * self.size)
        except DataError as error:
            raise UserError(str(error)) from None
        return {key: arrays[key] for key in ("imgs", "actions") if key in arrays}


def _as_it_is(item):
    return item


def simulated(split: Split, simulator: str) -> Sequences:
    """All sequences of a split, made here and now. simulator: its name.

    Raises UserError where the simulator cannot make them.
    """
    try:
        arrays = make_sequences(split, 0, split.sequences)
    except DataError as error:
        raise UserError(str(error)) from None
    world = split.simulator
    return Sequences(
        name=f"{simulator} ({split.name})",
        coord_limit=world.limit,
        num_actions=world.num_actions,
        simulator=simulator,
        reach=reach_of(
            getattr(type(world), "reach", None), arrays.get("sizes"), arrays.get("shapes"), world.shape_names
        ),
        **fields_of(arrays),
    )
