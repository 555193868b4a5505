"""Actions: each leads to its own frame and is remembered; a missing or surplus one is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.sequences import read_sequences
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.evaluate import bound
from seqvae.layout import Field, StateLayout
from seqvae.posteriors.amortised import Amortised
from seqvae.rollout import roll_out
from seqvae.sequence import SequenceModel
from seqvae.types import Dynamics, Encoding, FrameModel, LastState, Scene, Transition
from tests.laws.common import perturbed
from tests.models import SHIPPED, class_of, config, video
from tests.worlds import make_data

ACTIONS, LENGTH, SIZE = 9, 12, 16
IGNORANT = ("LinearDynamics", "StandardNormal", "AIRPrior")
FOLLOWING = [name for name in SHIPPED if class_of("dynamics", name) not in IGNORANT]
IGNORING = ["linear", "vae", "air", "monet"]


class Blank(FrameModel):
    """Frames without any encoding about a state of two numbers."""

    slots = 1
    layout = StateLayout((Field("code", 2, "product"),))

    def encode(self, clip):
        nothing = torch.zeros(*clip.shape[:2], 1, 2)
        return Encoding(nothing, nothing)

    def terms(self, clip, z, encoding, context):
        return {"log_likelihood": z[..., 0, 0]}

    def decode(self, z, context=None):
        return Scene(torch.zeros(*z.shape[:2], 3, SIZE, SIZE))


class Recorder(Dynamics):
    """Dynamics whose state holds the action that led to its frame, and the action before it."""

    def __init__(self, layout):
        super().__init__()
        self.layout = layout

    def init(self, batch, like):
        return LastState(None, like.new_full((batch, 1, 2), -1.0))

    def predict(self, carry, prev_action):
        before = carry.like if carry.z is None else carry.z
        mean = torch.stack([prev_action[:, None].to(before), before[..., 0]], -1)
        certain = Normal(mean, torch.full_like(mean, 1e-6))
        return Transition(certain, certain)

    def update(self, carry, z, encoding):
        return LastState(z, carry.like)


def recorder() -> SequenceModel:
    frame = Blank()
    spec = DataSpec(SIZE, SIZE, 3, ACTIONS, 3)
    return SequenceModel(frame, Amortised(frame.layout), Recorder(frame.layout), spec)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    sizes = ["test=3", f"length={LENGTH}", f"image_size={SIZE}"]
    folder = make_data(tmp_path_factory.mktemp("avoidance"), "avoidance", *sizes)
    with h5py.File(folder / "test.h5", "a") as file:  # its own actions repeat, so a shift would not show
        actions = np.tile(np.arange(LENGTH) % ACTIONS, (3, 1))
        file["actions"][:] = np.random.default_rng(0).permuted(actions, axis=1)
    return folder / "test.h5"


@pytest.fixture(scope="module")
def led(data):
    """Return the actions that led to each frame, "n t"; the last entry in the file led to the first frame."""
    with h5py.File(data) as file:
        actions = file["actions"][:]
    return np.concatenate([actions[:, -1:], actions[:, :-1]], 1)


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("frames", [8, LENGTH, None])
def test_a_rollout_gets_the_action_that_led_to_each_frame(data, led, frames, sample):
    """Also if fewer frames are read than the file holds, whose last action led to frame 1."""
    data_read = read_sequences(data, max_frames=frames)
    length = frames or LENGTH
    rollout = roll_out(recorder(), data_read.frames, data_read.prev_actions, 3, length - 3, sample)
    np.testing.assert_allclose(rollout.z[:, :, 0, 0], led[:, :length], atol=1e-4)
    np.testing.assert_allclose(rollout.z[:, 1:, 0, 1], led[:, : length - 1], atol=1e-4)


def test_as_many_frames_are_predicted_as_actions_lead_to(data, led):
    few = read_sequences(data, index=1, max_frames=7)
    with pytest.raises(UserError, match="horizon=5: the data has the actions that lead to 4 frames after"):
        roll_out(recorder(), few.frames, few.prev_actions, context=3, horizon=5)


def test_clips_bounds_and_validation_get_the_same_actions(data, led):
    """One clip of a whole sequence: trained on, validated on and bounded with the same actions."""
    sequences, model = read_sequences(data), recorder()
    for source in (data, {"imgs": sequences.frames, "prev_actions": sequences.prev_actions}):
        batch = InMemoryClips(source).batch(ClipRequest(0, 3, LENGTH, seed=0))
        z = model.filter(batch.video, batch.prev_actions).z
        np.testing.assert_allclose(z[:, :, 0, 0], led[batch.sequences], atol=1e-4)
    # log p = the first number of the state, and nothing else: the mean action of frames 1 to 8
    limit = bound(model, sequences, samples=1, length=8)
    np.testing.assert_allclose(limit.by_sequence, led[:, :8].mean(1), atol=1e-3)


def follower(name: str) -> SequenceModel:
    """Return a model that follows actions, with weights away from their start."""
    torch.manual_seed(0)
    return perturbed(build(config(name), DataSpec(SIZE, SIZE, 3, ACTIONS, 3)), 0.05)


@pytest.mark.parametrize("name", FOLLOWING)
def test_an_action_is_remembered_beyond_its_frame(name):
    """With the same states ever after, a GRU still differs by the action that once led to a frame."""
    model = follower(name)
    remembers = config(name)["dynamics"]["_target_"].endswith("GRUDynamics")
    like = torch.zeros(2, model.frame.slots, model.layout.dim)
    carry, priors = model.dynamics.init(2, like), []
    for t in range(5):  # the network of the published STOVE begins with the third frame
        action = torch.tensor([1, 2]) if t == 2 else torch.tensor([0, 0])
        transition = model.dynamics.predict(carry, action)
        priors.append(transition.prior.mean)
        encoding = Encoding(like, torch.ones_like(like))
        carry = model.dynamics.update(transition.carried(carry), like + 0.1, encoding)
    apart = [not torch.equal(*prior) for prior in priors]
    assert apart == [False, False, True, remembers, remembers]


@pytest.mark.parametrize("name", ["gru_ssm", "vrnn"])
def test_filter_and_imagination_go_on_from_the_carry_after_the_action(name):
    """The loop over time, spelled out: context_t = h_t-1 + action, and h_t = cell(z_t; context_t)."""
    model = follower(name).double()
    dynamics = model.dynamics
    clip, actions = video(frames=4, height=SIZE, width=SIZE, channels=3).double(), torch.randint(0, 9, (2, 7))
    trace = model.filter(clip, actions[:, :4])
    future = model.imagine(trace.carry, 3, actions[:, 4:])
    z, h = torch.cat([trace.z, future.z], 1), dynamics.first.expand(2, -1)
    encoding = [trace.encoding.mean[:, t] for t in range(4)]
    for t in range(7):
        h = h + dynamics.act(actions[:, t])
        record = trace if t < 4 else future
        assert_close(record.context[:, t if t < 4 else t - 4], h)
        if t >= 4:
            frame = model.frame.decode(z[:, t : t + 1], h[:, None]).frames
            encoding.append(model.frame.encode(frame).mean[:, 0])
        read = [z[:, t], encoding[t]] if dynamics.reads_frames else [z[:, t]]
        h = dynamics.cell(torch.cat(read, -1).flatten(1), h)


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_model_that_follows_actions_does_not_run_without_them(name):
    model = follower(name)
    clip, actions = video(frames=3, height=SIZE, width=SIZE, channels=3), torch.zeros(2, 3, dtype=torch.long)
    trace = model.filter(clip, actions)
    with pytest.raises(UserError, match="^prev_actions: the model follows 9 actions; give one a frame"):
        model.filter(clip)
    with pytest.raises(UserError, match="^prev_actions: the model follows 9 actions"):
        model.infer(trace.encoding)
    with pytest.raises(UserError, match="^actions: the model follows 9 actions"):
        model.imagine(trace.carry, 2)
    with pytest.raises(UserError, match="^prev_actions: there are 3 for 2 frames"):
        model.filter(clip[:, :2], actions)
    with pytest.raises(UserError, match="^actions: there are 3 for 4 frames"):
        model.imagine(trace.carry, 4, actions)
    assert model.imagine(trace.carry, 3, actions).z.isfinite().all()


def test_a_model_made_without_actions_refuses_them():
    model = build(config("stove"), DataSpec(SIZE, SIZE, 3, 0, 3))
    clip, actions = video(frames=3, height=SIZE, width=SIZE, channels=3), torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(UserError, match="^prev_actions: the model was made for data without actions"):
        model.filter(clip, actions)
    with pytest.raises(UserError, match="^actions: the model was made for data without actions"):
        model.imagine(model.filter(clip).carry, 3, actions)


@pytest.mark.parametrize("name", IGNORING)
def test_a_model_that_ignores_actions_is_the_same_with_and_without(name):
    model = follower(name)
    assert model.actions == 0 and model.ignores_actions
    clip, actions = video(frames=3, height=SIZE, width=SIZE, channels=3), torch.randint(0, 9, (2, 3))
    trace = model.filter(clip, actions)
    assert torch.equal(trace.z, model.filter(clip).z)
    assert torch.equal(model.imagine(trace.carry, 3, actions).z, model.imagine(trace.carry, 3).z)
