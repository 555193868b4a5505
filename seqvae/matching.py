"""Assignment of unordered slots to predicted ones, batched, in torch."""

from __future__ import annotations

from itertools import permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EXACT_UP_TO = 6  # slots: 720 permutations; greedy above


# tables of permutations by slots and device, in a dict: a compiled function finds one as it finds a weight
_tables: dict[tuple[int, str, int | None], Tensor] = {}


def table_of_permutations(k: int, device: torch.device) -> Int[Tensor, "p k"]:
    """Return all permutations of 0 ... k - 1, the identity first; made once per device."""
    key = (k, device.type, device.index)
    if key not in _tables:
        with torch.inference_mode(False):  # kept for later calls, which may need gradients
            _tables[key] = torch.tensor(list(permutations(range(k))), device=device)
    return _tables[key]


def assign(cost: Float[Tensor, "b i j"], kept: int = 0) -> Int[Tensor, "b i"]:
    """Return the column of each row in the one-to-one assignment of least total cost.

    Up to 6 slots it is exact, by enumeration, and the identity if all rows are equal, as before a first
    frame. Above it is greedy, cheapest pair first.

    kept: number of rows, the first ones (a background), that keep their own columns
    """
    if kept:
        identity = torch.arange(kept, device=cost.device).expand(cost.shape[0], -1)
        return torch.cat([identity, kept + assign(cost[:, kept:, kept:])], 1)
    k = cost.shape[-1]
    if k > EXACT_UP_TO:
        return _greedy(cost)
    candidates = table_of_permutations(k, cost.device)  # p k
    rows = torch.arange(k, device=cost.device)
    # Without the first row, whose columns sum to the same in every permutation, equal rows tie exactly and
    # not up to rounding; argmin then takes the first permutation, the identity.
    totals = (cost - cost[:, :1])[:, rows, candidates].sum(-1)  # b p
    return candidates[totals.argmin(-1)]


def track(
    place: Float[Tensor, "b t k d"], kept: int = 0, known: Bool[Tensor, "b t k d"] | None = None
) -> Int[Tensor, "b t k"]:
    """Return, per frame, the order of slots that follows those of the first frame, nearest to nearest.

    place: positions, or any numbers whose distances tell slots apart
    kept: number of slots, the first ones, that keep their place
    known: False marks numbers that a frame does not show; those of an earlier frame stand for them
    """
    order = torch.arange(place.shape[2], device=place.device).expand(place.shape[0], -1)
    orders, before = [order], place[:, 0]
    for t in range(1, place.shape[1]):
        shown = None if known is None else known[:, t]
        order = assign(squared_distances(before, place[:, t], shown), kept)
        now = reorder(place[:, t], order)
        before = now if shown is None else torch.where(reorder(shown, order), now, before)
        orders.append(order)
    return torch.stack(orders, 1)


def _greedy(cost: Float[Tensor, "b k k"]) -> Int[Tensor, "b k"]:
    """Take the cheapest pair of a row and a column that are both free, k times."""
    b, k, _ = cost.shape
    cost = cost.clone()
    columns = torch.zeros(b, k, dtype=torch.long, device=cost.device)
    for _ in range(k):
        cheapest = cost.flatten(1).argmin(-1)
        row, column = cheapest // k, cheapest % k
        columns.scatter_(1, row[:, None], column[:, None])
        cost.scatter_(1, row[:, None, None].expand(b, 1, k), torch.inf)
        cost.scatter_(2, column[:, None, None].expand(b, k, 1), torch.inf)
    return columns


def reorder(x: Tensor, order: Int[Tensor, "b k"]) -> Tensor:
    """Return x "b k ..." with slot order[:, i] in place of slot i."""
    index = order.reshape(order.shape + (1,) * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)


def squared_distances(
    a: Float[Tensor, "b i d"], b: Float[Tensor, "b j d"], known: Bool[Tensor, "b j d"] | None = None
) -> Float[Tensor, "b i j"]:
    """Return |a_i - b_j|^2, over the numbers of b that are known."""
    square = (a[:, :, None] - b[:, None]).square()
    return (square if known is None else square * known[:, None]).sum(-1)
