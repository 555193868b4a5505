"""The pursuit encoder finds what can be seen, wherever it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.matching import assign, reorder, squared_distances
from seqvae.nn.encoders import PursuitEncoder
from tests.models import discs

PIXEL, RADIUS = 2 / 32, 0.2


def encoder(slots: int, **options) -> PursuitEncoder:
    return PursuitEncoder(32, 32, slots, scale=RADIUS, **options)


def scattered(images: int, slots: int, least: float) -> Tensor:
    """Positions inside the picture, no two closer than `least`."""
    found = []
    while len(found) < images:
        position = (2 * torch.rand(slots, 2) - 1) * (1 - RADIUS)
        if torch.pdist(position).min() > least:
            found.append(position)
    return torch.stack(found)


def errors(found: Tensor, true: Tensor) -> Tensor:
    """Distances after the best matching, half-widths."""
    return (reorder(found, assign(squared_distances(true, found))) - true).norm(dim=-1)


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_discs_that_lie_apart_are_found_to_a_pixel(slots):
    true = scattered(100, slots, 2 * RADIUS + PIXEL)
    found = encoder(slots).propose(discs(true, radius=RADIUS)[:, 0])
    assert errors(found, true).max() < PIXEL


def test_discs_that_touch_are_found_to_a_pixel():
    angle = 2 * torch.pi * torch.rand(100)
    apart = RADIUS * torch.stack([angle.cos(), angle.sin()], -1)
    middle = 0.4 * (2 * torch.rand(100, 2) - 1)
    true = torch.stack([middle - apart, middle + apart], 1)
    found = encoder(2).propose(discs(true, radius=RADIUS)[:, 0])
    assert errors(found, true).max() < PIXEL


def test_a_shifted_image_has_shifted_boxes():
    # discs far enough from the edges that neither blur nor glimpse meets one before or after the shift
    network = encoder(2)
    torch.nn.init.normal_(network.refine[-1].weight, std=0.1)
    image = discs(torch.tensor([[[-0.25, -0.1], [0.2, 0.25]]]), radius=RADIUS)[:, 0]
    mean, std = network(image, torch.zeros(32, 32))
    for rows, columns in [(0, 3), (-2, 0), (1, -3)]:
        shifted = image.roll((rows, columns), (-2, -1))
        moved_mean, moved_std = network(shifted, torch.zeros(32, 32))
        shift = torch.tensor([0, 0, columns * PIXEL, rows * PIXEL])
        assert_close(moved_mean, mean + shift, rtol=0, atol=1e-5)
        assert_close(moved_std, std, rtol=0, atol=1e-5)


def test_the_background_is_not_an_object():
    true = scattered(20, 3, 2 * RADIUS + PIXEL)
    background = 0.6 * torch.rand(32, 1).expand(32, 32)
    objects = discs(true, radius=RADIUS)[:, 0]
    image = torch.where(objects > 0, objects, background)
    network = encoder(3)
    with_background, _ = network(image, background)
    assert errors(with_background[..., 2:], true).max() < PIXEL


def test_an_empty_image_gives_finite_boxes():
    mean, std = encoder(3)(torch.zeros(2, 32, 32), torch.zeros(32, 32))
    assert mean.isfinite().all() and (std > 0).all()


def test_without_training_a_box_has_the_typical_size_and_the_proposed_place():
    image = discs(scattered(5, 3, 0.5), radius=RADIUS)[:, 0]
    network = encoder(3, initial_std=0.05)
    mean, std = network(image, torch.zeros(32, 32))
    assert_close(mean[..., :2], torch.full_like(mean[..., :2], RADIUS))
    assert torch.equal(mean[..., 2:], network.propose(image))
    assert_close(std, torch.full_like(std, 0.051))  # the initial std and the floor
