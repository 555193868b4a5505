"""Encoders of boxes: the pursuit encoder finds discs wherever they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.matching import assign, reorder, squared_distances
from seqvae.nn.boxes import LSTMEncoder, PursuitEncoder
from tests.models import discs

PIXEL, RADIUS = 2 / 32, 0.2


def encoder(slots: int, **options) -> PursuitEncoder:
    return PursuitEncoder(32, 32, slots, scale=RADIUS, **options)


def scattered(images: int, slots: int, least: float) -> Tensor:
    """Draw positions inside the picture, no two of them closer than `least`."""
    accepted = []
    while len(accepted) < images:
        position = (2 * torch.rand(slots, 2) - 1) * (1 - RADIUS)
        if torch.pdist(position).min() > least:
            accepted.append(position)
    return torch.stack(accepted)


def errors(places: Tensor, true: Tensor) -> Tensor:
    """Return distances after the best matching, half-widths."""
    return (reorder(places, assign(squared_distances(true, places))) - true).norm(dim=-1)


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_discs_that_lie_apart_are_found_to_a_pixel(slots):
    true = scattered(100, slots, 2 * RADIUS + PIXEL)
    places = encoder(slots).propose(discs(true, radius=RADIUS)[:, 0])
    assert errors(places, true).max() < PIXEL


def test_discs_that_touch_are_found_to_a_pixel():
    angle = 2 * torch.pi * torch.rand(100)
    apart = RADIUS * torch.stack([angle.cos(), angle.sin()], -1)
    middle = 0.4 * (2 * torch.rand(100, 2) - 1)
    true = torch.stack([middle - apart, middle + apart], 1)
    places = encoder(2).propose(discs(true, radius=RADIUS)[:, 0])
    assert errors(places, true).max() < PIXEL


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
    places = scattered(20, 3, 2 * RADIUS + PIXEL)
    true, image = places[:, :2], discs(places, radius=RADIUS)[:, 0]
    for shown, where, background in zip(image, true, discs(places[:, 2:], radius=RADIUS)[:, 0], strict=True):
        box, _ = encoder(2)(shown[None], background)
        assert errors(box[..., 2:], where[None]).max() < PIXEL


def test_an_empty_image_gives_finite_boxes():
    mean, std = encoder(3)(torch.zeros(2, 32, 32), torch.zeros(32, 32))
    assert mean.isfinite().all() and (std > 0).all()
    first_pixel = torch.full((2, 3, 2), PIXEL / 2 - 1)  # no residual pulls it to the middle
    assert_close(mean[..., 2:], first_pixel)


def test_a_slot_sees_the_discs_of_the_others_but_not_its_own():
    network = encoder(3)
    place = torch.tensor([[[-0.5, 0.0], [-0.3, 0.0], [0.7, 0.0]]])
    glimpses = network.look(torch.rand(1, 32, 32), place).unflatten(-1, (2, 12, 12))[0]
    others = glimpses[:, 1]
    assert (others[2] == 0).all()
    assert_close(others[0], others[1].flip(-1))  # each sees the other one, left and right
    assert others[0, :, :4].max() == 0 and others[0, 5:7, 10:].min() == 1


def test_without_training_a_box_has_the_typical_size_and_the_proposed_place():
    image = discs(scattered(5, 3, 0.5), radius=RADIUS)[:, 0]
    network = encoder(3, initial_std=0.05)
    mean, std = network(image, torch.zeros(32, 32))
    assert_close(mean[..., :2], torch.full_like(mean[..., :2], RADIUS))
    assert torch.equal(mean[..., 2:], network.propose(image))
    assert_close(std, torch.full_like(std, 0.051))  # the initial std and the floor


def test_the_layers_after_the_lstm_start_as_published_on_request():
    torch.manual_seed(0)
    plain = LSTMEncoder(8, 8, 2)
    torch.manual_seed(0)
    network = LSTMEncoder(8, 8, 2, xavier=True)
    pairs = zip(plain.lstm.parameters(), network.lstm.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    for layer in (network.out[0], network.out[2]):
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert_close(layer.bias, torch.full_like(layer.bias, 0.1))
