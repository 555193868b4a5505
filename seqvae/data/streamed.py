"""Clips of a dataset: from memory where it fits, else read from disk ahead of the training."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_gen.schema import DatasetFile, DatasetInfo, open_dataset, read_info
from data_gen.workers import begin_worker, signals_held
from seqvae.data.clips import Batch, ClipRequest, InMemoryClips, Video, clip_starts
from seqvae.data.conversion import to_device, to_video
from seqvae.data.interaction import KEYS, Interaction
from seqvae.data.sequences import open_arrays, reading
from seqvae.errors import UserError
from seqvae.tree import concat_batch

# Processes that read or make data ahead of the training, and end with it.


class Prefetcher:
    """Iterator over the items of a dataset, made by worker processes before they are asked for.

    Workers end with the training, also with one that is killed.
    """

    def __init__(self, dataset: Dataset, workers: int, **options: Any) -> None:
        """Start the workers. options: of torch's DataLoader."""
        # a generator of its own: else a new loader would draw from the generator of the training
        generator = torch.Generator()
        loader = DataLoader(
            dataset, num_workers=workers, worker_init_fn=_begin_worker, generator=generator, **options
        )
        with signals_held():
            self._items: Iterator[Any] = iter(loader)
        atexit.register(self.close)  # else the exit would wait for workers that wait for work

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Any:
        """Return the next item.

        Raises:
            UserError: a worker raised it; in its one line.
        """
        try:
            return next(self._items)
        except UserError as error:
            # torch puts the worker's whole traceback into the message; what was said is its last line
            line = str(error).strip().splitlines()[-1]
            raise UserError(line.removeprefix(f"{UserError.__module__}.UserError: ")) from None

    def close(self) -> None:
        """End the workers."""
        items, self._items = self._items, iter(())
        # torch would do so when nobody holds the iterator any more, but an exception out of it may
        shut_down = getattr(items, "_shutdown_workers", None)
        if shut_down is not None:
            shut_down()
        atexit.unregister(self.close)


def is_death_of_worker(error: RuntimeError) -> bool:
    """Return whether torch says that a worker process was killed; it may raise that at any moment."""
    return "DataLoader worker" in str(error)


def _begin_worker(worker: int) -> None:
    # torch notices the death of the parent too, but then waits for ever to hand over what it holds
    begin_worker()
    # torch still has a thread that hands over what nobody wants; the interpreter's end would abort in it
    Finalize(None, os._exit, args=(0,), exitpriority=-1000)


# Clips read from disk.

HELD_FRAMES = 10**7  # of data sets whose actions, rewards and ends are held: 13 bytes a frame, 130 MB


def _interaction(
    info: DatasetInfo, arrays: Mapping[str, Any], part: slice, device: torch.device | str
) -> Interaction:
    found = {key: arrays[key][part] for key in KEYS if key in arrays}
    return Interaction.of(found, device, info.num_actions, str(info.path))


