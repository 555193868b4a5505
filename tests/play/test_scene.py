"""Scenes without a browser: futures, changes and their undoing, samples, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqvae.build import DataSpec, build
from seqvae.interventions import Change
from seqvae.play import Scene
from seqvae.rollout import roll_out
from tests.models import MODELS, OF_OBJECTS, class_of, config, make, perturbed, video
from tests.refusals import refusal

HORIZON = 5


def bytes_of(frames: int = 6, channels: int = 1) -> np.ndarray:
    torch.manual_seed(1)
    return (255 * video(frames=frames, channels=channels)).byte().permute(0, 1, 3, 4, 2).numpy()


def scene(name: str = "stove", **options) -> Scene:
    made = Scene(make(name).eval(), bytes_of(), horizon=HORIZON, **{"samples": 2} | options)
    made.look(4)
    return made


@pytest.mark.parametrize("name", ["stove", "linear", "stove_paper", "spatial_vae", "monet_sequence"])
@pytest.mark.parametrize("frame", [1, 4])
def test_the_future_of_an_unchanged_scene_is_that_of_a_rollout_bit_for_bit(name, frame):
    shown = scene(name)
    shown.open(1)
    shown.look(frame)
    future, background = shown.future(), shown.model.background_slots
    expected = roll_out(shown.model, shown.frames[1:], context=frame, horizon=HORIZON, decode=True)
    np.testing.assert_array_equal(future.positions, expected.positions[0, frame - 1 :, background:])
    np.testing.assert_array_equal(future.frames[1:], expected.pictures()[0, frame:])
    np.testing.assert_array_equal(future.frames[0], expected.pictures()[0, frame - 1])
    assert not shown.edited


@pytest.mark.parametrize(
    "change",
    [
        Change(move=(1, 0.25, -0.5)),
        Change(push=(2, 0.03, 0.01)),
        Change(swap=(0, 2, "position")),
        Change(drop=(1,)),
    ],
    ids=["move", "push", "swap", "remove"],
)
def test_changes_give_the_future_of_a_rollout_with_the_same_change(change):
    shown = scene()
    if change.move:
        x, y = shown.future().positions[0, 1].tolist()
        shown.move(1, (x + 0.25, y - 0.5))
    elif change.push:
        shown.push(2, (0.03, 0.01))
    elif change.swap:
        shown.swap(0, 2)
    else:
        shown.remove(1)
    future = shown.future()
    expected = roll_out(shown.model, shown.frames[:1], context=4, horizon=HORIZON, decode=True, change=change)
    slots = list(future.slots)
    assert slots == ([0, 2] if change.drop else [0, 1, 2]) and shown.edited
    positions = expected.positions[0, 4:][:, slots]
    np.testing.assert_allclose(future.positions[1:], positions, atol=1e-5)
    np.testing.assert_allclose(future.frames[1:], expected.pictures()[0, 4:], atol=1)  # of 255


def test_a_pushed_object_goes_straight_on_in_a_world_of_straight_lines():
    shown = scene("linear")
    before = shown.future()
    shown.move(0, (0.1, -0.2))
    shown.push(0, (0.05, 0.02))
    after = shown.future()
    expected = np.array([0.1, -0.2]) + np.array([0.05, 0.02]) * np.arange(HORIZON + 1)[:, None]
    np.testing.assert_allclose(after.positions[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(after.velocities[0], [0.05, 0.02])
    np.testing.assert_array_equal(after.positions[:, 1:], before.positions[:, 1:])
    assert shown.edits == ("moved 0", "pushed 0")
    shown.move(0, (0.3, 0.3))
    assert shown.edits == ("pushed 0", "moved 0")


def test_swapped_objects_change_places_and_keep_all_else():
    shown = scene()
    before = shown.trace.z[0, 0]
    shown.swap(0, 2)
    after, place = shown.trace.z[0, 0], shown.model.layout["position"]
    assert torch.equal(after[:, place], before[[2, 1, 0]][:, place])
    others = [i for i in range(before.shape[1]) if i not in range(place.start, place.stop)]
    assert torch.equal(after[:, others], before[:, others])
    shown.swap(2, 0)
    assert torch.equal(shown.trace.z[0, 0], before)


def test_a_removed_object_is_gone_and_the_others_keep_their_numbers():
    shown = scene()
    shown.remove(0)
    assert shown.future().slots == (1, 2)
    shown.move(2, (0.0, 0.5))
    future = shown.future()
    np.testing.assert_allclose(future.positions[0, 1], [0, 0.5], atol=1e-6)
    assert future.ghosts.shape == (2, HORIZON + 1, 2, 2)
    assert refusal(shown.move, 0, (0.0, 0.0)) == "there is no object 0 in the scene"
    shown.remove(1)
    assert "keep at least one" in refusal(shown.remove, 2)
    assert shown.future().slots == (2,)


def test_reset_and_another_place_undo_all_changes():
    shown = scene()
    before = shown.future()
    for undo in (shown.reset, lambda: shown.look(4), lambda: (shown.open(1), shown.open(0))):
        shown.remove(1)
        shown.push(0, (0.1, 0.1))
        undo()
        after = shown.future()
        assert after.slots == before.slots and not shown.edited
        np.testing.assert_array_equal(after.frames, before.frames)
        np.testing.assert_array_equal(after.ghosts, before.ghosts)


def test_samples_keep_their_noise_until_others_are_drawn():
    shown = scene("linear", samples=3)
    first = shown.future()
    assert len(np.unique(first.ghosts[:, -1, 0, 0])) == 3
    np.testing.assert_array_equal(first.ghosts[:, 0], np.stack([first.positions[0]] * 3))
    state = torch.get_rng_state()
    torch.rand(1)
    shown.move(0, (0.0, 0.0))
    moved = shown.future()
    by = moved.positions[0] - first.positions[0]
    np.testing.assert_allclose(moved.ghosts, first.ghosts + by, atol=1e-5)
    shown.reset()
    shown.resample()
    assert (shown.future().ghosts[:, 1:] != first.ghosts[:, 1:]).all()
    torch.set_rng_state(state)
    shown.future()
    assert torch.equal(torch.get_rng_state(), state), "the noise of other work is not touched"
    assert scene(samples=0).future().ghosts.shape == (0, HORIZON + 1, 3, 2)


def test_the_truth_ends_with_the_data():
    shown = scene()
    np.testing.assert_array_equal(shown.truth(), shown.frames[0, 3:])  # 3 frames, fewer than the horizon
    np.testing.assert_array_equal(shown.observed(), shown.frames[0, 3])
    assert "there is no frame 7" in refusal(shown.look, 7) and "there is no frame 0" in refusal(shown.look, 0)
    assert "there is no sequence 2: the data has 0 to 1" in refusal(shown.open, 2)
    assert (shown.index, shown.frame) == (0, 4)


@pytest.mark.parametrize("name", OF_OBJECTS)
def test_every_model_with_places_is_played_with(name):
    shown = scene(name)
    future = shown.future()
    there = [s for j, s in enumerate(future.slots) if np.isfinite(future.positions[0, j]).all()]
    assert shown.imagines == (class_of("dynamics", name) not in ("AIRPrior", "StandardNormal"))
    assert len(future.frames) == (1 + HORIZON if shown.imagines else 1)
    assert future.slots == tuple(range(shown.model.background_slots, shown.model.frame.slots))
    for slot in there[:1]:
        shown.move(slot, (0.2, -0.1))
        moved = shown.future()
        np.testing.assert_allclose(moved.positions[0, future.slots.index(slot)], [0.2, -0.1], atol=1e-6)
        shown.remove(slot)
        assert slot not in shown.future().slots
    for slot in set(future.slots) - set(there):
        assert f"slot {slot} is absent" in refusal(shown.move, slot, (0.0, 0.0))
    if "velocity" not in shown.model.layout:
        assert "push needs velocity" in refusal(shown.push, future.slots[-1], (0.1, 0.1)) or not there


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(OF_OBJECTS)))
def test_a_model_without_places_is_refused(name):
    message = refusal(Scene, make(name), bytes_of())
    assert message.startswith("play needs position in the state, which has ")


def with_actions() -> Scene:
    torch.manual_seed(0)
    model = perturbed(build(config("stove"), DataSpec(32, 32, 1, actions=4, objects=3)), 0.2).eval()
    led_to = np.arange(12).reshape(2, 6) % 4
    return Scene(model, bytes_of(), led_to, horizon=HORIZON, samples=2)


def test_actions_of_the_data_or_a_constant_one_drive_the_future():
    shown = with_actions()
    shown.look(3)
    future, expected = shown.future(), roll_out(
        shown.model, shown.frames[:1], shown.prev_actions[:1], context=3, horizon=3)  # fmt: skip
    np.testing.assert_array_equal(future.positions, expected.positions[0, 2:])
    assert shown.length() == 3, "the data has no more actions"
    shown.follow(2)
    always = np.concatenate([shown.prev_actions[:1, :3], np.full((1, HORIZON), 2)], 1)
    expected = roll_out(shown.model, shown.frames[:1], always, context=3, horizon=HORIZON)
    np.testing.assert_array_equal(shown.future().positions, expected.positions[0, 2:])
    assert shown.future().ghosts.shape[1] == HORIZON + 1
    shown.follow(None)
    shown.look(6)
    assert len(shown.future().frames) == 1
    assert "there is no action 4: the model follows 4" in refusal(shown.follow, 4)
