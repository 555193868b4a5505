"""The share of a batch that this process computes, where several train together.

Row i of the share is row `rank + i size` of the batch. Noise is drawn for the whole batch in every process,
which then keeps its own rows: so a training draws the same numbers whatever the number of its processes.
Parts draw with `randn_like` and `rand_like` of this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

# Processes.


class LostProcess(RuntimeError):
    """Another process of the training has ended before its end."""


@contextmanager
def losses_noticed() -> Iterator[None]:
    """Raise LostProcess where processes that train together cannot reach one that has ended."""
    try:
        yield
    except RuntimeError as error:  # of torch.distributed, whose classes differ between its backends
        raise LostProcess(str(error)) from error


# Rows of a batch.


@dataclass(frozen=True)
class Share:
    """Share number `rank` of `size`."""

    rank: int = 0
    size: int = 1


WHOLE = Share()
_share = WHOLE  # outside of `sharing`


@contextmanager
def sharing(rank: int, size: int) -> Iterator[None]:
    """Let the tensors inside the context be share number `rank` of `size` of a batch."""
    global _share
    before, _share = _share, WHOLE if size == 1 else Share(rank, size)
    try:
        yield
    finally:
        _share = before


def randn_like(x: Tensor) -> Tensor:
    """Draw from N(0, 1) in shape, dtype and device of x "b ..."."""
    return torch.randn_like(x) if _share.size == 1 else own_rows(torch.randn_like(_like_batch(x)))


def rand_like(x: Tensor) -> Tensor:
    """Draw from the uniform distribution on [0, 1) in shape, dtype and device of x "b ..."."""
    return torch.rand_like(x) if _share.size == 1 else own_rows(torch.rand_like(_like_batch(x)))


def own_rows(x: Tensor) -> Tensor:
    """Return the rows of this share of x, whose first axis is that of the whole batch."""
    return x if _share.size == 1 else x[_share.rank :: _share.size]


def rows_of_batch(share: int) -> int:
    """Return the rows of the batch, given those of this share."""
    return share * _share.size


def gather_rows(x: Tensor) -> Tensor:
    """Return x "b ..." for the whole batch, without a gradient, from all processes; each has to call it."""
    if _share.size == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(_share.size)]
    with losses_noticed():
        dist.all_gather(parts, x.detach().contiguous())
    return torch.stack(parts, 1).flatten(0, 1)


def _like_batch(x: Tensor) -> Tensor:
    """Return an empty tensor of the whole batch, with the order of axes in memory that x has."""
    # numbers are drawn in that order
    strides = torch.empty_like(x).stride()
    order = sorted(range(x.dim()), key=lambda axis: -strides[axis])
    shape = (rows_of_batch(x.shape[0]), *x.shape[1:])
    return torch.empty_permuted(shape, order, dtype=x.dtype, device=x.device)
