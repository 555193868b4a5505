"""Densities of rewards: of events, and of amounts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.errors import UserError
from seqvae.nn.kinds import RewardDensity
from seqvae.nn.layers import positive_std

STD_FLOOR = 1e-2


@register(RewardDensity)
class Event(nn.Module):
    """p(r = value) = sigmoid(raw), p(r = 0) = sigmoid(-raw): an event that has one worth.

    value: worth of the event
    rate: probability of the event before training, where raw = 0

    Raises:
        UserError: the value is 0, or the rate none.
    """

    numbers = 1

    def __init__(self, value: float = -1.0, rate: float = 0.01):
        super().__init__()
        if value == 0 or not 0 < rate < 1:
            raise UserError(f"value={value} rate={rate}: an event has a worth, and a rate between 0 and 1")
        self.value, self.offset = value, float(torch.logit(torch.tensor(rate, dtype=torch.float64)))

    def log_prob(self, reward: Float[Tensor, "*b"], raw: Float[Tensor, "*b 1"]) -> Float[Tensor, "*b"]:
        logit = raw[..., 0] + self.offset
        return torch.where(reward == 0, logsigmoid(-logit), logsigmoid(logit))

    def mean(self, raw: Float[Tensor, "*b 1"]) -> Float[Tensor, "*b"]:
        return self.value * (raw[..., 0] + self.offset).sigmoid()

    def fault(self, rewards: Float[Tensor, "n"]) -> str | None:
        others = rewards[(rewards != 0) & (rewards != self.value)]
        if not len(others):
            return None
        return f"some are {others[0]:g}, neither 0 nor value={self.value:g}"


@register(RewardDensity)
class NormalAmount(nn.Module):
    """p(r | raw) = N(r; scale raw_1, std^2), with a learned std of at least a hundredth of the scale.

    scale: a typical reward
    """

    numbers = 2

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def log_prob(self, reward: Float[Tensor, "*b"], raw: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b"]:
        std = positive_std(raw[..., 1], STD_FLOOR * self.scale, self.scale)
        return gaussian_log_density(reward, self.mean(raw), std)

    def mean(self, raw: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b"]:
        return self.scale * raw[..., 0]

    def fault(self, rewards: Float[Tensor, "n"]) -> str | None:
        return None


@register(RewardDensity)
class TwoHotAmount(nn.Module):
    """A categorical over amounts b_i = symexp(x_i), x_i evenly spaced, p = softmax(raw).

    Of any shape and scale: symexp(x) = sign(x) (e^|x| - 1). A reward between two amounts is a mixture of both
    whose mean it is, and its score is the mixture's mean of log p_i. The maximum of this score has the right
    mean; it is no density of r (Hafner et al. 2023, DreamerV3, arXiv 2301.04104).

    limit: largest |x|
    bins: count of amounts, odd, so that one is 0

    Raises:
        UserError: the count is even.
    """

    amounts: Tensor  # (bins,)

    def __init__(self, limit: float = 8.0, bins: int = 65):
        super().__init__()
        if bins % 2 == 0 or bins < 3:
            raise UserError(f"bins={bins}: expected an odd number from 3, so that an amount is 0")
        self.numbers = bins
        x = torch.linspace(-limit, limit, bins, dtype=torch.float64)
        amounts = x.sign() * x.abs().expm1()
        amounts = (amounts - amounts.flip(0)) / 2  # exactly symmetric
        self.register_buffer("amounts", amounts.to(torch.get_default_dtype()), persistent=False)

    def log_prob(self, reward: Float[Tensor, "*b"], raw: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        log_p, amounts = raw.log_softmax(-1), self.amounts.to(raw.dtype)
        r = reward.to(raw.dtype).clamp(amounts[0], amounts[-1])
        upper = torch.searchsorted(amounts, r.contiguous()).clamp(1, self.numbers - 1)  # of the two around r
        low, high = amounts[upper - 1], amounts[upper]
        share = (r - low) / (high - low)
        lower_log_p, upper_log_p = (log_p.gather(-1, i[..., None])[..., 0] for i in (upper - 1, upper))
        return (1 - share) * lower_log_p + share * upper_log_p

    def mean(self, raw: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        p, half = raw.softmax(-1), self.numbers // 2
        # in pairs b and -b, so that large amounts of equal probability cancel exactly
        excess = p[..., half + 1 :] - p[..., :half].flip(-1)
        return (excess * self.amounts[half + 1 :].to(raw.dtype)).sum(-1)

    def fault(self, rewards: Float[Tensor, "n"]) -> str | None:
        largest = float(rewards.abs().max()) if len(rewards) else 0.0
        limit = float(self.amounts[-1])
        return None if largest <= limit else f"some are {largest:g}, beyond the largest amount {limit:g}"
