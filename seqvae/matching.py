"""Assignment of unordered slots to predicted ones, in torch, batched."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor

EXACT_UP_TO = 6  # 720 permutations; beyond that the greedy assignment


@lru_cache(maxsize=32)
def _permutations(k: int, device: torch.device) -> Int[Tensor, "p k"]:
    with torch.inference_mode(False):  # kept for later calls, which may want gradients
        return torch.tensor(list(permutations(range(k))), device=device)


def assign(cost: Float[Tensor, "b i j"], kept: int = 0) -> Int[Tensor, "b i"]:
    """For each row i the column j that it takes: one to one, with the least total cost.

    The first `kept` rows, those of a background, keep their own columns.

    Exact by enumeration up to 6 slots, where rows that do not differ (before a first frame) leave the
    columns in their order; greedy above, cheapest pair first.
    """
    if kept:
        own = torch.arange(kept, device=cost.device).expand(cost.shape[0], -1)
        return torch.cat([own, kept + assign(cost[:, kept:, kept:])], 1)
    k = cost.shape[-1]
    if k > EXACT_UP_TO:
        return _greedy(cost)
    candidates = _permutations(k, cost.device)
    rows = torch.arange(k, device=cost.device)
    # less the first row, which every permutation pays alike: equal rows then tie exactly, not up to rounding
    totals = (cost - cost[:, :1])[:, rows, candidates].sum(-1)  # b p
    return candidates[totals.argmin(-1)]


def track(position: Float[Tensor, "b t k 2"], kept: int = 0) -> Int[Tensor, "b t k"]:
    """For each frame the order of its slots that follows those of the first frame, nearest to nearest.

    The first `kept` slots keep their place.
    """
    order = torch.arange(position.shape[2], device=position.device).expand(position.shape[0], -1)
    orders = [order]
    for before, now in zip(position.unbind(1)[:-1], position.unbind(1)[1:], strict=True):
        order = assign(squared_distances(reorder(before, order), now), kept)
        orders.append(order)
    return torch.stack(orders, 1)


def _greedy(cost: Tensor) -> Tensor:
    b, k, _ = cost.shape
    left = cost.clone()
    columns = torch.zeros(b, k, dtype=torch.long, device=cost.device)
    for _ in range(k):
        cheapest = left.flatten(1).argmin(-1)
        row, column = cheapest // k, cheapest % k
        columns.scatter_(1, row[:, None], column[:, None])
        left.scatter_(1, row[:, None, None].expand(b, 1, k), torch.inf)
        left.scatter_(2, column[:, None, None].expand(b, k, 1), torch.inf)
    return columns


def reorder(x: Tensor, order: Int[Tensor, "b k"]) -> Tensor:
    """x (b, k, ...) with slot i replaced by slot order[:, i]."""
    index = order.reshape(order.shape + (1,) * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)


def squared_distances(a: Float[Tensor, "b i d"], b: Float[Tensor, "b j d"]) -> Float[Tensor, "b i j"]:
    return (a[:, :, None] - b[:, None]).square().sum(-1)
