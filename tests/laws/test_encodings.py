"""Encoding of frames, against formulas with the networks of the frame models called by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.frames.supair import grey
from seqvae.nn.glimpse import read
from tests.laws.common import F64
from tests.models import config, make, video


def clip(channels: int = 3, frames: int = 2) -> Tensor:
    return 0.4 * video(frames=frames, channels=channels, dtype=F64)


def parts(model, encoding) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return mean and precision by field, with b and t joined."""
    return tuple(model.frame.layout.split(x.flatten(0, 1)) for x in (encoding.mean, encoding.precision))


def recorded(model) -> dict[str, Tensor]:
    """Return a dict that will hold inputs and outputs of the frame model's encoder."""
    record, encoder = {}, model.frame.encoder

    def forward(image, background):
        record["image"], record["background"] = image, background
        record["box"], record["std"] = type(encoder).forward(encoder, image, background)
        return record["box"], record["std"]

    encoder.forward = forward
    return record


@pytest.mark.parametrize("name", ["spatial_vae", "air"])
def test_boxes_come_from_the_encoder_and_the_appearance_from_their_glimpses(name):
    model, frames = make(name, channels=3, dtype=F64), clip()
    record = recorded(model)
    mean, precision = parts(model, model.frame.encode(frames))
    image = frames.flatten(0, 1)
    if name == "spatial_vae":
        expected = (image - model.frame.backdrop).abs().sum(1).clamp(max=1)
    else:
        expected = image.amax(1)
    assert_close(record["image"], expected)
    assert (record["background"] == 0).all() and record["background"].shape == (32, 32)
    size, position = record["box"].split(2, -1)
    assert_close(torch.cat([mean["size"], mean["position"]], -1), record["box"])
    assert_close(torch.cat([precision["size"], precision["position"]], -1), record["std"].pow(-2))
    glimpses = read(image, position, size, model.frame.glimpse).flatten(2)
    code, raw_std = model.frame.look(glimpses).chunk(2, -1)
    assert_close(mean["appearance"], code)
    assert_close(precision["appearance"].rsqrt(), 1e-3 + softplus(raw_std - 1))
    if name == "air":
        assert_close(mean["presence"][..., 0], model.frame.counter(image.amax(1), position, size))
        assert (precision["presence"] == 1).all()
    else:
        assert (mean["velocity"] == 0).all() and (precision["velocity"] == 0).all()


def test_differences_beyond_the_range_are_clipped():
    model = make("spatial_vae", channels=3, dtype=F64)
    record = recorded(model)
    with torch.no_grad():
        model.frame.backdrop.fill_(0)
    model.frame.encode(torch.ones(1, 1, 3, 32, 32, dtype=F64))
    assert (record["image"] == 1).all()


@pytest.mark.parametrize("name", ["spatial_vae", "air"])
def test_a_glimpse_passes_no_gradient_to_its_place(name):
    model = make(name, dtype=F64)
    mean, precision = parts(model, model.frame.encode(clip(1)))
    (mean["appearance"].sum() + precision["appearance"].sum()).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.frame.encoder.parameters())


def test_supair_gives_the_encoder_grey_frames_and_the_expected_background():
    model, frames = make("stove", channels=3, dtype=F64), 2 * clip()
    record = recorded(model)
    mean, precision = parts(model, model.frame.encode(frames))
    assert_close(record["image"], frames.flatten(0, 1).sum(1).clamp(max=1))
    assert (record["image"] == 1).any(), "nothing was clipped"
    assert_close(record["background"].flatten(), model.frame.background.expectation())
    assert not record["background"].requires_grad
    assert_close(torch.cat([mean["size"], mean["position"]], -1), record["box"])
    assert_close(torch.cat([precision["size"], precision["position"]], -1), record["std"].pow(-2))
    assert (mean["velocity"] == 0).all() and (precision["velocity"] == 0).all()
    assert_close(grey(frames), record["image"].unflatten(0, (2, 2)))


def test_the_code_of_a_vae_has_the_encoder_s_mean_and_std():
    model, frames = make("vae", channels=3, dtype=F64), clip()
    encoding = model.frame.encode(frames)
    mean, raw_std = model.frame.encoder(frames.flatten(0, 1)).chunk(2, -1)
    assert_close(encoding.mean.flatten(0, 1)[:, 0], mean)
    assert_close(encoding.precision.flatten(0, 1)[:, 0].rsqrt(), 1e-3 + softplus(raw_std - 2))


def test_a_vae_decodes_the_code_and_the_context():
    for name, context in (("vae", None), ("vrnn", torch.randn(2, 4, 256, dtype=F64))):
        model = make(name, dtype=F64)
        z, x = torch.randn(2, 4, 1, 32, dtype=F64), clip(1, 4)
        inputs = z[:, :, 0] if context is None else torch.cat([z[:, :, 0], context], -1)
        raw = model.frame.decoder(inputs.flatten(0, 1)).unflatten(0, (2, 4))
        assert_close(model.frame.decode(z, context).frames, model.frame.likelihood.mean(raw).clamp(0, 1))
        log_p = model.frame.likelihood.log_prob(x, raw)
        assert_close(model.frame.terms(x, z, None, context)["log_likelihood"], log_p)


