"""Short clips of a dataset that is held in memory, for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from data_gen.schema import open_dataset
from seqvae.data.errors import reading
from seqvae.data.frames import prev_actions, to_video
from seqvae.data.sampler import clip_positions
from seqvae.records import short_repr
from seqvae.types import UserError

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
