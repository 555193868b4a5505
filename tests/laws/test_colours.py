"""Objects in colour: found in front of each other, told apart, drawn, and with the density that is stated."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.distributions import gaussian_log_density
from seqvae.errors import UserError
from seqvae.frames.supair_colour import ColourSuPAIR
from seqvae.matching import assign, reorder, squared_distances
from seqvae.nn.colours import ColourPursuit, share_of_colour
from seqvae.nn.glimpse import read
from tests.models import discs, make, perturbed

F64, PIXEL, RADIUS = torch.float64, 2 / 32, 0.25
RED, BLUE, YELLOW = torch.eye(3)[0], torch.eye(3)[2], torch.tensor([1.0, 1.0, 0.0])


def scene(position: Tensor, colour: Tensor, background: float = 0.0, size: int = 32) -> Tensor:
    """Draw frames "n 3 h w" of discs "n k 2" in colours "n k 3", later ones over earlier ones."""
    frames = torch.full((len(position), 3, size, size), background)
    for place, own in zip(position.unbind(1), colour.unbind(1), strict=True):
        frames = torch.lerp(frames, own[..., None, None], discs(place[:, None], size, size, radius=RADIUS))
    return frames


def pairs(apart: float, images: int = 50) -> Tensor:
    """Draw places "n 2 2" of two objects at a distance, anywhere inside of the picture."""
    angle = 2 * torch.pi * torch.rand(images)
    half = apart / 2 * torch.stack([angle.cos(), angle.sin()], -1)
    middle = 0.5 * (2 * torch.rand(images, 2) - 1)
    return torch.stack([middle - half, middle + half], 1)


def matched(found: tuple[Tensor, Tensor], colour: Tensor) -> tuple[Tensor, Tensor]:
    """Return places and colours in the order of the true colours."""
    order = assign(squared_distances(colour, found[1]))
    return reorder(found[0], order), reorder(found[1], order)


def test_a_pixel_between_background_and_colour_has_a_share_and_agrees():
    colour, shares = torch.tensor([0.8, 0.2, 0.4]), torch.tensor([0.0, 0.3, 1.0])
    share, like = share_of_colour((shares * colour[:, None])[..., None], colour)
    assert_close(share[:, 0], shares)
    assert_close(like[:, 0], torch.ones(3), atol=1e-5, rtol=0)


def test_a_pixel_of_another_colour_agrees_less_the_farther_it_is_off_the_line():
    share, like = share_of_colour(BLUE[:, None, None], RED)
    assert_close(share.item(), 0.0)
    assert_close(like.item(), math.exp(-1 / (2 * 0.25**2)))
    share, like = share_of_colour(YELLOW[:, None, None], RED)  # a square of 1 off the end of the line
    assert_close((share.item(), like.item()), (1.0, math.exp(-1 / (2 * 0.25**2))))


@pytest.mark.parametrize("background", [0.0, 0.3])
@pytest.mark.parametrize("pool", [1, 2])
def test_objects_that_touch_are_found_with_their_colours(background, pool):
    torch.manual_seed(0)
    size = 32 * pool
    true, colour = pairs(2 * RADIUS), torch.stack([RED, YELLOW]).expand(50, 2, 3)
    encoder = ColourPursuit(size, size, 2, pool=pool, scale=RADIUS)
    image, behind = scene(true, colour, background, size), torch.full((3, size, size), background)
    mean, _, said, tells = encoder(image, behind)
    place, said = matched((mean[..., 2:], said), colour)
    assert (place - true).norm(dim=-1).max() < PIXEL
    assert (said - colour).norm(dim=-1).max() < 0.1
    assert tells.all()


def test_an_object_in_front_is_found_exactly_and_leaves_what_it_does_not_hide():
    """The hidden object shows a crescent, whose middle is off its centre, away from the one in front."""
    torch.manual_seed(0)
    true, colour = pairs(RADIUS), torch.stack([BLUE, RED]).expand(50, 2, 3)
    encoder = ColourPursuit(32, 32, 2, scale=RADIUS)
    place, said, _ = encoder.propose_coloured(scene(true, colour))
    place, said = matched((place, said), colour)
    error = (place - true).norm(dim=-1)
    assert error[:, 1].max() < PIXEL  # in front
    assert error[:, 0].max() < RADIUS  # its visible part lies within the whole
    assert ((place - true)[:, 0] * (true[:, 0] - true[:, 1])).sum(-1).min() > 0  # away from the other one
    assert (said - colour).norm(dim=-1).max() < 0.1


def test_what_is_wholly_hidden_tells_no_colour():
    true = torch.zeros(1, 2, 2)
    encoder = ColourPursuit(32, 32, 2, scale=RADIUS)
    *_, tells = encoder(scene(true, torch.stack([BLUE, RED])[None]), torch.zeros(3, 32, 32))
    assert tells.tolist() == [[True, False]]


def test_boxes_do_not_depend_on_the_colours():
    torch.manual_seed(0)
    encoder = perturbed(ColourPursuit(32, 32, 2, scale=RADIUS))
    image = scene(pairs(1.5 * RADIUS), torch.stack([YELLOW, BLUE]).expand(50, 2, 3))
    mean, std, colour, _ = encoder(image, torch.zeros(3, 32, 32))
    order = [2, 0, 1]
    again = encoder(image[:, order], torch.zeros(3, 32, 32))
    for a, b in zip((mean, std, colour[..., order]), again, strict=False):
        assert_close(b, a, atol=1e-5, rtol=0)


def test_the_density_of_an_object_is_that_of_its_share_and_of_the_deviations_across_the_line():
    torch.manual_seed(0)
    supair = ColourSuPAIR(16, 16, 3, 2, partial(ColourPursuit), glimpse=4, deviation=0.2).double()
    perturbed(supair, 0.1)
    image = torch.rand(1, 3, 16, 16, dtype=F64)
    z = torch.zeros(1, 2, supair.layout.dim, dtype=F64)
    z[..., supair.layout["size"]] = torch.tensor([[0.3, 0.4], [0.5, 0.3]])
    z[..., supair.layout["position"]] = torch.tensor([[0.1, 0.2], [-0.2, 0.0]])
    z[..., supair.layout["colour"]] = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.7, 0.8]])
    visible = torch.rand(1, 2, 4, 4, dtype=F64)
    found = supair._log_object(image, z, visible)[0]
    backdrop, zero = supair.background.expectation().reshape(1, 3, 16, 16), torch.zeros((), dtype=F64)
    for k in range(2):
        size, position = z[:, k : k + 1, :2], z[:, k : k + 1, 2:4]
        pixels = read(image, position, size, 4)[0, 0].flatten(1).T  # p c
        behind = read(backdrop, position, size, 4)[0, 0].flatten(1).T
        shares, expected = [], zero
        for pixel, under, weight in zip(pixels, behind, visible[0, k].flatten(), strict=True):
            line = z[0, k, supair.layout["colour"]] - under
            # an orthonormal basis whose first vector is the direction of the line
            basis, _ = torch.linalg.qr(torch.cat([line[:, None], torch.eye(3, dtype=F64)[:, :2]], 1))
            along = (pixel - under) @ line / line.norm()
            across = gaussian_log_density(basis[:, 1:].T @ (pixel - under), zero, zero + 0.2)
            shares.append(along / line.norm())
            expected = expected + weight * (across.sum() - line.norm().log())
        expected = expected + supair.objects(torch.stack(shares)[None], visible[:, k].flatten(1))[0]
        assert_close(found[k], expected, rtol=1e-9, atol=1e-9)


def test_boxes_are_drawn_in_their_colours_and_the_background_elsewhere():
    model = make("stove_colour", slots=2, channels=3)
    z = torch.zeros(1, 1, 2, model.layout.dim)
    z[..., model.layout["size"]] = RADIUS
    z[..., model.layout["position"]] = torch.tensor([[-0.5, 0.0], [0.5, 0.0]])
    z[..., model.layout["colour"]] = torch.stack([RED, BLUE])
    with torch.no_grad():
        scene = model.frame.decode(z)
        behind = model.frame._backdrop()
        share = scene.masks[0, 0][:, None]  # k 1 h w
        over = share[0] * RED[:, None, None] + share[1] * BLUE[:, None, None]
    assert_close(scene.frames[0, 0], (over + (1 - share.sum(0)) * behind).clamp(0, 1))
    assert share[0, 0, 16, 8] > 0.3 and share[1, 0, 16, 24] > 0.3  # the middle of each
    assert share[0, 0, 16, 24] == 0 and share[:, 0, 2].max() == 0


def test_slots_keep_their_objects_where_these_cross():
    """Each comes nearer to where the other one was: their colours tell which is which, places do not."""
    torch.manual_seed(0)
    model = make("stove_colour", slots=2, channels=3)
    before = torch.tensor([[-0.2, 0.0], [0.2, 0.0]])
    video = scene(torch.stack([before, -0.3 * before]), torch.stack([RED, BLUE]).expand(2, 2, 3))[None]
    colour = model.filter(video).z[0, ..., model.layout["colour"]]
    assert (colour[0] - colour[1]).norm(dim=-1).max() < 0.5  # less is seen of one, so its colour is paler
    assert (colour[0] - colour[1].flip(0)).norm(dim=-1).min() > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"deviation": 0.0}, "model.frame.deviation=0.0: expected a number above 0"),
        ({"encoder": partial(ColourPursuit, pool=3)}, "pool=3: expected a whole number from 1 that divides"),
        ({"encoder": partial(ColourPursuit, pool=0)}, "pool=0: expected a whole number"),
    ],
    ids=["deviation", "not divisible", "zero"],
)
def test_options_that_cannot_be_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        ColourSuPAIR(32, 32, 3, 2, **{"encoder": partial(ColourPursuit)} | options)
