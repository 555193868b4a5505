"""Random tensorised sum-product networks over images (RAT-SPN, Peharz et al. 2019, arXiv 1806.01910).

A replica splits the pixels at random into 2^depth equal regions. Each region has a layer of factorised
Gaussians, its leaves. Level by level, neighbouring regions are multiplied and mixed, up to one root, which
also mixes the replicas. To marginalise a pixel is to set its leaf density to 1; a weight between 0 and 1
does so in part.

Axes: r replica, l pair of regions, s mixture, g component, n vector, p pixel.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seqvae.nn.log_mixing import mix_in_log_space
from seqvae.nn.native import call_in_parts, usable

SOURCE = Path(__file__).with_name("spn.c")  # the sum layer, on the CPU

# The sum layer: mixtures of products of neighbouring regions.
#
# The sums are matrix products of exponentials, which are shifted by the largest log-density of each region.
# Where no pair of components has both a share and a density near the largest, the sum underflows; it is then
# computed again in log space. The branch depends on the numbers themselves, so value and gradient are custom
# operators, which torch.compile does not look into. On other devices than the CPU the look at the numbers
# would wait for the device, so there all sums are computed in log space.


def mix(level: Float[Tensor, "r _ g n"], logits: Float[Tensor, "r l s g g"]) -> Float[Tensor, "r l s n"]:
    """Return log sum_gh w_sgh exp(left_g + right_h) of neighbouring regions.

    The weights w_s are the softmax of logits over pairs (g, h). Value and gradient are exact up to rounding,
    however far apart logits and densities are.
    """
    return _mix(level, logits) if level.is_cpu else mix_in_log_space(level, logits)


@torch.library.custom_op("seqvae::mix", mutates_args=(), schema="(Tensor level, Tensor logits) -> Tensor")
def _mix(level, logits):
    value = level.new_empty(*logits.shape[:3], level.shape[-1])
    if _in_c("mix", level, logits, [level], [value]):
        return value
    a, b, shift = _shifted(level)  # r l g n, r l g n, r l 1 n
    mixed = _mixed(a, _given_left(_shares(logits), b))  # r l s n
    value = mixed.log() + shift
    low = _too_small(mixed, logits)
    if low.any():
        value[low] = _log_pairs(level, logits, low)[1].flatten(1).logsumexp(1)
    return value


@torch.library.custom_op(
    "seqvae::mix_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor level, Tensor logits, Tensor value) -> (Tensor, Tensor)",
)
def _mix_backward(grad, level, logits, value):
    """Return the gradients with respect to level and logits."""
    d_level, d_share = torch.empty_like(level), torch.empty_like(logits)
    if _in_c("mix_gradient", level, logits, [grad, level], [d_level, d_share]):
        d_pairs = _shares(logits) * d_share
        return d_level, d_pairs - _shares(logits) * d_pairs.sum((-2, -1), keepdim=True)
    # 1. the forward pass again, which is cheaper than to keep its tensors
    share = _shares(logits)  # r l s g g
    a, b, _ = _shifted(level)
    given_left = _given_left(share, b)  # r l s g n
    mixed = _mixed(a, given_left)
    low = _too_small(mixed, logits)
    # 2. through the logarithm; sums that underflowed follow in step 5
    scaled = (grad / mixed).masked_fill_(low, 0.0)  # r l s n
    # 3. through the sum over pairs: to densities, and to shares of pairs
    d_a = torch.zeros_like(a)
    for s in range(share.shape[2]):  # one mixture at a time, to hold no "r l s g n" more than needed
        d_a.addcmul_(scaled[:, :, s, None], given_left[:, :, s])
    d_given = (scaled[:, :, :, None] * a[:, :, None]).flatten(2, 3)  # r l (s g) n
    d_b = share.flatten(2, 3).mT @ d_given
    d_share = (d_given @ b.mT).view_as(share)
    # 4. through the exponentials: d log x = x dx
    d_pairs = share * d_share
    d_level = torch.empty_like(level)
    torch.mul(d_a, a, out=d_level[:, 0::2])
    torch.mul(d_b, b, out=d_level[:, 1::2])
    # 5. the sums in log space: the gradient of logsumexp is the softmax
    if low.any():
        index, pairs = _log_pairs(level, logits, low)
        part = grad[low][:, None, None] * (pairs - value[low][:, None, None]).exp()  # m g h
        r, l, s, n = index
        left, right = 2 * l[:, None], 2 * l[:, None] + 1
        d_level.index_put_((r[:, None], left, _count(part, 1), n[:, None]), part.sum(2), True)
        d_level.index_put_((r[:, None], right, _count(part, 2), n[:, None]), part.sum(1), True)
        d_pairs.index_put_((r, l, s), part, accumulate=True)
    # 6. through the softmax over pairs
    return d_level, d_pairs - share * d_pairs.sum((-2, -1), keepdim=True)


def _in_c(function: str, level: Tensor, logits: Tensor, given: list[Tensor], results: list[Tensor]) -> bool:
    """Compute the results by spn.c; return whether it could, and no sum underflowed."""
    if not level.numel() or not usable(SOURCE, *given, logits, *results):
        return False
    regions, vectors = logits.shape[0] * logits.shape[1], level.shape[-1]
    low = torch.zeros(regions, dtype=torch.int64)
    sizes = (*logits.shape[2:4], vectors, _least(level.dtype, logits))
    tensors = [x.contiguous().view(regions, -1) for x in (*given, _shares(logits), *results)]

    def arguments(part: slice) -> tuple[Any, ...]:
        return part.stop - part.start, *sizes, *(x[part] for x in tensors), low[part]

    call_in_parts(SOURCE, function, regions, arguments, 1 + 1024 // max(vectors, 1))
    return not low.any()


@_mix.register_fake
def _(level, logits):
    return level.new_empty(*logits.shape[:3], level.shape[-1])


@_mix_backward.register_fake
def _(grad, level, logits, value):
    return torch.empty_like(level), torch.empty_like(logits)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs, output)


_mix.register_autograd(lambda ctx, grad: _mix_backward(grad, *ctx.saved_tensors), setup_context=_save)


def _shares(logits: Float[Tensor, "r l s g g"]) -> Float[Tensor, "r l s g g"]:
    """Return the mixture weights, which sum to 1 over the pairs of components."""
    return logits.flatten(3).softmax(-1).view_as(logits)


def _shifted(
    level: Float[Tensor, "r _ g n"],
) -> tuple[Float[Tensor, "r l g n"], Float[Tensor, "r l g n"], Float[Tensor, "r l 1 n"]]:
    """Return left and right densities divided by the largest of their region, and the log of the divisors."""
    left, right = level[:, 0::2], level[:, 1::2]
    left_max, right_max = left.amax(2, keepdim=True), right.amax(2, keepdim=True)
    return (left - left_max).exp_(), (right - right_max).exp_(), left_max + right_max


def _given_left(share: Float[Tensor, "r l s g g"], b: Float[Tensor, "r l g n"]) -> Float[Tensor, "r l s g n"]:
    """Return sum_h w_gh b_h, for each left component g."""
    return (share.flatten(2, 3) @ b).unflatten(2, share.shape[2:4])


def _mixed(a: Float[Tensor, "r l g n"], given_left: Float[Tensor, "r l s g n"]) -> Float[Tensor, "r l s n"]:
    """Return sum_g a_g (given left)_g."""
    total = a[:, :, None, 0] * given_left[:, :, :, 0]
    for g in range(1, a.shape[2]):  # in place, since the product over all g would be the largest tensor
        total.addcmul_(a[:, :, None, g], given_left[:, :, :, g])
    return total


def _too_small(mixed: Float[Tensor, "r l s n"], logits: Tensor) -> Bool[Tensor, "r l s n"]:
    """Mark the sums that may lack terms lost to underflow."""
    return mixed < _least(mixed.dtype, logits)


def _least(dtype: torch.dtype, logits: Tensor) -> float:
    """Return the least sum that lacks no terms."""
    number, pairs = torch.finfo(dtype), logits[0, 0, 0].numel()
    return pairs * number.tiny / number.eps


def _log_pairs(
    level: Float[Tensor, "r _ g n"], logits: Float[Tensor, "r l s g g"], low: Bool[Tensor, "r l s n"]
) -> tuple[tuple[Tensor, ...], Float[Tensor, "m g g"]]:
    """Return the indices of the marked sums, and log w_gh + left_g + right_h for each."""
    r, l, s, n = index = low.nonzero(as_tuple=True)
    log_share = logits.flatten(3).log_softmax(-1).view_as(logits)[r, l, s]
    return index, log_share + level[r, 2 * l, :, n][:, :, None] + level[r, 2 * l + 1, :, n][:, None]


def _count(part: Float[Tensor, "m g g"], axis: int) -> Tensor:
    return torch.arange(part.shape[axis], device=part.device)


# The network.

LOG_2PI = math.log(2 * math.pi)
WEIGHT_SCALE = 10.0  # logits per unit of parameter: at the leaves' learning rate weights would hardly change


class RatSPN(nn.Module):
    """log p(x) of vectors x of `size` pixels: an exact density over the pixels of weight 1.

    replicas, depth: shape of the random region graphs
    leaves: Gaussians per leaf region
    sums: mixtures per inner region
    variance: range of the leaf variances
    mean, mean_std: the leaf means start from Normal(mean, mean_std^2)
    logit_scale: logits of the mixture weights per unit of parameter; may be set
    """

    member: Tensor  # (r, l, 1, p): 1 where a pixel lies in a leaf region

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
        # 1. equal regions of a random order of the pixels, one order per replica
        order = torch.stack([torch.randperm(size) for _ in range(replicas)])  # r p
        region = (torch.arange(size) * regions // size).expand(replicas, -1)
        of_pixel = torch.empty_like(order).scatter_(1, order, region)
        member = nn.functional.one_hot(of_pixel, regions).permute(0, 2, 1)  # r l p
        self.register_buffer("member", member[:, :, None].float())
        # 2. leaves: every leaf has a Gaussian for every pixel, and uses those of its region
        self.mean = nn.Parameter(mean + mean_std * torch.randn(replicas, 1, leaves, size))
        self.raw_variance = nn.Parameter(torch.zeros(replicas, 1, leaves, size))
        # 3. mixtures, level by level, and the root
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
        """Return sum_i w_i log N(x_i; m_i, v_i) for every leaf."""
        # 1. log N = square x^2 + linear x + constant, per pixel
        variance = self._leaf_variance()  # r 1 g p
        square = -0.5 / variance
        linear = self.mean / variance
        constant = -0.5 * (self.mean.square() / variance + variance.log() + LOG_2PI)
        # 2. coefficients of pixels outside of a leaf's region are 0
        square, linear, constant = (
            (c * self.member).flatten(0, 2)
            for c in (square, linear, constant)  # (r l g) p
        )
        # 3. the weighted sum over pixels, as matrix products
        weighted = weight * x
        flat = square @ (weighted * x).T + linear @ weighted.T + constant @ weight.T  # (r l g) n
        return flat.unflatten(0, (*self.member.shape[:2], -1))

    def forward(self, x: Float[Tensor, "n p"], weight: Float[Tensor, "n p"]) -> Float[Tensor, "n"]:
        """Return log p of the pixels with weight 1, with all others marginalised; nats."""
        level = self._leaves(x, weight)
        for mixture in self.mixtures:
            level = mix(level, self.logit_scale * mixture)
        of_replica = mix(level, self.logit_scale * self.root[:, None, None])[:, 0, 0]  # r n
        # the root's weights are the softmax over all pairs of all replicas; `mix` takes it per replica
        log_share = (self.logit_scale * self.root).flatten(1).logsumexp(1).log_softmax(0)  # r
        return (of_replica + log_share[:, None]).logsumexp(0)

    def expectation(self) -> Float[Tensor, "p"]:
        """Return E[x] under the network, pixel by pixel."""
        # from the root down to the leaves: the probability that a component is chosen, given the replica
        root = (self.logit_scale * self.root).flatten(1)
        replica = root.logsumexp(1).softmax(0)  # r
        joint = root.softmax(1).view_as(self.root)  # r g g, of pairs (left, right)
        level = torch.stack([joint.sum(2), joint.sum(1)], 1)  # r l g
        for mixture in reversed(self.mixtures):
            share = (self.logit_scale * mixture).flatten(3).softmax(-1).view_as(mixture)
            joint = (level[..., None, None] * share).sum(2)  # r l g g
            level = torch.stack([joint.sum(3), joint.sum(2)], 2).flatten(1, 2)
        in_region = (level[..., None] * self.member * self.mean).sum((1, 2))  # r p
        return (replica[:, None] * in_region).sum(0)
