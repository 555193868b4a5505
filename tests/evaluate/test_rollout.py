"""Rollouts: what is filtered and what imagined, in which order, and that blocks change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqvae import rollout as module
from seqvae.errors import UserError
from seqvae.rollout import imagine_far, roll_out
from seqvae.video import compare
from tests.evaluate import spelled


def test_a_straight_flight_is_continued(rng):
    positions, velocities = spelled.straight(rng)
    frames = spelled.spell(positions)
    frames[:, 8:] = 0  # what comes after the context is not looked at
    rollout = roll_out(spelled.model(), frames, context=8, horizon=12, decode=True)
    assert rollout.first_predicted == 8 and rollout.z.shape == (3, 20, 2, 4)
    # read to 1.2e-4, so a velocity to 2.4e-4, twelve times
    np.testing.assert_allclose(rollout.positions, positions, atol=4e-3)
    np.testing.assert_allclose(rollout.velocities[:, 2:], velocities[:, 2:], atol=3e-4)
    decoded = spelled.read(torch.as_tensor(rollout.frames).permute(0, 1, 4, 2, 3), 2)
    np.testing.assert_allclose(decoded.numpy(), rollout.positions, atol=1.3e-4)
    assert rollout.pictures().dtype == np.uint8
    np.testing.assert_array_equal(rollout.pictures()[:, :8], spelled.spell(rollout.positions[:, :8]))


def test_frames_are_decoded_only_on_demand(rng):
    rollout = roll_out(spelled.model(), spelled.spell(spelled.straight(rng)[0]), horizon=3)
    assert rollout.frames is None and rollout.masks is None and rollout.extents is None


def test_blocks_change_nothing(rng, monkeypatch):
    frames = spelled.spell(spelled.straight(rng, n=5)[0])
    whole = roll_out(spelled.model(), frames, horizon=12, decode=True)
    monkeypatch.setattr(module, "SEQUENCES", 2)
    monkeypatch.setattr(module, "DECODED", 6)
    parts = roll_out(spelled.model(), frames, horizon=12, decode=True)
    np.testing.assert_array_equal(parts.z, whole.z)
    np.testing.assert_array_equal(parts.frames, whole.frames)


def test_decoding_lowers_the_number_of_sequences_at_once(rng, monkeypatch):
    frames = spelled.spell(spelled.straight(rng, n=5)[0])
    monkeypatch.setattr(module, "NUMBERS", 2 * 20 * frames[0, 0].size)
    blocks = module.roll_out_blocks(spelled.model(), frames, horizon=12, decode=True)
    assert [(where.start, where.stop) for where, _ in blocks] == [(0, 2), (2, 4), (4, 5)]


PUSH = np.array([[0.0, 0.0], [0.05, 0.0], [0.0, -0.03]])


def pushed(rng, n=4, t=16):
    """Objects that move by PUSH[action] alone, and the actions that led to each frame."""
    prev_actions = rng.integers(0, 3, (n, t))
    steps = PUSH[prev_actions].cumsum(1)
    return rng.uniform(-0.3, 0.3, (n, 1, 2, 2)) + steps[:, :, None], prev_actions


def test_every_action_leads_to_its_frame(rng):
    positions, actions = pushed(rng)
    model = spelled.model(velocity=False, actions=3, push=PUSH)
    rollout = roll_out(model, spelled.spell(positions), actions, context=8, horizon=8)
    np.testing.assert_allclose(rollout.positions, positions, atol=1e-3)


def test_actions_also_lead_through_the_context(rng):
    """A model that sees only the first frame: the rest of the context follows from the actions."""
    positions, actions = pushed(rng)
    model = spelled.model(velocity=False, actions=3, push=PUSH)
    encode = model.frame.encode
    seen = torch.arange(8)[None] == 0
    model.frame.encode = lambda video: encode(video).observed(seen.expand(len(video), -1))
    rollout = roll_out(model, spelled.spell(positions), actions, context=8, horizon=8)
    np.testing.assert_allclose(rollout.positions, positions, atol=1e-3)


def test_missing_and_short_actions(rng):
    positions, actions = pushed(rng, t=12)
    model = spelled.model(velocity=False, actions=3, push=PUSH)
    frames = spelled.spell(positions)
    with pytest.raises(UserError, match="the data has none"):
        roll_out(model, frames, None, horizon=4)
    # 12 actions: the one at index 8 leads to predicted frame 1, the last one to predicted frame 4
    assert roll_out(model, frames, actions, horizon=4).z.shape[1] == 12
    with pytest.raises(UserError, match="horizon=5: the data has the actions that lead to 4 frames"):
        roll_out(model, frames, actions, horizon=5)
    with pytest.raises(UserError, match="horizon=0: the data has the actions that lead to 0 frames"):
        roll_out(model, frames, actions[:, :7], horizon=0)


def test_actions_are_ignored_by_a_model_without(rng):
    positions, _ = spelled.straight(rng)
    frames, actions = spelled.spell(positions), np.ones((3, 20), dtype=int)
    a, b = (roll_out(spelled.model(), frames, x, horizon=4).z for x in (actions, None))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("context", "horizon", "message"),
    [(21, 1, "have only 20 frames"), (0, 1, "context=0"), (8, -1, "horizon=-1")],
)
def test_impossible_lengths(rng, context, horizon, message):
    with pytest.raises(UserError, match=message):
        roll_out(spelled.model(), spelled.spell(spelled.straight(rng)[0]), None, context, horizon)


def test_samples_differ_and_means_do_not(rng):
    frames = spelled.spell(spelled.straight(rng)[0])
    model = spelled.model(noise=0.01)
    np.testing.assert_array_equal(roll_out(model, frames, horizon=4).z, roll_out(model, frames, horizon=4).z)
    a, b = (roll_out(model, frames, horizon=4, sample=True).z for _ in range(2))
    assert (a[:, 8:] != b[:, 8:]).all() and (a[:, :8] != b[:, :8]).any()


def test_far_is_the_same_rollout_in_pieces(rng):
    frames = spelled.spell(spelled.straight(rng)[0])
    whole = roll_out(spelled.model(damping=0.9), frames, horizon=25).z
    pieces = list(imagine_far(spelled.model(damping=0.9), frames, context=8, horizon=25, chunk=10))
    assert [z.shape[1] for z in pieces] == [1, 10, 10, 5]
    np.testing.assert_array_equal(torch.cat(pieces, 1).numpy(), whole[:, 7:])


def test_a_comparison_takes_one_sequence(rng):
    frames = spelled.spell(spelled.straight(rng)[0])
    rollout = roll_out(spelled.model(), frames, horizon=30, decode=True)
    video = compare(rollout, 1, frames[1])
    assert len(video) == 38 and video.first_predicted == 8
    np.testing.assert_array_equal(video.positions, rollout.positions[1])
    np.testing.assert_array_equal(video.model, rollout.pictures()[1])
