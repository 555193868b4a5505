"""Decoded frames show every object at its place, at full strength and in its own colour."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.nn.glimpse import pixel_centres
from tests.laws.common import F64
from tests.models import make


def at_pixels(model, places: list[tuple[int, int]], size: float = 0.3) -> Tensor:
    """Return states "1 1 k d" of objects centred on pixels (row, column) of 32 x 32."""
    centres = pixel_centres(32, torch.zeros(1, dtype=F64))
    z = torch.zeros(1, 1, model.frame.slots, model.layout.dim, dtype=F64)
    for k, (row, column) in enumerate(places, model.background_slots):
        z[..., k, model.layout["position"]] = torch.stack([centres[column], centres[row]])
        z[..., k, model.layout["size"]] = size
    return z


PLACES = [(8, 6), (24, 26)]


def test_supair_shows_the_appearance_of_objects_inside_boxes_and_the_background_outside():
    model = make("stove", slots=2, channels=3, dtype=F64)
    model.frame.glimpse = 2
    look, backdrop = 0.8, 0.1
    model.frame.objects.expectation = lambda: torch.full((4,), look, dtype=F64)
    model.frame.background.expectation = lambda: torch.full((1024,), backdrop, dtype=F64)
    frame = model.frame.decode(at_pixels(model, PLACES)).frames
    for row, column in PLACES:
        assert_close(frame[0, 0, :, row, column], torch.full((3,), look, dtype=F64))
    # boxes of half-extent 0.3: 4.8 pixels to each side
    row, column = PLACES[0]
    for away in (-5, 5):
        assert_close(frame[0, 0, :, row, column + away], torch.full((3,), backdrop, dtype=F64))
        assert_close(frame[0, 0, :, row + away, column], torch.full((3,), backdrop, dtype=F64))


def drawing(model, colour: list[float], alpha: float | None) -> None:
    """Give every glimpse one colour and one opacity, by the bias of the last layer."""
    last = model.frame.draw[-1]
    values = torch.tensor(colour if alpha is None else [*colour, alpha], dtype=F64)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(values.logit().repeat_interleave(model.frame.glimpse**2))


@pytest.mark.parametrize(("alpha", "shown"), [(1 - 1e-9, 1.0), (0.25, 0.25)])
def test_a_spatial_vae_mixes_colour_and_background_by_alpha(alpha, shown):
    model = make("spatial_vae", slots=2, channels=3, dtype=F64)
    drawing(model, [0.9, 0.3, 0.6], alpha)
    with torch.no_grad():
        model.frame.backdrop.fill_(0.2)
    scene = model.frame.decode(at_pixels(model, PLACES))
    colour = torch.tensor([0.9, 0.3, 0.6], dtype=F64)
    for k, (row, column) in enumerate(PLACES):
        assert_close(scene.frames[0, 0, :, row, column], shown * colour + (1 - shown) * 0.2)
        assert_close(scene.masks[0, 0, k, row, column].item(), shown)
        assert scene.masks[0, 0, 1 - k, row, column] == 0
    assert_close(scene.frames[0, 0, :, 31, 0], torch.full((3,), 0.2, dtype=F64))


def test_objects_of_a_spatial_vae_share_a_pixel_in_proportion_to_their_alphas():
    model = make("spatial_vae", slots=3, channels=3, dtype=F64)
    drawing(model, [0.9, 0.3, 0.6], 0.5)
    with torch.no_grad():
        model.frame.backdrop.fill_(0.2)
    scene = model.frame.decode(at_pixels(model, [(8, 6)] * 3))
    covered = 1 - 0.5**3
    assert_close(scene.masks[0, 0, :, 8, 6], torch.full((3,), covered / 3, dtype=F64))
    expected = covered * torch.tensor([0.9, 0.3, 0.6], dtype=F64) + (1 - covered) * 0.2
    assert_close(scene.frames[0, 0, :, 8, 6], expected)


def test_air_adds_the_light_of_the_slots_that_are_present():
    model = make("air", slots=3, channels=3, dtype=F64)
    drawing(model, [0.45, 0.3, 0.15], None)
    z = at_pixels(model, [(8, 6), (8, 6), (24, 26)])
    z[..., :2, 0] = 1
    scene, colour = model.frame.decode(z), torch.tensor([0.45, 0.3, 0.15], dtype=F64)
    assert_close(scene.frames[0, 0, :, 8, 6], 2 * colour)
    assert_close(scene.masks[0, 0, :, 8, 6], torch.tensor([0.45, 0.45, 0], dtype=F64))
    assert (scene.frames[0, 0, :, 24, 26] == 0).all() and (scene.frames[0, 0, :, 31, 0] == 0).all()
    z[..., 2, 0] = 1
    assert_close(model.frame.decode(z).frames[0, 0, :, 24, 26], colour)


def test_monet_shows_the_colours_by_their_masks():
    model = make("monet", slots=2, channels=3, dtype=F64)
    component, z = model.frame.component, at_pixels(model, PLACES)
    for k in range(3):
        z[..., k, model.layout["appearance"]] = float(k)
    with torch.no_grad():
        for network in (component.colour, component.shape):
            network[-1].weight.mul_(3)
        component.shape[-1].bias.fill_(40.0)  # masks of objects are 1
    scene = model.frame.decode(z)
    colours = component.decode(z[0])[0][0, :, :, 0, 0]
    for k, (row, column) in enumerate(PLACES, 1):
        assert_close(scene.frames[0, 0, :, row, column], colours[k])
        assert_close(scene.masks[0, 0, :, row, column], torch.eye(3, dtype=F64)[k], rtol=0, atol=1e-6)
    mixed = (scene.masks[0, 0, :, None] * colours[:, :, None, None]).sum(0)
    assert_close(scene.frames[0, 0], mixed)
