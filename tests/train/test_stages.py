"""Stages: what they inherit, what they refuse, and the encoding that stands in for frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data_gen.cli.configs import compose
from seqvae.build import DataSpec, build
from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.matching import reorder, track
from seqvae.train.encodings import encode_sequences, encode_true_states
from seqvae.train.optim import Optim
from seqvae.train.stages import PARTS, build_stages
from tests.models import paths

BASE = (
    {"_target_": "seqvae.objectives.TemporalELBO", "start": 2},
    {"lr": 0.1, "clip": 3.0},
    {"steps": 5},
)


def test_without_stages_there_is_one():
    (only,) = build_stages(*BASE, None)
    assert (only.index, only.source, only.parts) == (0, "frames", PARTS)
    assert (only.objective.start, only.optim, only.trainer.steps) == (2, Optim(lr=0.1, clip=3.0), 5)
    assert only.key("trainer.steps") == "trainer.steps"


def test_a_stage_says_only_what_differs():
    own = {"source": "evidence", "parts": ["dynamics"], "optim": {"lr": 0.2}, "trainer": {"minutes": 3.0}}
    first, second = build_stages(*BASE, {"see": None, "move": own})
    assert first.parts == PARTS and first.trainer.budget.steps == 5
    assert second.optim == Optim(lr=0.2, clip=3.0) and second.parts == ("dynamics",)
    assert str(second.trainer.budget) == "5 steps or 3 minutes"
    assert second.key("trainer.steps") == "stages.move.trainer.steps"


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"objectve": {}}, "stages.x.objectve: no such key; did you mean objective"),
        ({"source": "pixels"}, "stages.x.source=pixels: expected frames, evidence, states"),
        (
            {"parts": ["head"]},
            "stages.x.parts=['head']: expected some of frame, posterior, dynamics, reward, spread",
        ),
        ({"begin": "first"}, "stages.x.begin=first: expected last or best"),
        ({"parts": []}, "stages.x.parts"),
        ({"source": "evidence"}, "without frames the frame model cannot be trained"),
        ({"trainer": {"steps": "many"}}, "stages.x.trainer.steps: expected int or null, got 'many'"),
        (
            {"objective": {"_target_": "os.system"}},
            "stages.x.objective._target_: there is no Objective os.system",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_refused(own, words):
    with pytest.raises(UserError) as caught:
        build_stages(*BASE, {"x": own})
    assert words in str(caught.value)


def test_encoding_clips_are_what_the_encoder_says_of_the_same_clips(rng):
    arrays = {
        "imgs": rng.integers(256, size=(5, 9, 16, 16, 3), dtype=np.uint8),
        "actions": rng.integers(9, size=(5, 9)),
    }
    spec = DataSpec(16, 16, 3, actions=9, objects=2, coord_limit=1.0)
    model = build(compose("train", ["model=stove"])["model"], spec)
    frames = InMemoryClips(arrays)
    request = ClipRequest(step=3, batch_size=4, clip_length=6, seed=1, rank=1, world_size=2)
    seen, clips = encode_sequences(model, frames).batch(request), frames.batch(request)
    with torch.no_grad():
        expected = model.frame.encode(clips.video)

    def in_one_order(x):  # the slots of a frame are the same ones, in an order of the sequence
        return x.sort(2).values

    torch.testing.assert_close(in_one_order(seen.encoding.mean), in_one_order(expected.mean))
    torch.testing.assert_close(in_one_order(seen.encoding.precision), in_one_order(expected.precision))
    assert torch.equal(seen.prev_actions, clips.prev_actions)


def test_tracked_slots_keep_their_objects_whatever_the_order_in_a_frame():
    torch.manual_seed(0)
    true = paths(3, 12, batch=5)
    shuffled = torch.stack([frame[:, torch.randperm(3)] for frame in true.unbind(1)], 1)
    order = track(shuffled)
    found = reorder(shuffled.flatten(0, 1), order.flatten(0, 1)).unflatten(0, (5, 12))
    same = torch.cdist(found[:, 0], true[:, 0]).argmin(-1)
    torch.testing.assert_close(found, true.gather(2, same[:, None, :, None].expand_as(true)))


def test_true_states_in_the_units_of_the_model():
    spec = DataSpec(16, 16, 3, actions=0, objects=2, coord_limit=10.0)
    model = build(compose("train", ["model=stove"])["model"], spec)
    positions, radii = np.array([[[[-1.0, 0.0], [1.0, -0.5]]]]), np.full((1, 1, 2), 0.2)
    data = Sequences("x", np.zeros((1, 1, 16, 16, 3), np.uint8), positions, radii=radii)
    encoding = encode_true_states(model, data)
    expected = torch.tensor([[0.2, 0.2, -1, 0, 0, 0], [0.2, 0.2, 1, -0.5, 0, 0]])
    torch.testing.assert_close(encoding.mean[0, 0], expected)
    assert (encoding.precision[..., :4] - 1e6).abs().max() < 1 and (encoding.precision[..., 4:] == 0).all()
    # twice as wide as high: a radius of 0.2 half-widths is 0.4 half-heights
    wide = Sequences("x", np.zeros((1, 1, 16, 32, 3), np.uint8), positions, radii=radii)
    expected[:, 1] = 0.4
    torch.testing.assert_close(encode_true_states(model, wide).mean[0, 0], expected)
    with pytest.raises(UserError, match="x: has no true states"):
        encode_true_states(model, Sequences("x", data.frames))
