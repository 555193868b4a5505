"""Sum-product networks as densities: against integration, sampling and a direct evaluation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqvae.nn.spn import WEIGHT_SCALE, RatSPN
from tests.laws.common import F64, perturbed, standard_error

SHAPES = [
    {"replicas": 3, "depth": 1, "leaves": 4, "sums": 1},
    {"replicas": 2, "depth": 2, "leaves": 3, "sums": 5},
    {"replicas": 2, "depth": 3, "leaves": 2, "sums": 3},
]


def network(size: int, replicas=2, depth=2, leaves=3, sums=4, variance=(0.1, 0.4)) -> RatSPN:
    """Return a network in float64, with weights and variances that all differ."""
    return perturbed(RatSPN(size, replicas, depth, leaves, sums, variance).double(), 1.0)


def log_sum_exp(values: list[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(v - largest) for v in values))


def log_weights(parameter: Tensor) -> Tensor:
    logits = WEIGHT_SCALE * parameter
    return logits - logits.exp().sum().log()


def direct(spn: RatSPN, x: Tensor, weight: Tensor) -> float:
    """Return log p by loops over replicas, regions and components."""
    low, high = spn.variance
    variance = low + (high - low) * spn.raw_variance.sigmoid()
    root = log_weights(spn.root)
    options = []
    for r in range(spn.root.shape[0]):
        regions = []
        for pixels in spn.member[r, :, 0] > 0:
            scores = []
            for m, v in zip(spn.mean[r, 0], variance[r, 0], strict=True):
                log_p = -0.5 * ((x - m) ** 2 / v + v.log() + math.log(2 * math.pi))
                scores.append((weight * log_p)[pixels].sum().item())
            regions.append(scores)
        for mixture in spn.mixtures:
            pairs = zip(regions[0::2], regions[1::2], strict=True)
            regions = [
                [
                    log_sum_exp(
                        [
                            share[g, h].item() + left[g] + right[h]
                            for g in range(len(left))
                            for h in range(len(right))
                        ]
                    )
                    for share in map(log_weights, mixture[r, region])
                ]
                for region, (left, right) in enumerate(pairs)
            ]
        left, right = regions
        options += [
            root[r, g, h].item() + left[g] + right[h] for g in range(len(left)) for h in range(len(right))
        ]
    return log_sum_exp(options)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_density_agrees_with_a_direct_evaluation(shape):
    spn = network(size=11, **shape)  # 11: regions of unequal size
    x, weight = torch.rand(6, 11, dtype=F64), torch.rand(6, 11, dtype=F64)
    weight[0], weight[1] = 1, (weight[1] > 0.5).double()
    expected = torch.tensor([direct(spn, *pair) for pair in zip(x, weight, strict=True)], dtype=F64)
    torch.testing.assert_close(spn(x, weight), expected, rtol=1e-10, atol=1e-10)


def test_every_replica_splits_the_pixels_into_equal_regions():
    spn = RatSPN(100, replicas=6, depth=2, leaves=1, sums=1, variance=(0.1, 0.2))
    assert (spn.member.sum(1) == 1).all() and (spn.member.sum(-1) == 25).all()
    assert not torch.equal(spn.member[0], spn.member[1])


def grid(points: int, axes: int) -> Tensor:
    """Return the points of a grid over [-8, 9] per axis, eight of the largest stds beyond the means."""
    axis = torch.linspace(-8, 9, points, dtype=F64)
    return torch.cartesian_prod(*[axis] * axes).reshape(-1, axes)


def test_the_density_integrates_to_one():
    spn = network(size=2, depth=1)
    x = grid(1201, 2)
    cell = (17 / 1200) ** 2
    mass = spn(x, torch.ones_like(x)).exp().sum() * cell
    assert mass.item() == pytest.approx(1, abs=1e-9)


def test_the_density_integrates_to_one_over_many_pixels():
    # importance sampling from a Gaussian that is wider than every leaf
    n, size = 50_000, 12
    spn = RatSPN(size, 3, 2, 4, 3, variance=(0.1, 0.2)).double()
    wide = torch.distributions.Normal(torch.tensor(0.5, dtype=F64), 0.6)
    x = wide.sample((n, size))
    weight = (spn(x, torch.ones_like(x)) - wide.log_prob(x).sum(-1)).exp()
    assert standard_error(weight) < 0.02  # sharp enough to mean something
    assert abs(weight.mean() - 1) < 4 * standard_error(weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_marginalising_everything_gives_log_one(shape):
    spn = network(size=16, **shape)
    x = torch.rand(4, 16, dtype=F64)
    torch.testing.assert_close(spn(x, torch.zeros_like(x)), torch.zeros(4, dtype=F64), rtol=0, atol=1e-12)


def test_a_marginal_is_the_integral_over_the_other_pixels():
    spn = network(size=4, depth=2)
    points, cell = grid(601, 2), (17 / 600) ** 2
    x = torch.tensor([[0.2, 0.9]], dtype=F64).expand(len(points), 2)
    joint = torch.cat([x[:, :1], points[:, :1], x[:, 1:], points[:, 1:]], 1)
    integral = (spn(joint, torch.ones_like(joint)).exp().sum() * cell).log()
    kept = torch.tensor([[1, 0, 1, 0]], dtype=F64)
    torch.testing.assert_close(spn(joint[:1], kept)[0], integral, rtol=0, atol=1e-9)


def test_the_expectation_is_the_mean_of_every_marginal():
    spn = network(size=8, depth=2)
    axis = torch.linspace(-8, 9, 2001, dtype=F64)
    for pixel in range(8):
        x, weight = torch.zeros(2001, 8, dtype=F64), torch.zeros(2001, 8, dtype=F64)
        x[:, pixel], weight[:, pixel] = axis, 1
        mean = torch.trapezoid(axis * spn(x, weight).exp(), axis)
        torch.testing.assert_close(spn.expectation()[pixel], mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, -30.0, 30.0, 1e4])
def test_extreme_pixels_give_right_values_and_finite_gradients(value):
    spn = RatSPN(16, 3, 2, 6, 4, variance=(0.002, 0.16))
    x = torch.full((2, 16), value, requires_grad=True)
    log_p = spn(x, torch.ones(2, 16))
    log_p.sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in spn.parameters())
    expected = direct(spn.double(), x[0].detach().double(), torch.ones(16))
    # float32 keeps seven digits of the largest summand, at most 16 pixels times x^2 / (2 * 0.002)
    assert log_p.tolist() == pytest.approx([expected] * 2, rel=1e-5, abs=1e-2)


def test_float32_agrees_with_float64_on_images():
    spn = RatSPN(1024, 3, 1, 6, 1, variance=(0.002, 0.16), mean=0.0, mean_std=0.05)
    x, weight = torch.rand(20, 1024), torch.rand(20, 1024)
    exact = spn.double()(x.double(), weight.double())
    # 1024 terms of up to 1 / (2 * 0.002), each rounded: the errors add up like a random walk
    bound = 1 / (2 * 0.002) * 1024 * torch.finfo(torch.float32).eps
    assert (spn.float()(x, weight) - exact).abs().max() < bound
