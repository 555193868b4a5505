"""What lies behind the objects: found as the median of frames, and no object of its own."""

from __future__ import annotations

import pytest
import torch

from seqvae.build import DataSpec, build
from seqvae.data.clips import InMemoryClips
from seqvae.frames.supair import grey
from seqvae.matching import assign, reorder, squared_distances
from seqvae.train.background import AT_ONCE, median_frame
from seqvae.types import FrameModel
from tests import models

SIZE = 64


@pytest.fixture
def scenes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sequences "n t c h w" of small dark discs on a brown texture, their positions, and the texture."""
    torch.manual_seed(0)
    field = torch.tensor([0.5, 0.25, 0.05])[:, None, None] * (0.6 + 0.4 * torch.rand(SIZE, SIZE))
    positions = models.paths(slots=3, frames=8, batch=24)
    cover = models.discs(positions, SIZE, SIZE, radius=0.08)  # 5 pixels across
    return field + cover * (0.05 - field), positions, field


def clips(video: torch.Tensor) -> InMemoryClips:
    frames = (video * 255).round().byte().permute(0, 1, 3, 4, 2)
    return InMemoryClips({"imgs": frames.numpy()})


def test_the_median_of_frames_is_the_background(scenes):
    video, _, field = scenes
    found = median_frame(clips(video).full_sequences(AT_ONCE))
    torch.testing.assert_close(found, (field * 255).round() / 255)


@pytest.mark.parametrize("name", ["spatial_vae", "stove", "stove_colour"])
def test_small_objects_on_a_coloured_texture_are_found_before_training(scenes, name):
    video, positions, _ = scenes
    config = models.config(name)
    config["frame"]["encoder"] |= {"extent": [0.04, 0.3], "scale": 0.1}
    errors = []
    for begins in (True, False):
        torch.manual_seed(1)
        model = build(config, DataSpec(SIZE, SIZE, 3, actions=0, objects=3))
        if begins:
            model.frame.begin_background(median_frame(clips(video).full_sequences(AT_ONCE)))
        with torch.no_grad():
            found = model.positions(model.frame.encode(video).mean).flatten(0, 1)
        true = positions.flatten(0, 1)
        order = assign(squared_distances(true, found))
        apart = (reorder(found, order) - true).norm(dim=-1)
        errors.append(apart.amax(-1).gt(0.1).float().mean().item())
    with_background, without = errors
    assert with_background < 0.05  # where discs touch
    assert without > 0.5  # bright places of the texture are taken for objects


def test_a_background_in_grey_is_drawn(scenes):
    _, _, field = scenes
    torch.manual_seed(1)
    model = build(models.config("stove"), DataSpec(SIZE, SIZE, 3, actions=0, objects=3))
    model.frame.begin_background(field)
    drawn = model.frame.background.expectation().unflatten(0, (SIZE, SIZE))
    torch.testing.assert_close(drawn, grey(field[None, None])[0, 0], atol=0.15, rtol=0)
    assert (drawn - grey(field[None, None])[0, 0]).abs().mean() < 0.05


def test_a_black_background_changes_nothing():
    for name in ("spatial_vae", "stove", "stove_colour"):
        model = models.make(name, height=SIZE, width=SIZE, channels=3)
        if name == "spatial_vae":
            torch.nn.init.zeros_(model.frame.backdrop)  # as before training
        before = {key: value.clone() for key, value in model.state_dict().items()}
        model.frame.begin_background(torch.zeros(3, SIZE, SIZE))
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_whoever_takes_a_background_says_so():
    """A training reads frames for the median only where `has_background` says that it is of use."""
    for name in models.MODELS:
        frame = type(models.make(name).frame)
        assert frame.has_background == (frame.begin_background is not FrameModel.begin_background), name
