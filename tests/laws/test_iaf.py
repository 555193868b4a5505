"""Inverse autoregressive flows: exact inverse and density, and what they gain over a diagonal Gaussian."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from seqvae.nn.made import MADE
from seqvae.posteriors.amortised import Amortised
from seqvae.posteriors.iaf import IAF, Flow, Transformed
from seqvae.types import Evidence, Transition

F64 = torch.float64
SIZES = [1, 2, 5]


def flow(size: int, context: int = 3, steps: int = 3) -> Flow:
    """A flow that is far from the identity."""
    made = Flow(size, context, steps, hidden=16).double()
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return made


def density(made: Flow, n: int, slots: int, size: int) -> Transformed:
    base = Normal(torch.randn(n, slots, size, dtype=F64), 0.2 + torch.rand(n, slots, size, dtype=F64))
    context = torch.randn(n, slots, 3, dtype=F64)
    return Transformed(base, context, torch.ones(n, slots, 1, dtype=F64), made)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reverse", [False, True])
def test_an_output_sees_only_the_inputs_before_it_in_order(size, reverse):
    made = MADE(size, 3, hidden=16, reverse=reverse).double()
    x, context = torch.randn(size, dtype=F64), torch.randn(3, dtype=F64)
    for jacobian in torch.autograd.functional.jacobian(lambda x: made(x, context), x):
        ordered = jacobian[made.order][:, made.order]
        assert torch.equal(ordered, ordered.tril(-1))
        assert size == 1 or (torch.diagonal(ordered, -1) != 0).all()
    assert made(x, context)[0].ne(made(x, context + 1)[0]).all()


@pytest.mark.parametrize("size", SIZES)
def test_the_log_determinant_is_that_of_the_jacobian(size):
    made, context, z = flow(size), torch.randn(3, dtype=F64), torch.randn(size, dtype=F64)
    active = torch.ones(1, dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda z: made(z, context, active)[0], z)
    assert_close(made(z, context, active)[1], torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("size", SIZES)
def test_the_inverse_undoes_the_flow(size):
    made, context, z = flow(size), torch.randn(4, 3, dtype=F64), torch.randn(4, size, dtype=F64)
    active = torch.tensor([[1.0], [1.0], [0.0], [1.0]], dtype=F64)
    there, log_det = made(z, context, active)
    back, log_det_again = made.inverse(there, context, active)
    assert_close(back, z)
    assert_close(log_det, log_det_again)
    assert torch.equal(there[2], z[2]) and log_det[2] == 0  # not active: the identity


def test_a_sample_comes_with_the_density_that_any_point_would_get():
    q = density(flow(4), n=6, slots=2, size=4)
    z, log_q = q.rsample_and_log_prob()
    assert_close(q.log_prob(z), log_q)
    assert not torch.equal(q.rsample(), q.rsample())


def test_the_density_integrates_to_one():
    q = density(flow(1), n=1, slots=1, size=1)
    grid = torch.linspace(-12, 12, 20001, dtype=F64)

    def repeated(x: Tensor) -> Tensor:
        return x.expand(len(grid), -1, -1)

    base = Normal(repeated(q.base.mean), repeated(q.base.std))
    many = Transformed(base, repeated(q.context), repeated(q.active), q.flow)
    area = torch.trapezoid(many.log_prob(grid[:, None, None]).exp(), grid)
    assert_close(area, torch.ones_like(area), rtol=0, atol=1e-6)


def test_a_flow_closes_most_of_the_gap_that_a_diagonal_gaussian_leaves():
    # z ~ N(0, 1), x ~ N(C z, noise^2): the exact posterior is Gaussian and correlated
    C = torch.tensor([[1.0, 0.9], [0.8, 1.0]], dtype=F64)
    noise = 0.2
    precision = torch.eye(2, dtype=F64) + C.T @ C / noise**2
    exact = torch.linalg.inv(precision)
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())  # KL of the best diagonal Gaussian
    assert gap > 1

    def kl(n: int) -> Tensor:
        """Draws of log q(z | x) - log p(z | x) for different x."""
        x = torch.randn(n, 2, dtype=F64) @ C.T + noise * torch.randn(n, 2, dtype=F64)
        mean = x @ C @ exact / noise**2
        evidence = Evidence(mean[:, None], (-2 * log_std).exp().expand(n, 1, 2))
        prior = Normal(torch.zeros_like(mean)[:, None], torch.ones_like(mean)[:, None])
        q, _, _ = posterior(evidence, Transition(prior, prior), None)
        z, log_q = q.rsample_and_log_prob()
        truth = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
        return log_q - truth.log_prob(z[:, 0])

    layout = StateLayout((Field("code", 2, "evidence"),))
    posterior = IAF(layout, Amortised, steps=2, hidden=16).double()
    # the encoder's std, which starts as the best without a flow
    log_std = nn.Parameter(-0.5 * precision.diagonal().log())
    optimiser = torch.optim.Adam([*posterior.parameters(), log_std], lr=1e-2)
    for _ in range(250):
        optimiser.zero_grad()
        kl(64).mean().backward()
        optimiser.step()
    with torch.no_grad():
        left = kl(10_000)
    assert left.mean() + 4 * left.std() / 100 < 0.2 * gap
