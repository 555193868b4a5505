"""Clips of a dataset file: from memory where it fits, else from disk, ahead of the training."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_gen.schema import open_dataset, read_info
from seqvae.data.clips import Batch, InMemoryClips, PrevActions, Video, clip_batches, clip_starts
from seqvae.data.sequences import prev_actions, reading, to_video
from seqvae.errors import UserError

# Processes that read or make data ahead of the training, and end with it.


class ReadAhead:
    """The items of a dataset in order, made by worker processes before they are asked for.

    options: of torch's DataLoader. Workers end with the training, also with one that is killed.
    """

    def __init__(self, dataset: Dataset, workers: int, **options: Any) -> None:
        # a generator of its own: else a loader that starts anew would draw from that of the training
        own = torch.Generator()
        loader = DataLoader(dataset, num_workers=workers, worker_init_fn=_begin, generator=own, **options)
        self._items: Iterator[Any] = iter(loader)
        atexit.register(self.close)  # else the exit would wait for workers that wait for work

    def __iter__(self) -> "ReadAhead":
        return self

    def __next__(self) -> Any:
        """The next item. Raises UserError in the one line in which a worker raised it."""
        try:
            return next(self._items)
        except UserError as error:
            # torch puts the worker's whole traceback into the message; what was said is its last line
            last = str(error).strip().splitlines()[-1]
            raise UserError(last.removeprefix(f"{UserError.__module__}.UserError: ")) from None

    def close(self) -> None:
        """End the workers."""
        items, self._items = self._items, iter(())
        # torch would do so when nobody holds the iterator any more, but an exception out of it may
        if hasattr(items, "_shutdown_workers"):
            items._shutdown_workers()
        atexit.unregister(self.close)


def is_death_of_worker(error: RuntimeError) -> bool:
    """Whether torch says with `error` that a worker process was killed; it may say so at any moment."""
    return "DataLoader worker" in str(error)


def _begin(worker: int) -> None:
    """Called in each worker at its start."""
    # Ctrl-C reaches every process of a terminal. The training saves first, and then ends its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # torch notices the death of the parent too, but then waits for ever to hand over what it holds
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # torch still has a thread that hands over what nobody wants; the interpreter's end would abort in it
    Finalize(None, os._exit, args=(0,), exitpriority=-1000)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


class StreamedClips:
    """The clips of InMemoryClips, read from disk ahead of the training by worker processes."""

    def __init__(
        self,
        path: str | Path,
        device: torch.device | str = "cpu",
        workers: int = 2,
        start_method: str | None = None,
    ) -> None:
        """start_method: how workers are started, fork, spawn or forkserver; by default as the platform does.

        Raises UserError for a file that cannot be read.
        """
        with reading(path):
            self.info = read_info(path)
        self.path, self.device, self.workers = Path(path), torch.device(device), workers
        self.start_method = start_method
        self.prev_actions: Int[Tensor, "n t"] | None = None
        if "actions" in self.info.keys:
            with reading(path), open_dataset(path) as file:
                self.prev_actions = prev_actions(file["actions"][:]).to(self.device)
        self._wanted: tuple[int, ...] | None = None
        self._ahead: ReadAhead | None = None

    def require_clips(self, clip_length: int) -> None:
        """Raise UserError when the sequences are shorter than a clip."""
        clip_starts(str(self.path), self.info.length, clip_length)

    def whole(self, at_once: int) -> Iterator[tuple[Video, PrevActions | None]]:
        """All sequences in order and in full, `at_once` at a time, with what led to each frame."""
        self.close()
        with reading(self.path), open_dataset(self.path) as file:
            for first in range(0, self.info.sequences, at_once):
                part = slice(first, first + at_once)
                video = to_video(torch.as_tensor(file["imgs"][part]).to(self.device))
                yield video, None if self.prev_actions is None else self.prev_actions[part]

    def batch(
        self, step: int, batch_size: int, clip_length: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> Batch:
        """As InMemoryClips.batch; steps in succession come from what is read ahead, a jump starts anew."""
        wanted = (step, batch_size, clip_length, seed, rank, world_size)
        if wanted != self._wanted:
            self.close()
            self._ahead = self._read_ahead(*wanted)
        clips = next(self._ahead)
        self._wanted = (step + 1, *wanted[1:])
        frames, actions, sequences, starts = (
            None if x is None else x.to(self.device, non_blocking=True) for x in clips
        )
        return Batch(to_video(frames), actions, sequences, starts)

    def close(self) -> None:
        """End the workers; the next batch starts new ones."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._wanted = None

    def _read_ahead(self, step, batch_size, clip_length, seed, rank, world_size) -> ReadAhead:
        dataset = ClipDataset(self.path, clip_length)
        batches = clip_batches(
            step,
            batch_size,
            seed,
            sequences=dataset.sequences,
            starts=dataset.starts,
            rank=rank,
            world_size=world_size,
        )
        return ReadAhead(
            dataset,
            self.workers,
            batch_sampler=batches,
            collate_fn=stack_clips,
            multiprocessing_context=self.start_method if self.workers else None,
            pin_memory=self.device.type == "cuda",
        )


class ClipDataset(Dataset):
    """All clips of a dataset file; clip number i starts at frame i % starts of sequence i // starts.

    The file is opened when a process first reads from it, and never travels between processes.
    """

    def __init__(self, path: str | Path, clip_length: int) -> None:
        """Raises UserError for a file that cannot be read, or whose sequences are shorter than a clip."""
        with reading(path):
            info = read_info(path)
        self.path, self.clip_length = Path(path), clip_length
        self.sequences, self.has_actions = info.sequences, "actions" in info.keys
        self.starts = clip_starts(str(path), info.length, clip_length)
        self._file, self._process = None, None

    def __len__(self) -> int:
        return self.sequences * self.starts

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray | None, int, int]:
        """Frames uint8 "t h w c", previous actions "t" or None, the sequence and its first frame."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        sequence, start = divmod(index, self.starts)
        time = slice(start, start + self.clip_length)
        with reading(self.path):
            file = self._open()
            frames, actions = file["imgs"][sequence, time], None
            if self.has_actions:
                actions = prev_actions(file["actions"][sequence][None])[0, time].numpy()
        return frames, actions, sequence, start

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None, "_process": None}

    def _open(self):
        if self._process != os.getpid():  # a forked process must not use its parent's handle
            self._file, self._process = open_dataset(self.path), os.getpid()
        return self._file


def stack_clips(clips: list[tuple]) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Items of a ClipDataset along a new first axis: its collate_fn."""
    return tuple(
        None if column[0] is None else torch.as_tensor(np.stack(column))
        for column in zip(*clips, strict=True)
    )


def open_clips(
    path: str | Path, device: torch.device | str = "cpu", memory: int = 4 * 2**30, workers: int = 2
) -> InMemoryClips | StreamedClips:
    """Clips of a dataset file, from memory where its frames fit into `memory` bytes, else streamed.

    Raises UserError for a file that cannot be read.
    """
    with reading(path):
        info = read_info(path)
    fits = info.sequences * info.length * info.height * info.width * 3 <= memory
    return InMemoryClips(path, device) if fits else StreamedClips(path, device, workers)
