"""Matching of slots: always a permutation, and the best one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from seqvae.matching import EXACT_UP_TO, _tables, assign, reorder, squared_distances, track

EXACT, GREEDY = range(1, EXACT_UP_TO + 1), [EXACT_UP_TO + 1, 12]


def total(cost: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return cost.gather(2, order[..., None]).sum((1, 2))


@pytest.mark.parametrize("k", EXACT)
def test_the_assignment_is_the_cheapest_of_all(k):
    cost = torch.randn(40, k, k, dtype=torch.float64)
    for c, order in zip(cost, assign(cost), strict=True):
        np.testing.assert_array_equal(order, linear_sum_assignment(c)[1])


@pytest.mark.parametrize("k", GREEDY)
def test_the_greedy_assignment_is_a_permutation_with_the_cheapest_pair(k):
    cost = torch.rand(40, k, k)
    order = assign(cost)
    assert torch.equal(order.sort(-1).values, torch.arange(k).expand(40, k))
    cheapest = cost.flatten(1).argmin(-1)
    assert torch.equal(order.gather(1, (cheapest // k)[:, None])[:, 0], cheapest % k)


@pytest.mark.parametrize("k", [*EXACT[1:], *GREEDY])
def test_points_that_hardly_moved_are_found_again(k):
    # grid points one unit apart, moved by less than half of it: the nearest point is the right one
    start = torch.stack([torch.arange(k) % 4, torch.arange(k) // 4], -1).float().expand(30, k, 2)
    shuffled = torch.stack([torch.randperm(k) for _ in range(30)])
    moved = reorder(start + 0.3 * (2 * torch.rand(30, k, 2) - 1), shuffled)
    order = assign(squared_distances(start, moved))
    assert torch.equal(shuffled.gather(1, order), torch.arange(k).expand(30, k))


@pytest.mark.parametrize("k", [3, 6, 9])
def test_matching_follows_a_renumbering_of_slots(k):
    cost = torch.rand(40, k, k)
    rows, columns = torch.randperm(k), torch.randperm(k)
    renumbered = assign(cost[:, rows][:, :, columns])
    assert torch.equal(columns[renumbered], assign(cost)[:, rows])


def test_reorder_puts_the_named_slot_in_each_place():
    x = torch.randn(5, 4, 2, 3)
    order = torch.stack([torch.randperm(4) for _ in range(5)])
    for i in range(5):
        assert torch.equal(reorder(x, order)[i], x[i, order[i]])


@pytest.mark.parametrize("k", [5, 8])
def test_matching_in_inference_mode_does_not_break_later_training(k):
    _tables.clear()
    with torch.inference_mode():
        assign(torch.rand(2, k, k))
    cost = torch.rand(2, k, k, requires_grad=True)
    total(cost, assign(cost)).sum().backward()
    assert (cost.grad.sum((1, 2)) == k).all()


@pytest.mark.parametrize("k", EXACT)
def test_equal_slots_take_the_objects_of_a_frame_in_their_order(k):
    expected = torch.zeros(200, k, 2)  # before the first frame, the same place for all slots
    order = assign(squared_distances(expected, torch.randn(200, k, 2)))
    assert torch.equal(order, torch.arange(k).expand(200, k))


def test_slots_are_tracked_by_what_frames_show_and_remembered_where_they_show_nothing():
    """Numbers (x, colour): the colour of the second object is unknown in the middle frame, and wrong."""
    place = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[0.5, 0.0], [0.4, 0.0]], [[0.6, 1.0], [0.5, 0.0]]])
    known = torch.ones_like(place, dtype=torch.bool)
    known[1, 1, 1] = False
    assert track(place[None], known=known[None]).tolist() == [[[0, 1], [0, 1], [1, 0]]]


def test_distances_leave_out_unknown_numbers():
    a, b = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    known = torch.rand(2, 5, 4) < 0.5
    expected = sum((a[..., i, None] - b[:, None, :, i]).square() * known[:, None, :, i] for i in range(4))
    assert_close(squared_distances(a, b, known), expected)
