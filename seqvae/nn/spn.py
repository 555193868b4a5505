"""Random tensorised sum-product networks over images (RAT-SPN, Peharz et al. 2019, arXiv 1806.01910).

A replica splits the pixels at random into 2^depth equal regions. Each region has a layer of factorised
Gaussians; pairs of regions are multiplied and mixed, level by level, up to one root that also mixes the
replicas. Marginalising a pixel sets its leaf density to 1; a weight in [0, 1] does so in part.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.nn.mixing import mix

LOG_2PI = math.log(2 * math.pi)
WEIGHT_SCALE = 10.0  # logits a unit of parameter: at the leaves' learning rate weights would hardly move


class RatSPN(nn.Module):
    """log p(x) of vectors x of `size` pixels; an exact density over the pixels of weight 1.

    replicas, depth: the random region graphs. leaves: Gaussians per leaf region. sums: mixtures per
    inner region. variance: the range of the leaf variances. mean: the initial leaf means are
    Normal(mean, mean_std). logit_scale: the logits of mixture weights a unit of parameter; it may be set.
    """

    def __init__(
        self,
        size: int,
        replicas: int,
        depth: int,
        leaves: int,
        sums: int,
        variance: tuple[float, float],
        mean: float = 0.5,
        mean_std: float = 0.2,
    ):
        super().__init__()
        regions = 2**depth
        self.depth, self.variance, self.logit_scale = depth, tuple(variance), WEIGHT_SCALE
        order = torch.stack([torch.randperm(size) for _ in range(replicas)])
        region = (torch.arange(size) * regions // size).expand(replicas, -1)
        of_pixel = torch.empty_like(order).scatter_(1, order, region)
        member = nn.functional.one_hot(of_pixel, regions).permute(0, 2, 1)  # r l p
        self.register_buffer("member", member[:, :, None].float())
        self.mean = nn.Parameter(mean + mean_std * torch.randn(replicas, 1, leaves, size))
        self.raw_variance = nn.Parameter(torch.zeros(replicas, 1, leaves, size))
        widths = [leaves] + [sums] * (depth - 1)
        self.mixtures = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(replicas, regions // 2 ** (level + 1), sums, width, width))
            for level, width in enumerate(widths[:-1])
        )
        self.root = nn.Parameter(0.1 * torch.randn(replicas, widths[-1], widths[-1]))

    def _leaf_variance(self) -> Tensor:
        low, high = self.variance
        return low + (high - low) * self.raw_variance.sigmoid()

    def _leaves(self, x: Float[Tensor, "n p"], weight: Float[Tensor, "n p"]) -> Float[Tensor, "r l g n"]:
        """sum_i w_i log N(x_i; m_i, v_i) for every leaf Gaussian: a quadratic form, so matrix products."""
        variance = self._leaf_variance()
        square = -0.5 / variance
        linear = self.mean / variance
        constant = -0.5 * (self.mean.square() / variance + variance.log() + LOG_2PI)
        seen, (square, linear, constant) = (
            weight * x,
            ((c * self.member).flatten(0, 2) for c in (square, linear, constant)),
        )
        flat = square @ (seen * x).T + linear @ seen.T + constant @ weight.T
        return flat.unflatten(0, (*self.member.shape[:2], -1))

    def forward(self, x: Float[Tensor, "n p"], weight: Float[Tensor, "n p"]) -> Float[Tensor, "n"]:
        """log p of the pixels with weight 1, the others marginalised; nats."""
        level = self._leaves(x, weight)
        for mixture in self.mixtures:
            level = mix(level, self.logit_scale * mixture)
        of_replica = mix(level, self.logit_scale * self.root[:, None, None])[:, 0, 0]  # r n
        log_share = (self.logit_scale * self.root).flatten(1).logsumexp(1).log_softmax(0)
        return (of_replica + log_share[:, None]).logsumexp(0)

    def expectation(self) -> Float[Tensor, "p"]:
        """E[x] under the network, pixel by pixel."""
        root = (self.logit_scale * self.root).flatten(1)
        replica = root.logsumexp(1).softmax(0)
        joint = root.softmax(1).view_as(self.root)  # r g g: of the pairs, given the replica
        level = torch.stack([joint.sum(2), joint.sum(1)], 1)  # r l g: of each mixture, given the replica
        for mixture in reversed(self.mixtures):
            share = (self.logit_scale * mixture).flatten(3).softmax(-1).view_as(mixture)
            joint = (level[..., None, None] * share).sum(2)  # r l g g
            level = torch.stack([joint.sum(3), joint.sum(2)], 2).flatten(1, 2)
        in_region = (level[..., None] * self.member * self.mean).sum((1, 2))  # r p
        return (replica[:, None] * in_region).sum(0)
