"""The fused posterior, field by field, against its definition."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from seqvae.posteriors.fused import Fused
from seqvae.types import Evidence, Transition

F64 = torch.float64
LAYOUT = StateLayout(
    (
        Field("size", 2, "evidence"),
        Field("position", 2, "product"),
        Field("velocity", 2, "product", difference_of="position"),
        Field("latent", 3, "prior"),
    )
)


def frame(position: Tensor, std: Tensor) -> Evidence:
    """Evidence (b k 6) of sizes and positions, as a frame model gives it."""
    mean = torch.cat([torch.rand_like(position), position, torch.zeros_like(position)], -1)
    precision = torch.cat([std, std, torch.full_like(std, torch.inf)], -1).pow(-2)
    return Evidence(mean, precision)


def expectation(position: Tensor) -> Transition:
    mean = torch.randn(*position.shape[:2], LAYOUT.dim, dtype=F64)
    mean[..., LAYOUT["position"]] = position
    prior = Normal(mean, 0.1 + torch.rand_like(mean))
    return Transition(prior, prior)


def test_two_frames_give_every_field_what_it_is_made_of():
    posterior = Fused(LAYOUT)
    before = torch.randn(4, 3, 2, dtype=F64)
    after = before + 0.01 * torch.randn_like(before)
    stds = [0.01 + torch.rand_like(before), 0.01 + torch.rand_like(before)]
    first, second = frame(before, stds[0]), frame(after, stds[1])
    _, _, carry = posterior(first, expectation(before), posterior.init(4, first.mean))
    order = torch.tensor([2, 0, 1])
    transition = expectation(after)
    q, evidence, _ = posterior(second.map(lambda x: x[:, order]), transition, carry)

    z, prior = LAYOUT.split(q.mean), LAYOUT.split(transition.proposal.mean)
    std, prior_std = LAYOUT.split(q.std), LAYOUT.split(transition.proposal.std)
    seen = LAYOUT.split(evidence.mean)
    assert_close(seen["velocity"], after - before)
    assert_close(z["size"], second.mean[..., :2])
    assert_close(std["size"], stds[1])
    assert_close(z["latent"], prior["latent"])
    assert_close(std["latent"], prior_std["latent"])
    variances = {"position": stds[1].square(), "velocity": stds[0].square() + stds[1].square()}
    for name, variance in variances.items():
        weights = 1 / variance, prior_std[name].pow(-2)
        total = weights[0] + weights[1]
        assert_close(z[name], (weights[0] * seen[name] + weights[1] * prior[name]) / total)
        assert_close(std[name], total.rsqrt())


def test_a_velocity_needs_two_frames_in_a_row():
    posterior, position = Fused(LAYOUT), torch.randn(2, 3, 2, dtype=F64)
    shown = frame(position, torch.full_like(position, 0.1))
    hidden = Evidence(shown.mean[:, None], shown.precision[:, None]).observed(torch.zeros(2, 1).bool()).at(0)
    carry = posterior.init(2, shown.mean)
    for evidence, knows_velocity in [(shown, False), (shown, True), (hidden, False), (shown, False)]:
        transition = expectation(position)
        q, seen, carry = posterior(evidence, transition, carry)
        where = LAYOUT["velocity"]
        assert bool((seen.precision[..., where] > 0).all()) == knows_velocity
        prior = transition.proposal.mean[..., where]
        assert torch.equal(q.mean[..., where], prior) != knows_velocity


def test_nothing_seen_leaves_the_prediction_also_of_fields_that_follow_the_frame():
    posterior, position = Fused(LAYOUT), torch.randn(2, 3, 2, dtype=F64)
    nothing = torch.zeros(2, 3, 6, dtype=F64)
    transition = expectation(position)
    q, _, _ = posterior(Evidence(nothing, nothing), transition, posterior.init(2, nothing))
    assert torch.equal(q.mean, transition.proposal.mean) and torch.equal(q.std, transition.proposal.std)
