"""Interventions on slots whose outcome is known: moved, dropped and swapped boxes show in the frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.errors import UserError
from seqvae.interventions import Change, drop, move, push, swap
from seqvae.nn.glimpse import pixel_centres
from seqvae.rollout import roll_out
from tests.models import config, make, video

SIZE = 40
GREY = 0.25


def painter():
    """A spatial VAE with linear dynamics that draws, on grey, boxes in the colour of their appearance."""
    chosen = config("spatial_vae") | {"dynamics": {"_target_": "seqvae.dynamics.linear.LinearDynamics"}}
    model = build(chosen, DataSpec(SIZE, SIZE, 3, objects=3))
    frame = model.frame
    with torch.no_grad():
        frame.backdrop.fill_(GREY)
        for layer in (frame.draw[0], frame.draw[2], frame.draw[4]):
            layer.weight.zero_()
            layer.bias.zero_()
        for channel in range(3):  # appearance i -> unit i -> channel i, by far positive or negative
            frame.draw[0].weight[channel, channel] = 1
            frame.draw[2].weight[channel, channel] = 1
            pixels = slice(channel * frame.glimpse**2, (channel + 1) * frame.glimpse**2)
            frame.draw[4].weight[pixels, channel] = 20
            frame.draw[4].bias[pixels] = -10
        frame.draw[4].bias[3 * frame.glimpse**2 :] = 20
    return model


PLACES = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.4, 0.5]])
SPEEDS = torch.tensor([[0.05, 0.0], [0.0, 0.05], [0.0, 0.0]])


def scene(model, frames=2):
    """A trace of boxes of 8 x 8 pixels: slot i in the pure colour i, at PLACES, with SPEEDS."""
    z = torch.zeros(1, frames, 3, model.layout.dim)
    z[..., model.layout["size"]] = 0.2
    z[..., model.layout["position"]] = PLACES + SPEEDS * torch.arange(frames)[:, None, None]
    z[..., model.layout["velocity"]] = SPEEDS
    z[..., model.layout["appearance"]][..., :3] = torch.eye(3)
    trace = model.filter(torch.zeros(1, frames, 3, SIZE, SIZE))
    carry = replace(trace.carry, dynamics=model.dynamics.update(trace.carry.dynamics, z[:, -1], None))
    return replace(trace, z=z, carry=carry)


def look(model, trace, t=-1):
    return model.decode(trace).frames[0, t]


def centre(image, channel):
    """The centre (x, y) of what differs from the background in a channel's favour, in half-widths."""
    mass = (image[channel] - GREY).clamp(min=0)
    x = pixel_centres(SIZE, mass)
    return torch.stack([(mass.sum(0) * x).sum(), (mass.sum(1) * x).sum()]) / mass.sum()


def test_the_scene_shows_what_its_states_say():
    model = painter()
    trace = scene(model)
    for slot in range(3):
        assert_close(centre(look(model, trace, 0), slot), PLACES[slot], atol=1e-3, rtol=0)


def test_a_moved_slot_is_decoded_elsewhere_and_the_others_stay():
    model = painter()
    trace = scene(model)
    moved = move(model, trace, 1, (0.1, 0.6))  # 2 and 12 pixels
    before, after = look(model, trace), look(model, moved)
    box = slice(4, 14), slice(26, 36)  # rows and columns of slot 1 with its rim
    there = slice(16, 26), slice(28, 38)
    assert_close(after[:, *there], before[:, *box], atol=1e-5, rtol=0)
    assert_close(after[:, *box], torch.full_like(before[:, *box], GREY))
    assert_close(after[:, :, :25], before[:, :, :25])
    assert torch.equal(trace.z, scene(model).z)  # the trace itself is as it was


def test_a_dropped_slot_leaves_the_background_and_the_others():
    model = painter()
    trace = scene(model)
    before, after = look(model, trace), look(model, drop(model, trace, 0))
    box = slice(4, 16), slice(4, 18)
    assert_close(after[:, *box], torch.full_like(after[:, *box], GREY))
    outside = torch.ones(SIZE, SIZE, dtype=torch.bool)
    outside[*box] = False
    assert_close(after[:, outside], before[:, outside])


def test_swapped_appearances_swap_colours_and_swapped_places_do_too():
    model = painter()
    trace = scene(model)
    before = look(model, trace)
    for change in (swap(model, trace, 0, 1), swap(model, trace, 0, 1, ["position"])):
        after = look(model, change)
        assert_close(after[[1, 0, 2]][:, :20], before[:, :20], atol=1e-5, rtol=0)  # red for green
        assert_close(after[:, 20:], before[:, 20:])
    everything = swap(model, trace, 0, 1, [field.name for field in model.layout.fields])
    assert_close(look(model, everything), before)


def test_the_future_goes_on_from_the_change():
    model = painter()
    trace = scene(model)
    before = model.imagine(trace.carry, 4)
    after = model.imagine(move(model, trace, 0, (0.3, -0.1)).carry, 4)
    by = torch.zeros_like(before.z)
    by[:, :, 0, model.layout["position"]] = torch.tensor([0.3, -0.1])
    assert_close(after.z, before.z + by)
    assert_close(model.imagine(drop(model, trace, 1).carry, 4).z, before.z[:, :, [0, 2]])
    pushed = model.imagine(push(model, trace, 2, (0.1, -0.02)).carry, 4)
    by = torch.zeros_like(before.z)
    by[0, :, 2, model.layout["position"]] = torch.tensor([0.1, -0.02]) * torch.arange(1, 5)[:, None]
    by[:, :, 2, model.layout["velocity"]] = torch.tensor([0.1, -0.02])
    assert_close(pushed.z, before.z + by)  # it had stood still


