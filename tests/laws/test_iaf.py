"""Inverse autoregressive flows: exact inverse and density, and their gain over a diagonal Gaussian."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from seqvae.nn.layers import MADE
from seqvae.posteriors.amortised import Amortised
from seqvae.posteriors.iaf import IAF, Flow, Transformed
from seqvae.types import Encoding, Transition
from tests.laws.common import F64, normal, perturbed, standard_error

SIZES = [1, 2, 5]


def flow(size: int, context: int = 3, steps: int = 3) -> Flow:
    """Return a flow far from the identity."""
    return perturbed(Flow(size, context, steps, hidden=16).double(), 0.5)


def density(made: Flow, n: int, slots: int, size: int) -> Transformed:
    base = normal(n, slots, size)
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


def test_a_sample_comes_with_the_density_of_its_point():
    q = density(flow(4), n=6, slots=2, size=4)
    z, log_q = q.rsample_and_log_prob()
    assert_close(q.log_prob(z), log_q)
    assert not torch.equal(q.rsample(), q.rsample())


def strong(size: int, steps: int, scale: float, dtype: torch.dtype) -> Transformed:
    """Return a density whose flow has gates that underflow, with all weights multiplied by `scale`."""
    made = Flow(size, 3, steps, hidden=16).to(dtype)
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(scale)
    base = Normal(torch.randn(400, 2, size, dtype=dtype), 0.2 + torch.rand(400, 2, size, dtype=dtype))
    context = torch.randn(400, 2, 3, dtype=dtype)
    return Transformed(base, context, torch.ones(400, 2, 1, dtype=dtype), made)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("scale", [100.0, 1000.0])
def test_the_density_of_a_sample_of_a_strong_flow_is_that_of_the_draw(scale, dtype):
    """For one number per slot the rounding is known: an error e of (z - mean) / std is e / g of the noise."""
    q = strong(1, 1, scale, dtype)
    z, log_q = q.rsample_and_log_prob()
    again = q.log_prob(z)
    shift, logit = q.flow.steps[0](torch.zeros_like(z), q.context)
    log_gate = torch.nn.functional.logsigmoid(logit + 2).clamp(min=-15)
    assert (logit < -17).any() and (logit > 10).any()  # gates at their limit, and open ones
    noise = q.flow.inverse((z - q.base.mean) / q.base.std, q.context, q.active)[0]
    bent = (z - q.base.mean).abs() / q.base.std
    eps = torch.finfo(dtype).eps
    error = eps * ((z.abs() + q.base.mean.abs()) / q.base.std + 2 * bent + 3 * shift.abs()) / log_gate.exp()
    moved = (noise.abs() * error + error.square() / 2).sum((1, 2))
    sizes = (noise.square() + log_gate.abs() + q.base.std.log().abs() + 1).sum((1, 2))
    assert again.isfinite().all()
    assert ((again - log_q).abs() <= 2 * moved + 8 * eps * sizes).all()
    exact = moved < 1e-3
    assert exact.float().mean() > (0.99 if dtype == F64 else 0.2)  # so that the tolerance means something


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("size", [4, 32])
def test_the_density_of_a_strong_flow_is_finite_everywhere(size, dtype):
    q = strong(size, 4, 30.0, dtype)
    z, log_q = q.rsample_and_log_prob()
    assert log_q.isfinite().all() and z.isfinite().all()
    for point in (z.detach(), 1e3 * torch.randn_like(z)):
        point.requires_grad_()
        assert q.log_prob(point).isfinite().all()


def test_the_limit_of_the_gates_leaves_an_ordinary_flow_as_it_is():
    made, z, context = flow(4), torch.randn(50, 4, dtype=F64), torch.randn(50, 3, dtype=F64)
    out = z
    for step in made.steps:  # the flow without a limit
        shift, logit = step(out, context)
        gate = torch.sigmoid(logit + 2)
        assert gate.log().min() > -15
        out = gate * out + (1 - gate) * shift
    assert_close(made(z, context, torch.ones(50, 1, dtype=F64))[0], out)


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
        """Draw log q(z | x) - log p(z | x) for n different x."""
        x = torch.randn(n, 2, dtype=F64) @ C.T + noise * torch.randn(n, 2, dtype=F64)
        mean = x @ C @ exact / noise**2
        encoding = Encoding(mean[:, None], (-2 * log_std).exp().expand(n, 1, 2))
        prior = Normal(torch.zeros_like(mean)[:, None], torch.ones_like(mean)[:, None])
        q, _, _ = posterior(encoding, Transition(prior, prior), None)
        z, log_q = q.rsample_and_log_prob()
        truth = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
        return log_q - truth.log_prob(z[:, 0])

    layout = StateLayout((Field("code", 2, "frame"),))
    posterior = IAF(layout, Amortised, steps=2, hidden=16).double()
    # the encoder's std, which starts as the best without a flow
    log_std = nn.Parameter(-0.5 * precision.diagonal().log())
    optimiser = torch.optim.Adam([*posterior.parameters(), log_std], lr=1e-2)
    for _ in range(250):
        optimiser.zero_grad()
        kl(64).mean().backward()
        optimiser.step()
    with torch.no_grad():
        remaining = kl(10_000)
    assert remaining.mean() + 4 * standard_error(remaining) < 0.2 * gap
