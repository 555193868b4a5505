"""Short clips of a dataset, for training: from memory where it fits, else from disk while training runs."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_gen.schema import open_dataset, read_info
from seqvae.data.errors import reading
from seqvae.data.frames import prev_actions, to_video
from seqvae.data.sampler import clip_batches, clip_positions
from seqvae.types import UserError


@dataclass(frozen=True)
class Batch:
    """Clips as a model takes them. prev_actions[:, t] led to frame t (None without actions).

    sequences, starts: where the clips come from in the dataset.
    """

    video: Float[Tensor, "b t c h w"]
    prev_actions: Int[Tensor, "b t"] | None
    sequences: Int[Tensor, " b"]
    starts: Int[Tensor, " b"]


class InMemoryClips:
    """Clips of a dataset that is held whole, as uint8 on the device where the clips are wanted."""

    def __init__(
        self, source: str | Path | Mapping[str, np.ndarray], device: torch.device | str = "cpu"
    ) -> None:
        """source: a dataset file, or arrays `imgs` "n t h w c" uint8 and optionally `actions` "n t" by name.

        Raises UserError for a file that cannot be read.
        """
        self.name = "arrays" if isinstance(source, Mapping) else str(source)
        arrays = source if isinstance(source, Mapping) else _read(source)
        self.frames: UInt8[Tensor, "n t h w c"] = torch.as_tensor(arrays["imgs"]).to(device)
        self.prev_actions: Int[Tensor, "n t"] | None = None
        if "actions" in arrays:
            self.prev_actions = prev_actions(arrays["actions"]).to(device)

    def whole(self, at_once: int) -> Iterator[Float[Tensor, "b t c h w"]]:
        """All sequences in order and in full, `at_once` at a time."""
        for frames in self.frames.split(at_once):
            yield to_video(frames)

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
            starts=_starts(self.name, length, clip_length),
            rank=rank,
            world_size=world_size,
        )
        sequences, starts = (torch.as_tensor(x).to(self.frames.device) for x in (sequences, starts))
        time = starts[:, None] + torch.arange(clip_length, device=self.frames.device)
        # index_select copies whole frames, which plain indexing does byte by byte.
        flat = rearrange(sequences[:, None] * length + time, "b t -> (b t)")
        frames = self.frames.flatten(0, 1).index_select(0, flat).unflatten(0, time.shape)
        actions = None if self.prev_actions is None else self.prev_actions[sequences[:, None], time]
        return Batch(to_video(frames), actions, sequences, starts)


class StreamedClips:
    """The same clips, read from disk ahead of the training by worker processes."""

    def __init__(self, path: str | Path, device: torch.device | str = "cpu", workers: int = 2) -> None:
        """Raises UserError for a file that cannot be read."""
        with reading(path):
            self.info = read_info(path)
        self.path, self.device, self.workers = Path(path), torch.device(device), workers
        self.prev_actions: Int[Tensor, "n t"] | None = None
        if "actions" in self.info.keys:
            with reading(path), open_dataset(path) as file:
                self.prev_actions = prev_actions(file["actions"][:]).to(self.device)
        self._wanted: tuple[int, ...] | None = None
        self._loader = iter(())

    def whole(self, at_once: int) -> Iterator[Float[Tensor, "b t c h w"]]:
        """All sequences in order and in full, `at_once` at a time."""
        with reading(self.path), open_dataset(self.path) as file:
            for first in range(0, self.info.sequences, at_once):
                yield to_video(torch.as_tensor(file["imgs"][first : first + at_once]).to(self.device))

    def batch(
        self, step: int, batch_size: int, clip_length: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> Batch:
        """As InMemoryClips.batch; steps in succession come from what is read ahead, a jump starts anew."""
        wanted = (step, batch_size, clip_length, seed, rank, world_size)
        if wanted != self._wanted:
            self._loader = iter(self._read_ahead(*wanted))
        clips = next(self._loader)
        self._wanted = (step + 1, *wanted[1:])
        frames, actions, sequences, starts = (
            None if x is None else x.to(self.device, non_blocking=True) for x in clips
        )
        return Batch(to_video(frames), actions, sequences, starts)

    def _read_ahead(self, step, batch_size, clip_length, seed, rank, world_size) -> DataLoader:
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
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=stack_clips,
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
        self.starts = _starts(str(path), info.length, clip_length)
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


def _read(path: str | Path) -> dict[str, np.ndarray]:
    with reading(path), open_dataset(path) as file:
        return {key: file[key][:] for key in ("imgs", "actions") if key in file}


def _starts(name: str, length: int, clip_length: int) -> int:
    """How many clips a sequence holds."""
    if not 1 <= clip_length <= length:
        raise UserError(
            f"{name}: sequences of {length} frames hold no clip of clip_length={clip_length}; "
            f"take clips of 1 to {length} frames"
        )
    return length - clip_length + 1
