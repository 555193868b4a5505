"""Likelihoods of pixels given a decoder's output, nats an image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.distributions import gaussian_log_density

STD_FLOOR = 1e-3  # of the full range: a learned std without a floor runs to 0 where pixels never change


class Bernoulli(nn.Module):
    """p(x | raw) = prod over pixels of Bernoulli(x; sigmoid(raw)).

    threshold: pixels above it count as 1, all others as 0 (a fixed binarisation of the data, so numbers are
    those of the binarised images). None takes pixels between 0 and 1 as they are: a cross-entropy, which is
    no density and is reported as such.
    """

    def __init__(self, threshold: float | None = 0.5):
        super().__init__()
        self.threshold = threshold
        self.normalised = threshold is not None

    def log_prob(self, x: Float[Tensor, "*b c h w"], raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b"]:
        if self.threshold is not None:
            x = (x > self.threshold).to(raw.dtype)
        return -nn.functional.binary_cross_entropy_with_logits(raw, x, reduction="none").sum((-3, -2, -1))

    def mean(self, raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        return raw.sigmoid()


class Gaussian(nn.Module):
    """p(x | raw) = prod over pixels of N(x; mean, std^2), with one std, in units of the full range.

    std: fixed, or where a learned one starts (`learn`). bounded: the mean is sigmoid(raw), else raw itself.
    """

    normalised = True

    def __init__(self, std: float = 0.1, learn: bool = False, bounded: bool = True):
        super().__init__()
        self.bounded = bounded
        self.log_std = nn.Parameter(torch.tensor(std).log(), requires_grad=learn)

    @property
    def std(self) -> Tensor:
        return self.log_std.exp() + STD_FLOOR

    def log_prob(self, x: Float[Tensor, "*b c h w"], raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b"]:
        return gaussian_log_density(x, self.mean(raw), self.std).sum((-3, -2, -1))

    def mean(self, raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        return raw.sigmoid() if self.bounded else raw
