"""Objectives against sums spelled out, and rollouts under any order of the slots."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, distributions
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.distributions import Normal
from seqvae.elbo import encoding_log_density
from seqvae.errors import UserError
from seqvae.objectives import BASELINE_WEIGHT, ELBO, EnumeratedELBO, LatentELBO, ScoreFunctionELBO
from seqvae.prediction import FramePrediction, PositionPrediction, at_last_observed, followed
from seqvae.sequence import SequenceModel
from seqvae.types import Encoding, Trace
from tests.laws.common import F64, as_batch, perturbed
from tests.models import config, make, paths, video


def batch(frames: int = 5, name: str = "stove", **sizes: int) -> SimpleNamespace:
    return as_batch(video=video(frames=frames, dtype=F64, **sizes))


def evaluated(objective, model: SequenceModel, clip, progress: float = 0.0):
    torch.manual_seed(1)
    return objective(model, clip, progress)


def log_density(q: Normal, z: Tensor) -> Tensor:
    return distributions.Normal(q.mean, q.std).log_prob(z).sum((-2, -1))


def bound(model: SequenceModel, clip, trace: Trace) -> Tensor:
    """Return log p(x_t | z_t) + log p(z_t | z_<t) - log q(z_t | ...) per frame, for models with Gaussians."""
    beside = model.frame.auxiliary
    frame = model.frame.terms(clip.video, trace.z, trace.encoding, trace.context)
    frame = sum(value for name, value in frame.items() if name not in beside)
    return frame + log_density(trace.prior, trace.z) - log_density(trace.posterior, trace.z)


@pytest.mark.parametrize("name", ["stove", "spatial_vae", "vrnn", "monet_sequence"])
def test_the_temporal_elbo_is_its_sum_spelled_out(name):
    model, clip = make(name, dtype=F64), batch()
    for start in (1, 3):
        terms, trace = evaluated(ELBO(start), model, clip)
        assert_close(terms.bound(), bound(model, clip, trace)[:, start - 1 :])
    by_default, _ = evaluated(ELBO(start=3), model, clip)
    assert torch.equal(by_default.objective(), terms.objective())
    transitions = [model.dynamics.predict(model.init(2, trace.z[:, 0]).dynamics, None).prior]
    assert_close(trace.prior.mean[:, 0], transitions[0].mean)  # p(z_1) comes first


def test_the_density_that_a_flow_returns_with_a_sample_is_the_posterior_s():
    model, clip = make("stove_iaf", dtype=F64), batch(frames=3)
    terms, trace = evaluated(ELBO(1), model, clip)
    assert torch.equal(terms.values["neg_log_posterior"], -trace.log_posterior)
    without = replace(trace, log_posterior=None)
    assert_close(terms.values["neg_log_posterior"], -without.posterior.log_prob(trace.z))


@pytest.mark.parametrize("start", [1, 2])
def test_the_frame_elbo_is_its_sum_spelled_out(start):
    model, clip = make("vrnn", dtype=F64), batch()
    terms, trace = evaluated(ELBO(start=start, beta=3.0), model, clip)
    likelihood = model.frame.terms(clip.video, trace.z, trace.encoding, trace.context)["log_likelihood"]
    kl = log_density(trace.posterior, trace.z) - log_density(trace.prior, trace.z)
    assert_close(terms.objective(), (likelihood - 3 * kl)[:, start - 1 :])
    assert_close(terms.bound(), (likelihood - kl)[:, start - 1 :])
    plain, _ = evaluated(ELBO(start=start), model, clip)
    assert torch.equal(plain.bound(), terms.bound()) and not plain.weights


@pytest.mark.parametrize("start", [1, 3])
def test_a_decoded_rollout_is_scored_on_the_frames_after_its_context(start):
    model, clip = make("vrnn", dtype=F64), batch(frames=6)
    objective = ELBO(start=start, rollout=FramePrediction(context=4, weight=0.3))
    terms, trace = evaluated(objective, model, clip)
    torch.manual_seed(1)
    first = model.filter(clip.video[:, :4], sample=True)
    future = model.imagine(first.carry, 2)
    expected = model.frame.terms(clip.video[:, 4:], future.z, None, future.context)["log_likelihood"]
    assert torch.equal(trace.z[:, :4], first.z) and trace.z.shape[1] == 6
    assert terms.values["rollout"].shape == (2, 7 - start)
    assert_close(terms.values["rollout"][:, -2:], expected)
    assert (terms.values["rollout"][:, :-2] == 0).all()
    assert terms.weights["rollout"] == 0.3 and FramePrediction() == FramePrediction(context=8, weight=1.0)


def track_slots(order: list[int], frames: int = 7, sizes: float = 0.2) -> tuple[Encoding, Tensor]:
    """Return encoding of three objects in straight flight, in one order for all frames, and positions."""
    torch.manual_seed(3)
    position = paths(3, frames, batch=2, dtype=F64)[:, :, order]
    size = torch.full_like(position, sizes)
    mean = torch.cat([size, position, torch.zeros_like(position)], -1)
    precision = 400 * (1 + torch.arange(3, dtype=F64))[order, None].expand_as(position)
    return Encoding(mean, torch.cat([precision, precision, torch.zeros_like(position)], -1)), position


def expecting(position: Tensor) -> SequenceModel:
    """Return a model whose slots expect objects at these places "k 2" in the first frame."""
    model = make("stove", dtype=F64)
    first = model.dynamics.first_mean.expand(3, -1).clone()
    first[:, model.layout["position"]] = position
    model.dynamics.first_mean = first
    return model


@pytest.mark.parametrize("start", [1, 3])
def test_the_latent_elbo_is_its_sum_spelled_out(start):
    model, (encoding, _) = make("stove", dtype=F64), track_slots([0, 1, 2])
    clip = as_batch(encoding=encoding)
    terms, trace = evaluated(LatentELBO(start), model, clip)
    shown = slice(0, 4)
    std = encoding.precision[..., shown].rsqrt()
    density = distributions.Normal(trace.z[..., shown], std).log_prob(encoding.mean[..., shown])
    expected = (
        density.sum((-2, -1)) + log_density(trace.prior, trace.z) - log_density(trace.posterior, trace.z)
    )
    assert_close(terms.objective(), expected[:, start - 1 :])
    assert not terms.weights and LatentELBO().start == 3 and LatentELBO().sharpen == 1.0


def test_a_rollout_takes_the_stds_of_what_was_observed_on_request():
    model, (encoding, position) = make("stove", dtype=F64), track_slots([0, 1, 2])
    rollout = PositionPrediction(context=4, scale=0.05, uncertain=True)
    terms, trace = evaluated(LatentELBO(1, rollout), model, as_batch(encoding=encoding))
    future = model.imagine(trace.carry, 3)
    std = encoding.precision[:, 4:, :, model.layout["position"]].reciprocal().mean(-1).sqrt()
    expected = rollout.log_density(position[:, 4:], model.positions(future.z), std)
    assert_close(terms.values["rollout"][:, -3:], expected)
    assert not torch.allclose(expected, rollout.log_density(position[:, 4:], model.positions(future.z)))


@pytest.mark.parametrize("start", [1, 3])
def test_a_latent_rollout_is_scored_on_the_frames_after_its_context(start):
    model, (encoding, position) = make("stove", dtype=F64), track_slots([0, 1, 2])
    rollout = PositionPrediction(context=4, weight=0.7, scale=0.05)
    clip = as_batch(encoding=encoding)
    terms, trace = evaluated(LatentELBO(start, rollout), model, clip)
    torch.manual_seed(1)
    first = model.infer(encoding.map(lambda x: x[:, :4]), sample=True)
    future = model.imagine(first.carry, 3)
    assert torch.equal(trace.z, first.z), "only the context is inferred"
    expected = rollout.log_density(position[:, 4:], model.positions(future.z))
    assert terms.values["rollout"].shape == (2, 8 - start)
    assert_close(terms.values["rollout"][:, -3:], expected)
    assert (terms.values["rollout"][:, :-3] == 0).all() and terms.weights == {"rollout": 0.7}
    for name, defined in terms.defined.items():
        later = torch.arange(8 - start).expand(2, -1) >= 5 - start
        assert torch.equal(defined, later if name == "rollout" else ~later)
    prior = log_density(first.prior, first.z) - log_density(first.posterior, first.z)
    within = encoding_log_density(model.layout, first) + prior
    assert_close(terms.bound()[:, : 5 - start], within[:, start - 1 :])
    assert (terms.bound()[:, 5 - start :] == 0).all()
    assert PositionPrediction() == PositionPrediction(context=8, weight=1.0, scale=0.02)


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 0, 1], [1, 0, 2]])
def test_the_latent_elbo_is_invariant_to_the_order_of_a_clip_s_objects(order):
    _, position = track_slots([0, 1, 2])
    # the trace has the order of the slots; a three-cycle tells a permutation from its inverse
    model, results = expecting(position[0, 0]), []
    for clip_order in ([0, 1, 2], order):
        encoding, _ = track_slots(clip_order)
        one = encoding.map(lambda x: x[:1])
        clip = as_batch(encoding=one)
        results.append(evaluated(LatentELBO(1, PositionPrediction(context=4)), model, clip))
    (plain, trace), (shuffled, same) = results
    assert_close(same.z, trace.z)
    assert_close(shuffled.values, plain.values)
    assert (plain.values["rollout"][:, 4:] > -500).all(), "each slot is compared with its own object"


def test_each_clip_is_matched_at_its_own_last_observed_frame():
    x = torch.arange(2 * 3 * 2 * 2, dtype=F64).reshape(2, 3, 2, 2)
    observed = torch.tensor([[True, False, False], [True, True, False]])
    assert torch.equal(at_last_observed(x, observed), torch.stack([x[0, 0], x[1, 1]]))
    assert torch.equal(at_last_observed(x, None), x[:, 2])


def test_frames_count_as_predicted_where_they_were_observed_in_clips_that_began():
    observed = torch.tensor([[False, False, True, False], [False, True, True, True]])
    expected = torch.tensor([[False, False], [True, True]])
    assert torch.equal(followed(observed, 2), expected)
    assert torch.equal(followed(observed, 3), torch.tensor([[False], [True]]))
    assert followed(None, 2) is None


def test_sharpening_multiplies_the_precision_in_the_objective():
    model, (encoding, _) = make("stove", dtype=F64), track_slots([0, 1, 2])
    clip = as_batch(encoding=encoding)
    sharper = as_batch(encoding=replace(encoding, precision=9 * encoding.precision))
    sharpened, _ = evaluated(LatentELBO(sharpen=9.0), model, clip)
    expected, _ = evaluated(LatentELBO(), model, sharper)
    assert_close(sharpened.values, expected.values)


def test_a_rollout_without_positions_is_refused():
    model = make("gru_ssm", dtype=F64)
    clip = as_batch(encoding=model.frame.encode(video(dtype=F64)))
    with pytest.raises(UserError, match="objective.rollout: compares positions"):
        LatentELBO(rollout=PositionPrediction(context=3))(model, clip, 0.0)


@pytest.mark.parametrize("objective", ["latent", "frame"])
def test_a_rollout_is_driven_by_the_actions_of_its_own_frames(objective):
    name = {"latent": "stove", "frame": "vrnn"}[objective]
    torch.manual_seed(0)
    model = perturbed(build(config(name), DataSpec(32, 32, 1, actions=5, objects=3)).double(), 0.05)
    actions = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 4, 1, 0, 2, 3]])
    clip = SimpleNamespace(video=video(frames=6, dtype=F64), prev_actions=actions)
    clip.encoding = model.frame.encode(clip.video)
    rollout = {"latent": PositionPrediction(context=4), "frame": FramePrediction(context=4)}[objective]
    kind = {"latent": LatentELBO, "frame": ELBO}[objective]
    terms, trace = evaluated(kind(1, rollout=rollout), model, clip)
    torch.manual_seed(1)
    context = model.infer(clip.encoding.map(lambda x: x[:, :4]), actions[:, :4], sample=True)
    assert_close(trace.z[:, :4], context.z)
    future = model.imagine(context.carry, 2, actions[:, 4:])
    if objective == "frame":
        expected = model.frame.terms(clip.video[:, 4:], future.z, None, future.context)["log_likelihood"]
        assert_close(terms.values["rollout"][:, 4:], expected)
    else:
        changed = clip.prev_actions.clone()
        changed[:, 4] = (changed[:, 4] + 1) % 5
        clip.prev_actions = changed
        other, _ = evaluated(LatentELBO(1, rollout=rollout), model, clip)
        difference = (other.values["rollout"] != terms.values["rollout"]).all(0)
        assert difference.tolist() == [False] * 4 + [True] * 2


def test_the_enumerated_elbo_is_the_expectation_over_counts():
    model, clip = make("air", dtype=F64), batch(frames=2)
    terms, trace = evaluated(EnumeratedELBO(), model, clip)
    torch.manual_seed(1)
    q = model.filter(clip.video, sample=True).posterior
    z, log_counts = q.enumerate_support()
    expected = 0
    for n in range(4):
        frame = model.frame.terms(clip.video, z[n], trace.encoding, None)["log_likelihood"]
        gain = trace.prior.log_prob(z[n]) - q.log_prob(z[n])
        expected = expected + log_counts[n].exp() * (frame + gain)
    assert_close(terms.objective(), expected)
    annealed, _ = evaluated(EnumeratedELBO(lambda step, progress: 10 * progress), model, clip, 0.3)
    count = sum(n * log_counts[n].exp() for n in range(4))
    assert_close(annealed.objective(), expected + 3 * count)


@pytest.mark.parametrize("baseline", [0, 8])
def test_the_score_function_elbo_is_the_bound_and_carries_a_gradient(baseline):
    chosen = config("air")
    chosen["posterior"]["baseline"] = baseline
    torch.manual_seed(0)
    model = build(chosen, DataSpec(32, 32, 1, objects=3)).double()
    clip = batch(frames=2, batch=3)
    terms, trace = evaluated(ScoreFunctionELBO(), model, clip)
    frame = model.frame.terms(clip.video, trace.z, trace.encoding, None)["log_likelihood"]
    gain = frame + trace.prior.log_prob(trace.z) - trace.posterior.log_prob(trace.z)
    assert_close(terms.bound(), gain)
    # the gain of a frame over the mean of the other two sequences
    relative = gain - (gain.sum(0) - gain) / 2
    names = {"score"}
    if baseline:
        guess = model.posterior.baseline(trace.encoding)
        assert_close(terms.values["baseline"], -0.5 * (relative - guess).square())
        assert terms.weights["baseline"] == BASELINE_WEIGHT == 0.01
        relative = relative - guess
        names.add("baseline")
    assert set(terms.weights) == names and terms.weights["score"] == 1
    assert (terms.values["score"] == 0).all()
    log_count = trace.posterior.log_count(trace.z)
    weights = [model.frame.counter.more.weight, model.frame.counter.more.bias]
    by_hand = torch.autograd.grad((relative.detach() * log_count).sum(), weights, retain_graph=True)
    assert_close(torch.autograd.grad(terms.values["score"].sum(), weights), by_hand)
