"""Products and divergences of Gaussians, against numerical integration and against samples."""

from __future__ import annotations

import torch

from seqvae.distributions import Normal, product
from seqvae.types import Encoding
from tests.laws.common import F64, standard_error


def scalar(mean: float, std: float) -> Normal:
    return Normal(torch.full((1, 1), mean, dtype=F64), torch.full((1, 1), std, dtype=F64))


def test_product_is_the_normalised_product_of_densities():
    grid = torch.linspace(-12, 12, 20001, dtype=F64)[:, None, None]
    for mean, std, prior in [(1.3, 0.5, scalar(-0.4, 0.8)), (-2.0, 1.5, scalar(0.7, 0.2))]:
        density = (scalar(mean, std).log_prob(grid) + prior.log_prob(grid)).exp()
        density = density / torch.trapezoid(density, grid[:, 0, 0])
        fused = product(torch.full((1, 1), mean, dtype=F64), torch.full((1, 1), std**-2, dtype=F64), prior)
        torch.testing.assert_close(fused.log_prob(grid).exp(), density, rtol=0, atol=1e-12)


def test_precision_zero_gives_the_prior_back_bit_by_bit():
    mean, prior = 10 * torch.randn(50, 3, 4), Normal(torch.randn(50, 3, 4), torch.rand(50, 3, 4) + 1e-3)
    fused = product(mean, torch.zeros_like(mean), prior)
    assert torch.equal(fused.mean, prior.mean) and torch.equal(fused.std, prior.std)


def test_gradients_at_precision_zero_are_finite():
    inputs = [torch.randn(2, 3), torch.zeros(2, 3), torch.randn(2, 3), torch.rand(2, 3) + 0.1]
    mean, precision, prior_mean, prior_std = (x.requires_grad_() for x in inputs)
    fused = product(mean, precision, Normal(prior_mean, prior_std))
    (fused.mean.square() + fused.std.square()).sum().backward()
    assert all(x.grad.isfinite().all() for x in inputs)
    # an infinitely weak likelihood moves the mean by precision * variance * (mean - prior mean)
    slope = 2 * prior_mean * prior_std.square() * (mean - prior_mean) - prior_std**4
    torch.testing.assert_close(precision.grad, slope)


def test_closed_form_kl_is_the_mean_of_the_sampled_one():
    q = Normal(torch.randn(3, 4, dtype=F64), torch.rand(3, 4, dtype=F64) + 0.3)
    p = Normal(torch.randn(3, 4, dtype=F64), torch.rand(3, 4, dtype=F64) + 0.5)
    n = 100_000
    z = Normal(q.mean.expand(n, 3, 4), q.std.expand(n, 3, 4)).rsample()
    sampled = q.log_prob(z) - p.log_prob(z)
    assert abs(sampled.mean() - q.kl(p)) < 4 * standard_error(sampled)
    assert q.kl(q) == 0


def test_missing_frames_leave_no_trace_in_the_encoding():
    observed = torch.tensor([[True, False], [False, True]])
    mean = torch.where(observed[..., None, None], torch.randn(2, 2, 3, 4), torch.nan)
    encoding = Encoding(mean, mean.square()).observed(observed)
    assert torch.equal(encoding.mean[observed], mean[observed])
    assert torch.equal(encoding.precision[observed], mean[observed].square())
    assert (encoding.mean[~observed] == 0).all() and (encoding.precision[~observed] == 0).all()
