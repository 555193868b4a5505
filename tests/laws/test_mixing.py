"""Sum layers of sum-product networks: exact, however far apart logits and densities are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqvae.nn.log_mixing import mix_in_log_space
from seqvae.nn.spn import WEIGHT_SCALE, RatSPN, mix
from tests.laws.common import F64

SHAPE = {"replicas": 2, "regions": 4, "components": 3, "sums": 4, "n": 5}


def spelled_out(level: Tensor, logits: Tensor) -> Tensor:
    left, right = level[:, 0::2], level[:, 1::2]  # r l g n
    share = logits - logits.logsumexp((-2, -1), keepdim=True)
    pairs = share[..., None] + left[:, :, None, :, None] + right[:, :, None, None]  # r l s g h n
    return pairs.logsumexp((3, 4))


def inputs(gap: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw densities and logits in steps of `gap` nats; the largest term of most sums has a small share."""
    r, l, g, s, n = SHAPE.values()
    level = torch.randn(r, l, g, n, dtype=F64) - 50
    level += gap * torch.randint(-1, 2, level.shape)
    logits = torch.randn(r, l // 2, s, g, g, dtype=F64)
    logits += gap * torch.randint(-1, 2, logits.shape)
    return level.to(dtype), logits.to(dtype)


def value_and_gradients(function, level: Tensor, logits: Tensor, weight: Tensor) -> list[Tensor]:
    level, logits = level.clone().requires_grad_(), logits.clone().requires_grad_()
    value = function(level, logits)
    return [value.detach(), *torch.autograd.grad((weight * value).sum(), (level, logits))]


@pytest.mark.parametrize("mix", [mix, mix_in_log_space])  # on the CPU, and on other devices
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("gap", [0.0, 20.0, 60.0, 84.0, 100.0, 300.0, 900.0])
def test_a_mixture_and_its_gradient_agree_with_the_sum_in_log_space(gap, dtype, mix):
    level, logits = inputs(gap, dtype)
    weight = torch.randn(2, 2, 4, 5, dtype=dtype)
    got = value_and_gradients(mix, level, logits, weight)
    expected = value_and_gradients(spelled_out, level.double(), logits.double(), weight.double())
    eps = torch.finfo(dtype).eps
    largest = level.abs().max() + logits.abs().max()
    # a density of size x is rounded by x eps; an exponent off by that much puts responsibilities off likewise
    tolerance = 20 * eps * largest
    torch.testing.assert_close(got[0].double(), expected[0], rtol=0, atol=tolerance.item())
    for one, exact in zip(got[1:], expected[1:], strict=True):
        scale = max(exact.abs().max().item(), 1.0)
        torch.testing.assert_close(one.double(), exact, rtol=0, atol=tolerance.item() * scale)


def test_the_gaps_underflow_the_exponentials():
    level, logits = inputs(300.0, torch.float32)
    left, right = level[:, 0::2], level[:, 1::2]
    missing = left.amax(2)[:, :, None] + right.amax(2)[:, :, None] - spelled_out(level, logits)
    assert (missing > 200).sum() > 20 and (missing < 80).sum() > 3  # some of both in one layer


@pytest.mark.parametrize("mix", [mix, mix_in_log_space])
def test_gradients_are_those_of_finite_differences(mix):
    level, logits = (x[..., :2, :2].contiguous() for x in inputs(900.0, F64))
    level = level[:, :, :2]
    args = [level.requires_grad_(), logits.requires_grad_()]
    assert torch.autograd.gradcheck(mix, args, eps=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_network_with_a_mixture_far_from_its_data_still_learns(dtype):
    spn = RatSPN(4, replicas=1, depth=1, leaves=2, sums=1, variance=(0.1, 0.1), mean_std=0.0).to(dtype)
    with torch.no_grad():
        spn.mean[..., 0, :], spn.mean[..., 1, :] = 0.0, 1.0
        spn.root.zero_()[0, 0, 0] = 30.0  # 300 nats for the pair of dark leaves, on white pixels
        spn.root[0, 0, 1] = 27.0
    x = torch.full((1, 4), 4.5, dtype=dtype)
    log_p = spn(x, torch.ones_like(x))
    log_p.sum().backward()

    mean, root = spn.mean.detach().double(), spn.root.detach().double().requires_grad_()
    leaf = (-0.5 * ((4.5 - mean) ** 2 / 0.1 + torch.tensor(0.2 * torch.pi, dtype=F64).log()))[0, 0]
    by_leaf = 2 * leaf[:, 0]  # two pixels per region
    logits = WEIGHT_SCALE * root[0]
    expected = (logits - logits.logsumexp((0, 1)) + by_leaf[:, None] + by_leaf).logsumexp((0, 1))
    expected.backward()
    assert log_p.item() == pytest.approx(expected.item(), rel=1e-6)
    assert root.grad.abs().max() > 1  # the mixture is pulled to the white leaves
    torch.testing.assert_close(spn.root.grad.double(), root.grad, rtol=1e-3, atol=1e-3)


def test_the_expectation_is_finite_where_a_replica_has_no_weight():
    spn = RatSPN(16, replicas=2, depth=2, leaves=2, sums=2, variance=(0.1, 0.2))
    with torch.no_grad():
        spn.root[0] += 50.0  # 500 nats
        spn.mixtures[0][0, 0, 0, 0, 0] += 50.0
    expected = RatSPN.expectation(spn.double())
    assert expected.isfinite().all()
    torch.testing.assert_close(spn.float().expectation().double(), expected, rtol=0, atol=1e-5)
