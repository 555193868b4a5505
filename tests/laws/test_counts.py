"""Models that count: densities over a count and its slots, and the gradients of both objectives."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.distributions import CountedNormal, Normal, geometric, stopping
from seqvae.dynamics.air_prior import AIRPrior
from seqvae.elbo import elbo
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.objectives import EnumeratedELBO, ScoreFunctionELBO
from seqvae.sequence import SequenceModel
from seqvae.train.optim import Ramp
from seqvae.types import Terms, Transition
from tests.laws.common import F64, as_batch, perturbed
from tests.models import config, make, video


def batch(frames: int = 2, **sizes: int) -> SimpleNamespace:
    return as_batch(video=video(frames=frames, dtype=F64, **sizes))


def counted(k: int, e: int, *leading: int) -> CountedNormal:
    inner = Normal(torch.randn(*leading, k, e, dtype=F64), 0.5 + torch.rand(*leading, k, e, dtype=F64))
    return CountedNormal(stopping(torch.randn(*leading, k, dtype=F64)), inner)


def test_counts_are_normalised_and_stop_at_the_first_absent_slot():
    logits = torch.randn(5, 3, dtype=F64)
    p = logits.sigmoid()
    a, b, c = p.unbind(-1)
    expected = torch.stack([1 - a, a * (1 - b), a * b * (1 - c), a * b * c], -1)
    assert_close(stopping(logits).exp(), expected)
    for ratio in (0.2, 1.0, 3.0):
        prior = geometric(ratio, 4, logits).exp()
        assert_close(prior.sum().item(), 1.0)
        assert_close(prior[1:] / prior[:-1], torch.full((4,), ratio, dtype=F64))


def test_the_density_is_normalised():
    q, grid = counted(2, 1), torch.linspace(-8, 8, 401, dtype=F64)
    none = torch.zeros(2, 2, dtype=F64)
    one = none.expand(401, 2, 2).clone()
    one[:, 0, 0], one[:, 0, 1] = 1, grid
    two = one[:, None].repeat(1, 401, 1, 1)
    two[..., 1, 0], two[..., 1, 1] = 1, grid
    step = grid[1] - grid[0]
    densities = [q.log_prob(z).exp().sum() for z in (none, one, two)]
    masses = [density * step**n for n, density in enumerate(densities)]
    assert_close(torch.stack(masses), q.log_counts.exp(), rtol=1e-6, atol=0)


def test_draws_have_the_counts_and_the_densities_of_the_distribution():
    n = 20000
    q = counted(3, 2)
    many = CountedNormal(q.log_counts.expand(n, -1), Normal(*(x.expand(n, -1, -1) for x in _inner(q))))
    z = many.rsample()
    share = torch.stack([(z[..., 0].sum(-1) == count).to(F64).mean() for count in range(4)])
    p = q.log_counts.exp()
    assert ((share - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()
    assert (z[z[..., 0] == 0] == 0).all()
    assert (z[:, 1:, 0] <= z[:, :-1, 0]).all(), "the slots present come first"
    assert_close(q.point()[..., 0].sum().long(), p.argmax())


def test_absent_slots_cost_nothing():
    q, other = counted(3, 2, 4), counted(3, 2, 4)
    z, _ = q.enumerate_support()
    for n in range(4):  # the densities of slots from n on make no difference
        mean, std = q.inner.mean.clone(), q.inner.std.clone()
        mean[:, n:], std[:, n:] = other.inner.mean[:, n:], other.inner.std[:, n:]
        assert_close(CountedNormal(q.log_counts, Normal(mean, std)).log_prob(z[n]), q.log_prob(z[n]))
    assert_close(q.log_prob(z[0]), q.log_counts[..., 0])


def test_a_frame_without_objects_costs_its_count_alone():
    model, clip = make("air", dtype=F64), batch()
    trace = model.filter(clip.video, sample=True)
    z = torch.zeros_like(trace.z)
    terms = elbo(model, clip.video, _with(trace, z))
    gain = terms.values["log_prior"] + terms.values["neg_log_posterior"]
    assert_close(gain, (trace.prior.log_counts - trace.posterior.log_counts)[..., 0])
    black = model.decode(_with(trace, z)).frames
    assert (black == 0).all()


def test_missing_frames_follow_the_prior():
    model, clip = make("air", dtype=F64), batch()
    trace = model.filter(clip.video, observed=torch.zeros(2, 2, dtype=torch.bool), sample=True)
    assert_close(trace.posterior.log_prob(trace.z), trace.prior.log_prob(trace.z))


def test_enumeration_equals_brute_force():
    model, clip = make("air", dtype=F64), batch()
    torch.manual_seed(3)
    terms, trace = EnumeratedELBO()(model, clip, 0.0)
    torch.manual_seed(3)
    q = model.filter(clip.video, sample=True).posterior  # draws the same random numbers as the objective
    z, log_counts = q.enumerate_support()
    expected = {name: 0 for name in terms.values}
    for n in range(4):
        drawn = z[-1].clone()
        drawn[:, :, n:] = 0
        for name, value in elbo(model, clip.video, _with(trace, drawn)).values.items():
            expected[name] = expected[name] + log_counts[n].exp() * value
    assert terms.values.keys() == expected.keys()
    for name, value in terms.values.items():
        assert_close(value, expected[name])


def test_both_objectives_estimate_one_bound():
    model, clip = make("air", dtype=F64), _many(batch(frames=1, batch=1), 500)
    with torch.no_grad():
        objectives = (EnumeratedELBO(), ScoreFunctionELBO())
        drawn = [objective(model, clip, 0.0)[0].bound() for objective in objectives]
    error = sum(x.var() / x.numel() for x in drawn).sqrt()
    assert (drawn[0].mean() - drawn[1].mean()).abs() < 4 * error


@pytest.mark.parametrize("baseline", [0, 8])
def test_the_score_function_has_the_gradient_of_enumeration(baseline):
    model = counting_model(baseline)
    clip = _many(batch(frames=2, batch=1, height=16, width=16), 64)
    exact, exact_error = _gradient(EnumeratedELBO(), model, clip, 10)
    drawn, error = _gradient(ScoreFunctionELBO(), model, clip, 40)
    assert exact.abs() > 5 * error, "too noisy to detect a wrong gradient"
    assert (exact - drawn).abs() < 4 * (error.square() + exact_error.square()).sqrt()


class Remembering(AIRPrior):
    """Objects stay where they were, and are the more probable the more there were in the frame before."""

    frames_independent = False

    def predict(self, carry, prev_action=None):
        before = carry[..., 0].sum(-1, keepdim=True)
        count = torch.arange(carry.shape[1] + 1, dtype=carry.dtype)
        prior = CountedNormal(
            (count * (before - 2)).log_softmax(-1), Normal(carry[..., 1:], torch.ones_like(carry[..., 1:]))
        )
        return Transition(prior, prior)

    def update(self, carry, z, encoding):
        return z


def test_the_score_function_credits_a_count_with_the_terms_of_later_frames():
    model = counting_model()
    layout = model.layout
    model.dynamics = Remembering(layout, 2)
    clip = _many(batch(frames=2, batch=1, height=16, width=16), 32)

    def brute_force(model: SequenceModel, clip, progress: float):
        """Return the sum over the counts of both frames, for one draw of the slots."""
        trace = model.filter(clip.video, sample=True)
        z, log_counts = trace.posterior.enumerate_support()
        total = 0
        for first in range(3):
            for second in range(3):
                chosen = torch.stack([z[first, :, 0], z[second, :, 1]], 1)
                carries = [model.dynamics.init(len(chosen), chosen[:, 0]), chosen[:, 0]]
                priors = [model.dynamics.predict(carry).prior for carry in carries]
                log_prior = torch.stack([priors[t].log_prob(chosen[:, t]) for t in range(2)], 1)
                frame = model.frame.terms(clip.video, chosen, trace.encoding, None)["log_likelihood"]
                weight = (log_counts[first, :, 0] + log_counts[second, :, 1]).exp()[:, None]
                total = total + weight * (frame + log_prior - trace.posterior.log_prob(chosen))
        return Terms({"bound": total}), trace

    exact, exact_error = _gradient(brute_force, model, clip, 10)
    drawn, error = _gradient(ScoreFunctionELBO(), model, clip, 60)
    assert exact.abs() > 5 * error
    assert (exact - drawn).abs() < 4 * (error.square() + exact_error.square()).sqrt()
    with pytest.raises(UserError, match="use ScoreFunctionELBO"):
        EnumeratedELBO()(model, clip, 0.0)


def test_annealing_stands_beside_the_bound():
    model, clip = make("air", dtype=F64), batch()
    for make_objective in (EnumeratedELBO, ScoreFunctionELBO):
        annealed, plain = make_objective(Ramp(-40.0, 0.0)), make_objective()
        terms = []
        for objective in (annealed, plain):
            torch.manual_seed(2)
            terms.append(objective(model, clip, 0.25)[0])
        assert_close(terms[0].bound(), terms[1].bound())
        assert_close(terms[0].objective(), terms[1].objective() - 30 * terms[0].values["count"])


@pytest.mark.parametrize("objective", [EnumeratedELBO(), ScoreFunctionELBO()], ids=["enumerated", "score"])
@pytest.mark.parametrize("baseline", [0, 8])
def test_a_gradient_reaches_every_weight(objective, baseline):
    model, clip = counting_model(baseline), batch(frames=3, height=16, width=16)
    (-objective(model, clip, 0.0)[0].objective().mean()).backward()
    for name, weight in model.named_parameters():
        learns = weight.requires_grad and not (
            name.startswith("posterior.guess") and isinstance(objective, EnumeratedELBO)
        )
        assert not learns or weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("objective", [EnumeratedELBO(), ScoreFunctionELBO()], ids=["enumerated", "score"])
def test_objectives_of_counts_refuse_models_that_do_not_count(objective):
    with pytest.raises(UserError, match="is for models that count"):
        objective(make("spatial_vae", dtype=F64), batch(), 0.0)


def test_a_prior_needs_a_ratio_above_0():
    with pytest.raises(UserError, match="model.dynamics.ratio=0.0: expected a number above 0"):
        build(_changed(dynamics={"ratio": 0.0}), DataSpec(16, 16, 1, objects=2))


def counting_model(baseline: int = 0) -> SequenceModel:
    """Return AIR with two slots, both of uncertain presence."""
    torch.manual_seed(1)
    changes = {"posterior": {"baseline": baseline}, "frame": {"std": 1.0}}
    model = build(_changed(**changes), DataSpec(16, 16, 1, objects=2)).to(F64)
    perturbed(model, 0.02)  # weights that start at zero block the gradient of others
    with torch.no_grad():
        model.frame.counter.more.bias.zero_()
    return model


def _changed(**changes: dict) -> dict:
    chosen = config("air")
    return chosen | {part: chosen[part] | options for part, options in changes.items()}


def _gradient(objective, model: SequenceModel, clip, repeats: int) -> tuple[Tensor, Tensor]:
    """Return the gradient for the bias of all logits of presence, and its standard error."""
    drawn, bias = [], model.frame.counter.more.bias
    for _ in range(repeats):
        (gradient,) = torch.autograd.grad(objective(model, clip, 0.0)[0].objective().mean(), bias)
        drawn.append(gradient[0])
    drawn = torch.stack(drawn)
    return drawn.mean(), drawn.std() / repeats**0.5


def _many(clip, n: int) -> SimpleNamespace:
    return as_batch(video=clip.video.expand(n, *clip.video.shape[1:]))


def _inner(q: CountedNormal) -> tuple[Tensor, Tensor]:
    return q.inner.mean, q.inner.std


def _with(trace, z: Tensor):
    return replace(trace, z=z)


def test_presence_comes_first():
    layout = StateLayout((Field("size", 2, "frame"), Field("presence", 1, "frame")))
    with pytest.raises(UserError, match="put that field first"):
        AIRPrior(layout, 2)
