"""Bounds against the exact log-likelihood of a linear-Gaussian model."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange, repeat
from torch import Tensor

from seqvae.elbo import elbo, iwae
from tests.laws.common import standard_error
from tests.laws.linear_gaussian import linear_gaussian, system

LENGTH, SAMPLES = 6, 2**14


def log_weights(smoothing: bool, x: Tensor, samples: int) -> Tensor:
    """Return log p(x, z) - log q(z | x) of whole sequences, one per sample of z."""
    model = linear_gaussian(system(), smoothing)
    video = repeat(x, "t p -> s t 1 1 p", s=samples)
    return elbo(model, video, model.filter(video, sample=True)).objective().sum(1)


def groups(x: Tensor, of: int) -> Tensor:
    return rearrange(x, "(n s) -> s n", s=of)


def significantly_positive(x: Tensor) -> bool:
    """Return whether the mean of independent values lies four standard errors above 0."""
    return bool(x.mean() > 4 * standard_error(x))


@pytest.fixture
def video() -> Tensor:
    return system().sample(LENGTH)


def test_the_exact_posterior_makes_every_weight_the_kalman_likelihood(video):
    exact = system().log_likelihood(video)
    torch.testing.assert_close(log_weights(True, video, 100), exact.expand(100), rtol=1e-12, atol=0)


def test_a_filter_lies_below_the_likelihood(video):
    gap = system().log_likelihood(video) - log_weights(False, video, SAMPLES)
    assert significantly_positive(gap)


def test_importance_weighting_rises_from_the_elbo_to_the_likelihood(video):
    exact, log_w = system().log_likelihood(video), log_weights(False, video, SAMPLES)
    assert torch.equal(iwae(groups(log_w, 1)), log_w)
    for few, many in [(1, 2), (2, 8), (8, 64)]:
        bound = iwae(groups(log_w, many))
        # the samples of each bound in smaller groups: a paired comparison, so the difference is sharp
        looser = groups(iwae(groups(log_w, few)), many // few).mean(0)
        assert significantly_positive(bound - looser)
        assert significantly_positive(exact - looser)
        assert not significantly_positive(bound - exact)


def test_importance_weights_average_to_the_likelihood(video):
    # E[w] = p(x) for every q: the weights of a filter are noisy, and nothing else
    weight = (log_weights(False, video, SAMPLES) - system().log_likelihood(video)).exp()
    assert abs(weight.mean() - 1) < 4 * standard_error(weight)


def test_a_later_start_drops_the_first_frames_and_nothing_else(video):
    model = linear_gaussian(system(), smoothing=False)
    clip = repeat(video, "t p -> s t 1 1 p", s=5)
    trace = model.filter(clip, sample=True)
    whole, later = elbo(model, clip, trace).objective(), elbo(model, clip, trace, start=3).objective()
    assert torch.equal(later, whole[:, 2:])
