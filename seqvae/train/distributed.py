"""Data parallel training with torchrun: every rank computes its share of each batch.

Gradients are averaged in one flat all-reduce after the backward pass. For models of this size that costs
less than the bookkeeping of overlapping it, and it needs no wrapper around the model, whose methods other
than `forward` the objectives call. Weights start equal and stay equal, for every rank takes the same update.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqvae.types import UserError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. `control` is a group on the CPU for small agreements."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: Any = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """How many of a batch's sequences are this rank's.

        Raises:
            UserError: the batch does not divide evenly; the mean of the ranks' means would not be the mean.
        """
        if batch_size % self.size:
            raise UserError(f"trainer.batch_size={batch_size} does not divide among {self.size} processes")
        return batch_size // self.size

    def average_gradients(self, parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace gradients by their mean over ranks; returns the mean loss."""
        if self.size == 1:
            return loss
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([loss.detach().reshape(1), *(g.reshape(-1) for g in gradients)])
        dist.all_reduce(flat)
        flat /= self.size
        mean_loss, *chunks = flat.split([1, *(g.numel() for g in gradients)])
        for gradient, chunk in zip(gradients, chunks, strict=True):
            gradient.copy_(chunk.view_as(gradient))
        return mean_loss[0]

    def agree(self, *values: int | float) -> list[int | float]:
        """The largest of each value over ranks, so that all decide alike (a rank may see Ctrl-C first)."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.control)
        return tensor.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Everyone's value in order of rank, at rank 0; elsewhere the own one only."""
        if self.size == 1:
            return [value]
        everyone = [None] * self.size if self.first else None
        dist.gather_object(value, everyone, group=self.control)
        return everyone or [value]

    def same(self, value: Any) -> Any:
        """Rank 0's value, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, group=self.control)
        return box[0]

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier(group=self.control)

    def close(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()


ONE = Ranks()


def join(device: str) -> Ranks:
    """Join the processes that torchrun started, if it did: by NCCL for device "cuda", by Gloo for "cpu"."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return ONE
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    control = dist.new_group(backend="gloo")
    return Ranks(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", 0)), control)