@pytest.mark.parametrize("name", ["stove", "spatial_vae", "stove_paper", "stove_double", "linear", "static"])
def test_a_model_without_a_slot_is_one_that_never_had_it(name):
    """Dropping a slot, then imagining, is a model of one slot fewer: the dynamics has the same weights."""
    model, fewer = make(name, slots=3), make(name, slots=2)
    fewer.dynamics.load_state_dict(model.dynamics.state_dict())
    fewer.frame.load_state_dict(model.frame.state_dict())
    trace = model.filter(video(), sample=False)
    dropped = drop(model, trace, 1)
    two = fewer.init(2, trace.z).dynamics
    for t in range(trace.z.shape[1]):
        two = fewer.dynamics.update(two, trace.z[:, t, [0, 2]], None)
    expected = fewer.imagine(replace(trace.carry, dynamics=two), 3)
    future = model.imagine(dropped.carry, 3)
    assert_close(future.z, expected.z)
    assert_close(model.decode(future).frames, fewer.decode(expected).frames)
    assert model.imagine(drop(model, trace, 0, 2).carry, 2).z.isfinite().all()  # one is enough


def test_frames_that_are_independent_forget_the_change():
    chosen = config("spatial_vae") | {"dynamics": {"_target_": "seqvae.dynamics.independent.StandardNormal"}}
    model = build(chosen | {"frame": chosen["frame"] | {"velocity": False}}, DataSpec(32, 32, 1, objects=3))
    dropped = drop(model, model.filter(video()), 0)
    assert model.decode(dropped).masks.shape[2] == 2
    assert model.imagine(dropped.carry, 2).z.shape[2] == 2


def test_a_rollout_changes_its_future_alone_and_keeps_each_slot_in_its_place():
    model = make("stove")
    frames = (255 * video(frames=4, channels=1)).byte().permute(0, 1, 3, 4, 2).numpy()
    plain = roll_out(model, frames, context=4, horizon=3, decode=True)
    change = Change(swap=(0, 2, "position", "velocity"), move=(1, 0.25, 0.0), push=(2, 0.1, 0.0), drop=(0,))
    changed = roll_out(model, frames, context=4, horizon=3, decode=True, change=change)
    for name in ("z", "positions", "frames"):
        np.testing.assert_array_equal(getattr(changed, name)[:, :4], getattr(plain, name)[:, :4])
    assert np.isnan(changed.z[:, 4:, 0]).all() and np.isfinite(changed.z[:, 4:, 1:]).all()
    assert changed.frames.shape == plain.frames.shape and np.isfinite(changed.frames).all()

    trace = model.filter(video_of(frames), sample=False)
    trace = move(model, swap(model, trace, 0, 2, ["position", "velocity"]), 1, (0.25, 0))
    trace = drop(model, push(model, trace, 2, (0.1, 0)), 0)
    np.testing.assert_allclose(changed.z[:, 4:, 1:], model.imagine(trace.carry, 3).z.detach(), atol=1e-6)


def video_of(frames):
    return torch.as_tensor(frames).permute(0, 1, 4, 2, 3) / 255


BAD = {
    "no such slot": (lambda m, t: drop(m, t, 3), "drop: there is no slot 3; the model has 3"),
    "before the first": (lambda m, t: move(m, t, -1, (0, 0)), "move: there is no slot -1"),
    "push nothing": (lambda m, t: push(m, t, 3, (0, 0)), "push: there is no slot 3"),
    "none left": (lambda m, t: drop(m, t, 0, 1, 2), "drop: no slot would be left"),
    "no such field": (lambda m, t: swap(m, t, 0, 1, ["colour"]), "swap needs colour in the state, which has"),
}


@pytest.mark.parametrize(("act", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_not_there_cannot_be_changed(act, words):
    model = make("stove")
    with pytest.raises(UserError, match=words):
        act(model, model.filter(video()))


def test_slots_without_a_velocity_are_not_pushed():
    model = make("no_velocity")
    with pytest.raises(UserError, match="push needs velocity in the state, .*; move slots instead"):
        push(model, model.filter(video()), 0, (0.1, 0.0))


def test_dynamics_with_a_memory_refuse():
    model = make("gru_ssm")
    with pytest.raises(UserError, match="GRUDynamics remembers more than the last state"):
        swap(model, model.filter(video()), 0, 0, ["code"])


@pytest.mark.parametrize(
    "key, value",
    [
        ("swap", (0, 1)),
        ("swap", (0, "appearance", 1)),
        ("move", (0, 0.1)),
        ("move", (0.0, 0.1, 0.1)),
        ("move", (0, float("nan"), 0)),
        ("push", (0, 0.1)),
        ("push", (0, float("inf"), 0)),
        ("drop", ()),
        ("drop", (True,)),
        ("drop", 1),
    ],
)
def test_a_change_of_another_form_is_refused(key, value):
    with pytest.raises(UserError, match=f"intervene.{key}=.* for instance"):
        Change(**{key: value})
