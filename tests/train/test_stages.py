"""Stages: what they inherit, what they refuse, and the evidence that stands in for frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqvae.build import DataSpec, build
from seqvae.cli.compose import compose
from seqvae.data.clips import InMemoryClips
from seqvae.train.evidence import EvidenceClips
from seqvae.train.stages import PARTS, stages
from seqvae.types import UserError

BASE = {"objective": {"_target_": "a"}, "optim": {"lr": 0.1, "clip": 1.0}, "trainer": {"steps": 5}}


def test_without_stages_there_is_one():
    (only,) = stages(BASE | {"stages": None})
    assert (only.index, only.source, only.parts) == (0, "frames", PARTS)
    assert (only.objective, only.optim, only.options.steps) == (BASE["objective"], BASE["optim"], 5)
    assert only.key("trainer.steps") == "trainer.steps"


def test_a_stage_says_only_what_differs():
    own = {"source": "evidence", "parts": ["dynamics"], "optim": {"lr": 0.2}, "trainer": {"minutes": 3}}
    first, second = stages(BASE | {"stages": {"see": None, "move": own}})
    assert first.parts == PARTS and first.options.budget.steps == 5
    assert second.optim == {"lr": 0.2, "clip": 1.0} and second.parts == ("dynamics",)
    assert str(second.options.budget) == "5 steps or 3 minutes"
    assert second.key("trainer.steps") == "stages.move.trainer.steps"


@pytest.mark.parametrize(("own", "words"), [
    ({"objectve": {}}, "stages.x.objectve: unknown; did you mean objective"),
    ({"source": "pixels"}, "stages.x.source=pixels: expected frames or evidence"),
    ({"parts": ["head"]}, "stages.x.parts=['head']: expected some of frame, posterior, dynamics"),
    ({"parts": []}, "stages.x.parts"),
    ({"source": "evidence"}, "evidence cannot train the frame model"),
])
def test_a_stage_that_cannot_be_is_refused(own, words):
    with pytest.raises(UserError) as caught:
        stages(BASE | {"stages": {"x": own}})
    assert words in str(caught.value)


def test_evidence_clips_are_what_the_encoder_says_of_the_same_clips(rng):
    arrays = {
        "imgs": rng.integers(256, size=(5, 9, 16, 16, 3), dtype=np.uint8),
        "actions": rng.integers(9, size=(5, 9)),
    }
    spec = DataSpec(16, 16, 3, actions=9, objects=2, coord_limit=1.0)
    model = build(compose("train", ["model=stove"])["model"], spec)
    frames = InMemoryClips(arrays)
    where = {"step": 3, "batch_size": 4, "clip_length": 6, "seed": 1, "rank": 1, "world_size": 2}
    seen, clips = EvidenceClips(model, frames).batch(**where), frames.batch(**where)
    with torch.no_grad():
        expected = model.frame.encode(clips.video)
    torch.testing.assert_close(seen.evidence.mean, expected.mean)
    torch.testing.assert_close(seen.evidence.precision, expected.precision)
    assert torch.equal(seen.prev_actions, clips.prev_actions)
