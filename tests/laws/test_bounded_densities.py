"""The log-density that each bound lies below, in exact numbers of a linear-Gaussian model."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from einops import einsum, rearrange, repeat
from torch import Tensor

from seqvae.distributions import Normal
from seqvae.elbo import elbo, iwae
from seqvae.objectives import ELBO
from seqvae.sequence import SequenceModel
from seqvae.types import DataSpec, Transition
from tests.laws.common import F64, as_batch, standard_error
from tests.laws.linear_gaussian import (
    LinearFrame,
    LinearMotion,
    Product,
    System,
    linear_gaussian,
    system,
)

DRAWS = 4096


class FramesAlone(Product):
    """A filter that infers the first two states from their frames alone, without the model's prior."""

    def init(self, batch, like):
        return 0

    def __call__(self, encoding, transition, carry):
        if carry < 2:
            flat = torch.zeros_like(encoding.mean)
            flat = Normal(flat, flat + 1e6)
            transition = Transition(flat, flat)
        q, encoding, _ = super().__call__(encoding, transition, None)
        return q, encoding, carry + 1


def still() -> System:
    """Return a system whose states begin near 0 and hardly change."""
    small = torch.tensor([0.1, 0.1], dtype=F64)
    return replace(system(), first=small, std=small)


def log_weights(x: Tensor) -> Tensor:
    """Return log p(x, z) - log q(z | x) per frame, for draws of the filter."""
    frame = LinearFrame(still(), smoothing=False)
    model = SequenceModel(frame, FramesAlone(), LinearMotion(still(), frame.layout), DataSpec(1, 3, 1))
    video = repeat(x, "t p -> s t 1 1 p", s=DRAWS)
    return elbo(model, video, model.filter(video, sample=True)).objective()


def encoded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of q(z_2 | x_2) in FramesAlone."""
    s = still()
    weighted = s.C.T / s.noise.square()
    cov = torch.linalg.inv(weighted @ s.C)
    return cov @ weighted @ x[1], cov


def below(log_w: Tensor, exact: Tensor) -> bool:
    """Return whether ELBO and IWAE-64 of log-weights "s" lie no further above `exact` than by chance."""
    values = [log_w, iwae(rearrange(log_w, "(n s) -> s n", s=64))]
    return all(value.mean() - exact < 4 * standard_error(value) for value in values)


@pytest.fixture
def far() -> Tensor:
    """Return a video of states that begin far from where the model expects them."""
    generator = torch.Generator().manual_seed(1)
    z, frames = torch.tensor([3.0, 3.0], dtype=F64), []
    for _ in range(6):
        noise = torch.randn(3, dtype=F64, generator=generator)
        frames.append(still().C @ z + still().noise * noise)
        z = still().A @ z
    return torch.stack(frames)


def test_later_frames_can_lie_far_above_their_density_given_the_first_ones(far):
    log_w = log_weights(far)[:, 2:].sum(1)
    predictive = still().log_likelihood(far) - still().log_likelihood(far[:2])  # log p(x_3:6 | x_1:2)
    assert (log_w.mean() - predictive) / 4 > 1  # nats per frame
    under_encoder = still().log_likelihood(far[2:], start=encoded(far))  # log E_q(z_2 | x_2) p(x_3:6 | z_2)
    assert under_encoder > predictive and below(log_w, under_encoder)


def test_whole_sequences_never_lie_above_their_density(far):
    for x in (far, still().sample(6), system().sample(6)):
        assert below(log_weights(x).sum(1), still().log_likelihood(x))


def with_gaps(observed: Tensor) -> tuple[Tensor, SimpleNamespace]:
    """Draw a video; return it and a batch of its copies, in which missing frames are NaN."""
    x = system().sample(len(observed))
    video = repeat(x.masked_fill(~observed[:, None], torch.nan), "t p -> s t 1 1 p", s=DRAWS)
    return x, as_batch(video=video, observed=observed.expand(DRAWS, -1))


GAPS = [[1, 1, 0, 1, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0], [0, 0]]


@pytest.mark.parametrize("gaps", GAPS)
def test_with_the_exact_posterior_missing_frames_leave_the_density_of_the_others(gaps):
    observed = torch.tensor(gaps, dtype=torch.bool)
    x, batch = with_gaps(observed)
    terms, _ = ELBO(start=1)(linear_gaussian(system(), True, observed), batch, 0.0)
    exact = torch.as_tensor(system().log_likelihood(x, observed), dtype=F64)
    torch.testing.assert_close(terms.objective().sum(1), exact.expand(DRAWS), rtol=1e-10, atol=1e-10)
    if observed.any():
        torch.testing.assert_close(terms.bound_per_frame(), exact / observed.sum(), rtol=1e-10, atol=1e-10)
    else:
        assert terms.bound_per_frame().isnan()


def test_a_filter_with_missing_frames_lies_below_the_density_of_the_others():
    observed = torch.tensor(GAPS[0], dtype=torch.bool)
    x, batch = with_gaps(observed)
    terms, _ = ELBO(start=1)(linear_gaussian(system(), False, observed), batch, 0.0)
    exact, log_w = system().log_likelihood(x, observed), terms.objective().sum(1)
    gap, weight = exact - log_w, (log_w - exact).exp()
    assert gap.mean() > 4 * standard_error(gap)
    assert abs(weight.mean() - 1) < 4 * standard_error(weight)


def test_the_kalman_filter_with_gaps_is_the_marginal_of_the_joint_gaussian():
    """The exact value itself, against the covariance of all frames written out."""
    s, length = system(), 4
    cov = torch.zeros(length, 2, length, 2, dtype=F64)
    now = s.first.square().diag()
    for t in range(length):
        ahead = now
        for u in range(t, length):
            cov[u, :, t], cov[t, :, u] = ahead, ahead.T
            ahead = s.A @ ahead
        now = s.A @ now @ s.A.T + s.std.square().diag()
    frames = einsum(s.C, cov, s.C, "p d, t d u e, q e -> t p u q")
    frames = frames.flatten(2).flatten(0, 1) + s.noise.square().repeat(length).diag()
    observed = torch.tensor([1, 0, 1, 1], dtype=torch.bool)
    keep = observed.repeat_interleave(3)
    x = s.sample(length)
    joint = torch.distributions.MultivariateNormal(torch.zeros(9, dtype=F64), frames[keep][:, keep])
    torch.testing.assert_close(s.log_likelihood(x, observed), joint.log_prob(x[observed].flatten()))
