"""Building from configs: what is refused, and how it is told."""

from __future__ import annotations

import pytest

from data_gen.cli.configs import compose
from seqvae.build import DataSpec, build
from seqvae.config import instantiate, make
from seqvae.errors import UserError, did_you_mean
from seqvae.train.optim import Cosine, Optim
from seqvae.types import Schedule

SPEC = DataSpec(height=16, width=16, channels=3, actions=0, objects=2, coord_limit=10.0)
SCHEDULE = "seqvae.train.optim.Cosine"
ENCODER = "seqvae.nn.boxes.PursuitEncoder"


def stove(**changes) -> dict:
    return compose("train", ["model=stove"])["model"] | changes


def test_slots_come_from_the_config_else_from_the_data():
    assert build(stove(), SPEC).frame.slots == 2
    assert build(stove(slots=4), SPEC).frame.slots == 4
    with pytest.raises(UserError, match="model.slots"):
        build(stove(), DataSpec(16, 16, 3))


def test_the_full_layout_is_the_dynamics_and_begins_with_the_frames():
    model = build(stove(), SPEC)
    own = model.frame.layout.fields
    assert model.layout.fields[: len(own)] == own and "latent" in model.layout
    assert model.posterior.layout == model.layout


BAD = {
    "unknown part": ({"head": {}}, "accepted: frame, posterior, dynamics, slots, reward"),
    "no target": ({"frame": {"glimpse": 3}}, "model.frame: expected a mapping with a _target_"),
    "foreign": ({"frame": {"_target_": "os.system", "command": "true"}}, "there is no FrameModel os.system"),
    "no module": ({"frame": {"_target_": "seqvae.frames.nope.X"}}, "no FrameModel seqvae.frames.nope.X; did"),
    "no class": (
        {"frame": {"_target_": "seqvae.frames.supair.Supair"}},
        "did you mean seqvae.frames.supair.SuPAIR?",
    ),
    "through us": ({"frame": {"_target_": "seqvae.config.importlib.import_module"}}, "no FrameModel"),
    "borrowed": (
        {"frame": {"_target_": "seqvae.frames.supair.rearrange"}},
        "no FrameModel seqvae.frames.supair.rearrange",
    ),
    "missing": ({"frame": {"_target_": "seqvae.frames.supair.SuPAIR"}}, "model.frame: needs encoder"),
    "wrong place": (
        {"posterior": {"_target_": SCHEDULE}},
        f"expected a part of kind Posterior, got {SCHEDULE} of kind Schedule; known: ",
    ),
    "factory": (
        {"frame": {"_target_": "seqvae.frames.supair.SuPAIR", "_partial_": True}},
        "model.frame._partial_: SuPAIR is made at once; leave it out",
    ),
    "no factory": (
        {"frame": {"_target_": "seqvae.frames.supair.SuPAIR", "encoder": {"_target_": ENCODER}}},
        "model.frame.encoder._partial_: PursuitEncoder is made by another part later; give true",
    ),
    "part for a number": (
        {"frame": {"_target_": "seqvae.frames.supair.SuPAIR", "glimpse": {"_target_": ENCODER}}},
        "model.frame.glimpse: takes no part with a _target_",
    ),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_config_is_refused_in_one_line(changes, words):
    with pytest.raises(UserError) as caught:
        build(stove(**changes), SPEC)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_and_ill_typed_arguments_name_key_and_remedy():
    with pytest.raises(UserError, match="optim.schedule.end: unknown; accepted: final, warmup"):
        instantiate({"_target_": SCHEDULE, "end": 0.1}, "optim.schedule", Schedule)
    with pytest.raises(UserError, match="optim.schedule.warmup: expected int, got 'long'"):
        instantiate({"_target_": SCHEDULE, "warmup": "long"}, "optim.schedule", Schedule)
    with pytest.raises(UserError, match="warmup: is set by the data or by another part"):
        instantiate({"_target_": SCHEDULE, "warmup": 3}, "optim.schedule", Schedule, warmup=5)


def test_nested_targets_and_factories():
    optim = make(Optim, {"betas": [0.5, 0.9], "schedule": {"_target_": SCHEDULE}}, "optim")
    assert optim.schedule == Cosine() and optim.betas == (0.5, 0.9)
    with pytest.raises(UserError, match="optim: expected a mapping, got 3"):
        make(Optim, 3, "optim")
    encoder = {"_target_": ENCODER, "_partial_": True, "rounds": 3}
    model = build(stove(frame={"_target_": "seqvae.frames.supair.SuPAIR", "encoder": encoder}), SPEC)
    assert model.frame.encoder.rounds == 3 and model.frame.encoder.slots == 2


def test_near_matches():
    assert did_you_mean("stepz", ["steps", "minutes"]) == "did you mean steps?"
    assert did_you_mean("xyz", ["steps", "minutes"]) == "known: minutes, steps"


@pytest.mark.parametrize("key", ["height", "width", "channels", "actions"])
def test_data_of_another_size_is_refused(key):
    other = DataSpec(**SPEC.as_dict() | {key: 99})
    with pytest.raises(UserError, match=f"my.h5: {key} is 99, but the model was trained with {key}"):
        SPEC.require_same_input(other, "my.h5")
    SPEC.require_same_input(DataSpec(**SPEC.as_dict() | {"objects": 9}), "my.h5")