class StreamedClips:
    """Clips as InMemoryClips has them, read from disk ahead of the training by worker processes."""

    def __init__(
        self,
        path: str | Path,
        device: torch.device | str = "cpu",
        workers: int = 2,
        start_method: str | None = None,
    ) -> None:
        """Open a dataset. Its frames and actions stay on disk.

        workers: number of processes that read; 0: this one does.
        start_method: how workers are started, fork, spawn or forkserver; by default as the platform does.

        Raises:
            UserError: the file cannot be read.
        """
        with reading(path):
            self.info = read_info(path)
        self.path, self.device, self.workers = Path(path), torch.device(device), workers
        self.start_method = start_method
        self._held: Interaction | None = None  # of all sequences, where that takes little memory
        if self.info.sequences * self.info.length <= HELD_FRAMES:
            with open_arrays(path) as arrays:
                self._held = _interaction(self.info, arrays, slice(None), device)
        self._next: ClipRequest | None = None  # what the prefetcher returns next
        self._prefetcher: Prefetcher | None = None

    def require_clips(self, clip_length: int) -> None:
        """Raise UserError when the sequences are shorter than a clip."""
        clip_starts(str(self.path), self.info.length, clip_length)

    def full_sequences(
        self, at_once: int, rank: int = 0, size: int = 1
    ) -> Iterator[tuple[int, Video, Interaction]]:
        """Yield the sequences, or a share of them, as InMemoryClips does."""
        self.close()
        with open_arrays(self.path) as arrays:
            for first in range(rank * at_once, self.info.sequences, size * at_once):
                part = slice(first, first + at_once)
                video = to_video(torch.as_tensor(arrays["imgs"][part]).to(self.device))
                yield first, video, _interaction(self.info, arrays, part, self.device)

    def batch(self, request: ClipRequest) -> Batch:
        """Return the clips of a request.

        Steps in succession come from the prefetcher; a jump starts a new one.

        Raises:
            UserError: the sequences are shorter than a clip, or the file is damaged.
        """
        if self._prefetcher is None or request != self._next:
            self.close()
            self._prefetcher = self._start(request)
        frames, *places = next(self._prefetcher)
        self._next = request.following()
        sequences, starts = (self._move(x) for x in places)
        time = starts[:, None] + torch.arange(request.clip_length, device=self.device)
        given, rows = (self._held, sequences) if self._held is not None else self._read_interaction(places[0])
        given = given.map(lambda x: x[rows[:, None], time])
        video = to_video(self._move(frames))
        return Batch(video, given.prev_actions, sequences, starts, given.rewards, given.ends)

    @property
    def interaction(self) -> Interaction:
        """Actions, rewards and ends of all sequences; read anew where they are not held."""
        if self._held is not None:
            return self._held
        with open_arrays(self.path) as arrays:
            return _interaction(self.info, arrays, slice(None), self.device)

    def _read_interaction(self, sequences: Tensor) -> tuple[Interaction, Tensor]:
        """Return what passes in these sequences "b", numbers on the host, and the rows where they are."""
        rows, inverse = np.unique(sequences.numpy(), return_inverse=True)
        with open_arrays(self.path) as arrays:
            parts = [_interaction(self.info, arrays, slice(row, row + 1), "cpu") for row in rows.tolist()]
        given = concat_batch(parts).map(lambda x: to_device(x, self.device))
        return given, to_device(inverse, self.device)

    def close(self) -> None:
        """End the workers; the next batch starts new ones."""
        if self._prefetcher is not None:
            self._prefetcher.close()
        self._prefetcher = self._next = None

    def _move(self, x: Tensor) -> Tensor:
        return x.to(self.device, non_blocking=True)

    def _start(self, request: ClipRequest) -> Prefetcher:
        dataset = ClipDataset(self.path, request.clip_length)
        return Prefetcher(
            dataset,
            self.workers,
            batch_sampler=dataset.batches(request),
            collate_fn=stack_clips,
            multiprocessing_context=self.start_method if self.workers else None,
            pin_memory=self.device.type == "cuda",
        )


class ClipDataset(Dataset):
    """All clips of a dataset; clip number i starts at frame i % starts of sequence i // starts.

    The file is opened when a process first reads from it, and never travels between processes.
    """

    def __init__(self, path: str | Path, clip_length: int) -> None:
        """Look at a dataset.

        Raises:
            UserError: the file cannot be read, or its sequences are shorter than a clip.
        """
        with reading(path):
            info = read_info(path)
        self.path, self.clip_length = Path(path), clip_length
        self.sequences = info.sequences
        self.starts = clip_starts(str(path), info.length, clip_length)
        self._file: DatasetFile | None = None
        self._process: int | None = None

    def __len__(self) -> int:
        return self.sequences * self.starts

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        """Return frames uint8 "t h w c", the sequence and its first frame."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        sequence, start = divmod(index, self.starts)
        time = slice(start, start + self.clip_length)
        with reading(self.path):
            frames = self._open()["imgs"][sequence, time]
        return frames, sequence, start

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": None}

    def batches(self, request: ClipRequest) -> Iterator[list[int]]:
        """Yield the batches from a request on, without end, as numbers of clips: a batch_sampler."""
        while True:
            sequences, first = request.positions(self.sequences, self.starts)
            yield (sequences * self.starts + first).tolist()
            request = request.following()

    def _open(self) -> DatasetFile:
        if self._file is None or self._process != os.getpid():  # a fork must not use its parent's handle
            self._file = open_dataset(self.path)
            self._process = os.getpid()
        return self._file


def stack_clips(clips: list[tuple[np.ndarray, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Stack items of a ClipDataset along a new first axis: its collate_fn."""
    frames, sequences, starts = zip(*clips, strict=True)
    return torch.as_tensor(np.stack(frames)), torch.tensor(sequences), torch.tensor(starts)


def open_clips(
    path: str | Path, device: torch.device | str = "cpu", memory: int = 4 * 2**30, workers: int = 2
) -> InMemoryClips | StreamedClips:
    """Open the clips of a dataset, from memory where its frames fit into `memory` bytes, else streamed.

    Raises:
        UserError: the file cannot be read.
    """
    with reading(path):
        info = read_info(path)
    fits = info.sequences * info.length * info.height * info.width * 3 <= memory
    return InMemoryClips(path, device) if fits else StreamedClips(path, device, workers)