@pytest.mark.parametrize("masks", ["posterior", "decoder"])
def test_masks_in_the_likelihood_get_no_gradient_from_the_component(masks):
    chosen = config("monet")
    chosen["frame"]["masks"] = masks
    torch.manual_seed(0)
    model = build(chosen, DataSpec(16, 16, 3, objects=2)).double()
    frames = 0.4 * video(frames=2, height=16, width=16, channels=3, dtype=F64)
    encoding = model.frame.encode(frames)
    image = frames.flatten(0, 1)
    log_masks = model.frame.attention(image)
    assert_close(encoding.features["log_masks"].flatten(0, 1), log_masks)
    mean, precision = model.frame.component.encode(image, log_masks)
    assert_close(encoding.mean.flatten(0, 1), mean)
    assert_close(encoding.precision.flatten(0, 1), precision)
    encoding.mean.sum().backward()
    learns = any(p.grad is not None and p.grad.any() for p in model.frame.attention.parameters())
    assert learns == (masks == "decoder")
    assert model.frame.unnormalised == ({"log_likelihood"} if masks == "posterior" else set())
    assert model.frame.slots == 3 and model.frame.background_slots == 1
    expected = torch.tensor([0.09, 0.11, 0.11])
    assert_close(model.frame.std.flatten().float(), expected)


def box(model, size: float, appearance: bool) -> Tensor:
    z = torch.zeros(1, 1, model.frame.slots, model.layout.dim, dtype=F64)
    z[..., model.layout["size"]] = size
    z[..., model.layout["position"]] = torch.tensor([[-0.5, 0.1], [0.4, -0.3], [0.2, 0.6]], dtype=F64)
    if appearance:
        z[..., model.layout["appearance"]] = 0.3
    if "presence" in model.layout:
        z[..., 0] = 1
    return z


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("stove", 0.02, 2.0),
        ("spatial_vae", 0.02, 2.0),
        ("air", 0.05, 2.0),
    ],
)
def test_boxes_have_a_smallest_and_a_largest_size(name, least, most):
    model, x = make(name, dtype=F64), clip(1, 1)[:1]

    def explained(size: float) -> list[Tensor]:
        z = box(model, size, name != "stove")
        return [sum(model.frame.terms(x, z, None, None).values()), model.frame.decode(z).frames]

    for beyond, limit, within in (
        (-1.0, least, 1.1 * least),
        (0.5 * least, least, 1.1 * least),
        (1.5 * most, most, 0.95 * most),
    ):
        at_limit = explained(limit)
        assert_close(explained(beyond), at_limit)
        assert not torch.allclose(explained(within)[0], at_limit[0], rtol=1e-9)


def test_supair_shows_the_brighter_of_two_boxes_and_the_background_outside():
    model = make("stove", slots=2, dtype=F64)
    z = box(make("stove", dtype=F64), 0.3, False)[:, :, :2]
    z[..., 1, :] = z[..., 0, :]
    z[..., 1, 2] += 0.3  # half of a box to the right
    both = model.frame.decode(z).frames
    alone = [model.frame.decode(z[:, :, [k, k]]).frames for k in (0, 1)]
    backdrop = model.frame.background.expectation().reshape(32, 32).clamp(0, 1)
    outside = (alone[0] == backdrop) & (alone[1] == backdrop)
    assert outside.float().mean() > 0.5 and (both[outside] == backdrop.expand_as(both)[outside]).all()
    overlap = (alone[0] != backdrop) & (alone[1] != backdrop)
    assert overlap.any()
    assert_close(both[overlap], torch.maximum(*alone)[overlap])


def test_air_explains_a_frame_with_the_first_slots_alone():
    model, x = make("air", dtype=F64), clip(1)
    z = box(model, 0.3, True).expand(2, 2, -1, -1)
    by_count = model.frame.terms_by_count(x, z, None, None)["log_likelihood"]
    assert by_count.shape == (4, 2, 2)
    for n in range(4):
        some = z.clone()
        some[:, :, n:] = 0
        assert_close(by_count[n], model.frame.terms(x, some, None, None)["log_likelihood"])


def test_a_colour_is_the_mean_of_its_box_with_a_std_of_a_hundredth():
    chosen, frames = config("stove_paper"), clip()
    chosen["frame"]["colour"], chosen["dynamics"]["held"] = True, ["size", "colour"]
    torch.manual_seed(0)
    model = build(chosen, DataSpec(32, 32, 3, objects=3)).double()
    mean, precision = parts(model, model.frame.encode(frames))
    # the outermost samples lie on the edge of the box
    glimpses = read(frames.flatten(0, 1), mean["position"], mean["size"] * 10 / 9, 10)
    assert_close(mean["colour"], glimpses.mean((-2, -1)))
    assert_close(precision["colour"], torch.full_like(mean["colour"], 1e4))
