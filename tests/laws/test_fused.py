"""The fused posterior, field by field, against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.distributions import Normal
from seqvae.posteriors.fused import Fused
from seqvae.types import Encoding, Transition
from tests.laws.common import F64, WITH_LATENT


def frame(position: Tensor, std: Tensor) -> Encoding:
    """Return encoding "b k 6" of sizes and positions, as a frame model gives it."""
    mean = torch.cat([torch.rand_like(position), position, torch.zeros_like(position)], -1)
    precision = torch.cat([std, std, torch.full_like(std, torch.inf)], -1).pow(-2)
    return Encoding(mean, precision)


def expectation(position: Tensor) -> Transition:
    mean = torch.randn(*position.shape[:2], WITH_LATENT.dim, dtype=F64)
    mean[..., WITH_LATENT["position"]] = position
    prior = Normal(mean, 0.1 + torch.rand_like(mean))
    return Transition(prior, prior)


@pytest.mark.parametrize("innovation", [True, False])
def test_every_field_is_formed_from_its_sources(innovation):
    posterior = Fused(WITH_LATENT, innovation=innovation)
    before = torch.randn(4, 3, 2, dtype=F64)
    after = before + 0.01 * torch.randn_like(before)
    stds = [0.01 + torch.rand_like(before), 0.01 + torch.rand_like(before)]
    first, second = frame(before, stds[0]), frame(after, stds[1])
    _, _, carry = posterior(first, expectation(before), posterior.init(4, first.mean))
    order = torch.tensor([2, 0, 1])
    transition = expectation(after)
    q, encoding, _ = posterior(second.map(lambda x: x[:, order]), transition, carry)

    z, prior = WITH_LATENT.split(q.mean), WITH_LATENT.split(transition.proposal.mean)
    std, prior_std = WITH_LATENT.split(q.std), WITH_LATENT.split(transition.proposal.std)
    observed = WITH_LATENT.split(encoding.mean)
    ahead = after - prior["position"]  # of where the dynamics expected the object
    assert_close(observed["velocity"], prior["velocity"] + ahead if innovation else after - before)
    assert_close(z["size"], second.mean[..., :2])
    assert_close(std["size"], stds[1])
    assert_close(z["latent"], prior["latent"])
    assert_close(std["latent"], prior_std["latent"])
    variances = {"position": stds[1].square(), "velocity": stds[0].square() + stds[1].square()}
    for name, variance in variances.items():
        weights = 1 / variance, prior_std[name].pow(-2)
        total = weights[0] + weights[1]
        assert_close(z[name], (weights[0] * observed[name] + weights[1] * prior[name]) / total)
        assert_close(std[name], total.rsqrt())


def test_after_a_bounce_between_two_frames_the_innovation_is_the_velocity_and_the_difference_is_not():
    """A ball that meets a wall at 0: 0.03 before it, at 0.05 a frame, so 0.02 behind it in the next frame."""
    at, bounced = torch.tensor([[[0.03, 0.2]]], dtype=F64), torch.tensor([[[0.02, 0.3]]], dtype=F64)
    velocity = torch.tensor([[[0.05, 0.1]]], dtype=F64)
    exact = torch.zeros(1, 1, WITH_LATENT.dim, dtype=F64)
    exact[..., WITH_LATENT["position"]], exact[..., WITH_LATENT["velocity"]] = bounced, velocity
    transition = Transition(Normal(exact, torch.ones_like(exact)), Normal(exact, torch.ones_like(exact)))
    std = torch.full_like(at, 0.01)
    for innovation, expected in ((True, velocity), (False, torch.tensor([[[-0.01, 0.1]]], dtype=F64))):
        posterior = Fused(WITH_LATENT, innovation=innovation)
        first = Transition(*[Normal(exact, torch.ones_like(exact))] * 2)
        _, _, carry = posterior(frame(at, std), first, posterior.init(1, frame(at, std).mean))
        _, encoding, _ = posterior(frame(bounced, std), transition, carry)
        assert_close(encoding.mean[..., WITH_LATENT["velocity"]], expected)


def test_a_velocity_needs_two_frames_in_a_row():
    posterior, position = Fused(WITH_LATENT), torch.randn(2, 3, 2, dtype=F64)
    shown = frame(position, torch.full_like(position, 0.1))
    hidden = Encoding(shown.mean[:, None], shown.precision[:, None]).observed(torch.zeros(2, 1).bool()).at(0)
    carry = posterior.init(2, shown.mean)
    for encoding, knows_velocity in [(shown, False), (shown, True), (hidden, False), (shown, False)]:
        transition = expectation(position)
        q, observed, carry = posterior(encoding, transition, carry)
        where = WITH_LATENT["velocity"]
        assert bool((observed.precision[..., where] > 0).all()) == knows_velocity
        prior = transition.proposal.mean[..., where]
        assert torch.equal(q.mean[..., where], prior) != knows_velocity


def test_without_encoding_every_field_keeps_its_prediction():
    posterior, position = Fused(WITH_LATENT), torch.randn(2, 3, 2, dtype=F64)
    nothing = torch.zeros(2, 3, 6, dtype=F64)
    transition = expectation(position)
    q, _, _ = posterior(Encoding(nothing, nothing), transition, posterior.init(2, nothing))
    assert torch.equal(q.mean, transition.proposal.mean) and torch.equal(q.std, transition.proposal.std)
