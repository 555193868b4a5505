"""Posteriors against their formulas, with their networks called by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seqvae.distributions import (
    CountedNormal,
    Normal,
    geometric,
    require_presence,
    sample_with_log_prob,
    stopping,
)
from seqvae.dynamics.air_prior import AIRPrior
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.posteriors.air_posterior import AIRPosterior
from seqvae.posteriors.amortised import Amortised
from seqvae.posteriors.fused import Fused
from seqvae.posteriors.iaf import IAF, Flow, Transformed
from seqvae.types import Encoding, Transition
from tests.laws.common import F64, normal, perturbed

CODE = StateLayout((Field("code", 3, "frame"),))
COUNTED = StateLayout(
    (
        Field("presence", 1, "frame"),
        Field("size", 2, "frame"),
        Field("position", 2, "frame"),
    )
)


def stirred(part: nn.Module) -> nn.Module:
    """Return the part in float64, with weights away from their start."""
    return perturbed(part.double(), 0.3)


def encoding_of(q: Normal) -> Encoding:
    return Encoding(q.mean, q.std.pow(-2))


def transition(p: Normal, context: Tensor | None = None) -> Transition:
    return Transition(normal(*p.mean.shape), p, context)


def test_amortised_without_a_context_is_the_encoding():
    q, p = normal(4, 2, 3), normal(4, 2, 3)
    result, encoding, carry = Amortised(CODE)(encoding_of(q), transition(p), None)
    assert_close(result.mean, q.mean)
    assert_close(result.std, q.std)
    assert_close(encoding.mean, q.mean)
    assert carry is None


def test_amortised_with_a_context_shifts_mean_and_log_std():
    posterior, q, p = stirred(Amortised(CODE, context=5, hidden=7)), normal(4, 2, 3), normal(4, 2, 3)
    context = torch.randn(4, 5, dtype=F64)
    result, _, _ = posterior(encoding_of(q), transition(p, context), None)
    of_slots = context[:, None].expand(4, 2, 5)
    shift = posterior.shift(torch.cat([q.mean, q.std.log(), of_slots], -1))
    assert_close(result.mean, q.mean + shift[..., :3])
    assert_close(result.std, q.std * shift[..., 3:].exp())
    untrained = Amortised(CODE, context=5).double()
    assert_close(untrained(encoding_of(q), transition(p, context), None)[0].mean, q.mean)


def test_amortised_refuses_a_width_without_a_context():
    remedy = r"model\.posterior\.hidden=64: .*give model\.posterior\.context"
    with pytest.raises(UserError, match=remedy) as caught:
        Amortised(CODE, hidden=64)
    assert "\n" not in str(caught.value)
    default, chosen = Amortised(CODE, context=5), Amortised(CODE, context=5, hidden=7)
    assert default.shift[0].out_features == 128 and chosen.shift[0].out_features == 7
    assert not list(Amortised(CODE).parameters())


def test_amortised_takes_numbers_that_no_frame_shows_from_the_dynamics():
    layout = CODE.extend(Field("latent", 2, "dynamics"))
    q, p = normal(4, 2, 3), normal(4, 2, 5)
    encoding = encoding_of(q)
    encoding.precision[0, :, 1] = 0
    result, _, _ = Amortised(layout)(encoding, transition(p), None)
    assert torch.equal(result.mean[..., 3:], p.mean[..., 3:])
    assert torch.equal(result.std[..., 3:], p.std[..., 3:])
    assert torch.equal(result.mean[0, :, 1], p.mean[0, :, 1])
    assert_close(result.mean[1:, :, :3], q.mean[1:])


def expected_counts(k: int = 3, batch: int = 4) -> CountedNormal:
    return CountedNormal(stopping(torch.randn(batch, k, dtype=F64)), normal(batch, k, 4))


def test_a_counted_posterior_is_the_encoding_and_a_stopping_count():
    mean, p = torch.randn(4, 3, 5, dtype=F64), expected_counts()
    precision = 0.5 + torch.rand(4, 3, 5, dtype=F64)
    precision[0] = 0  # a missing frame
    precision[1, 2, 3] = 0  # a number of one slot
    q, _, _ = AIRPosterior(COUNTED)(Encoding(mean, precision), Transition(expected_counts(), p), None)
    assert_close(q.log_counts[1:], stopping(mean[1:, :, 0]))
    assert_close(q.log_counts[0], p.log_counts[0])
    assert_close(q.inner.mean[2:], mean[2:, :, 1:])
    assert_close(q.inner.std[2:], precision[2:, :, 1:].rsqrt())
    assert_close(q.inner.mean[0], p.inner.mean[0])
    assert_close(q.inner.std[0], p.inner.std[0])
    assert_close(q.inner.mean[1, 2, 2], p.inner.mean[1, 2, 2])
    assert_close(q.inner.std[1, 2, 2], p.inner.std[1, 2, 2])


def test_one_observed_slot_makes_the_count_of_its_frame_observed():
    mean, p = torch.randn(4, 3, 5, dtype=F64), expected_counts()
    precision = torch.ones(4, 3, 5, dtype=F64)
    precision[:, 1:] = 0
    q, _, _ = AIRPosterior(COUNTED)(Encoding(mean, precision), Transition(p, p), None)
    assert_close(q.log_counts, stopping(mean[..., 0]))


def test_the_baseline_sums_over_slots_and_trains_only_its_own_network():
    posterior = stirred(AIRPosterior(COUNTED, baseline=6))
    mean = torch.randn(2, 4, 3, 5, dtype=F64, requires_grad=True)
    guess = posterior.baseline(Encoding(mean, torch.ones_like(mean)))
    assert_close(guess, 100 * posterior.guess(mean).sum((2, 3)))
    guess.sum().backward()
    assert mean.grad is None and all(p.grad is not None for p in posterior.guess.parameters())
    assert AIRPosterior(COUNTED).baseline(Encoding(mean, torch.ones_like(mean))) is None


def test_a_prior_on_counts_has_the_means_and_stds_of_its_fields():
    prior = AIRPrior(COUNTED, 3, ratio=0.4, mean={"size": 0.35}, std={"position": 0.6}).double()
    carry = prior.init(2, torch.zeros(2, 3, 5, dtype=F64))
    for q in (prior.predict(carry).prior, prior.predict(carry).proposal):
        assert_close(q.log_counts, geometric(0.4, 3, carry).expand(2, 4))
        row = torch.tensor([[0.35, 0.35, 0, 0], [1, 1, 0.6, 0.6]]).double()
        assert_close(q.inner.mean, row[0].expand(2, 3, 4))
        assert_close(q.inner.std, row[1].expand(2, 3, 4))
    assert torch.equal(prior.update(carry, carry + 1, None), carry)
    with pytest.raises(UserError, match="ratio=-1"):
        AIRPrior(COUNTED, 3, ratio=-1)


def test_presence_is_one_number():
    require_presence(COUNTED, "x", "y")
    with pytest.raises(UserError, match="first of the state"):
        require_presence(StateLayout((Field("presence", 2, "frame"),)), "x", "y")


def flow(size: int, steps: int) -> Flow:
    return stirred(Flow(size, 3, steps, hidden=8))


def test_a_step_of_the_flow_is_a_gated_mean():
    made, z, context = flow(4, 2), torch.randn(5, 4, dtype=F64), torch.randn(5, 3, dtype=F64)
    out, total = z, 0
    for step in made.steps:
        shift, logit = step(out, context)
        gate = torch.sigmoid(logit + 2)
        out, total = gate * out + (1 - gate) * shift, total + gate.log().sum(-1)
    result, log_det = made(z, context, torch.ones(5, 1, dtype=F64))
    assert_close(result, out)
    assert_close(log_det, total)
    assert [list(step.order) for step in made.steps] == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_the_iaf_bends_its_base_in_the_base_s_units():
    posterior = stirred(IAF(CODE, Amortised, steps=2, hidden=8))
    base, p = normal(4, 2, 3), normal(4, 2, 3)
    encoding = encoding_of(base)
    encoding.precision[1, 0] = 0
    encoding.precision[2, 0, :2] = 0  # partly observed
    q, _, _ = posterior(encoding, transition(p), None)
    assert isinstance(q, Transformed)
    assert_close(q.context, torch.cat([q.base.mean, q.base.std.log()], -1))
    active = torch.ones(4, 2, 1, dtype=F64)
    active[1, 0] = 0
    assert torch.equal(q.active, active)
    torch.manual_seed(2)
    noise = torch.randn_like(base.mean)
    torch.manual_seed(2)
    z, log_q = q.rsample_and_log_prob()
    bent, log_det = posterior.flow(noise, q.context, active)
    assert_close(z, q.base.mean + q.base.std * bent)
    unit = torch.distributions.Normal(0, 1).log_prob(noise) - q.base.std.log()
    assert_close(log_q, unit.sum((1, 2)) - log_det.sum(1))
    still = posterior.flow(torch.zeros_like(noise), q.context, active)[0]
    assert_close(q.point(), q.base.mean + q.base.std * still)
    torch.manual_seed(2)
    assert_close(sample_with_log_prob(q)[1], log_q)
    assert sample_with_log_prob(base)[1] is None


def test_the_iaf_has_the_attributes_of_its_base():
    layout = StateLayout((Field("position", 2, "product"),))
    fused = IAF(layout, lambda layout: Fused(layout, background_slots=1))
    assert (fused.background_slots, fused.keeps_frame_order, fused.context) == (1, False, 0)
    amortised = IAF(CODE, lambda layout: Amortised(layout, context=5))
    assert (amortised.background_slots, amortised.keeps_frame_order, amortised.context) == (0, True, 5)
    assert len(IAF(CODE, Amortised).flow.steps) == 4
    with pytest.raises(UserError, match="not another IAF"):
        IAF(CODE, lambda layout: IAF(layout, Amortised))
    with pytest.raises(UserError, match="AIRPosterior also draws a count"):
        IAF(COUNTED, AIRPosterior)


def test_a_fused_posterior_may_leave_the_dynamics_out():
    layout = StateLayout((Field("size", 1, "frame"), Field("position", 2, "product")))
    layout = layout.extend(Field("latent", 1, "dynamics"))
    q, p = normal(4, 2, 3), normal(4, 2, 4)
    posterior = Fused(layout, fuse=False)
    # both slots are expected where they are observed, so their order stays
    p.mean[..., 1:3] = q.mean[..., 1:3]
    result, _, _ = posterior(encoding_of(q), transition(p), posterior.init(4, p.mean))
    assert_close(result.mean[..., :3], q.mean)
    assert_close(result.std[..., :3], q.std)
    assert_close(result.std[..., 3], p.std[..., 3])
    for match in ("velocity", "latent"):
        with pytest.raises(UserError, match=f"match={match}: .*size, position"):
            Fused(layout.extend(Field("velocity", 2, "product", difference_of="position")), match=match)
