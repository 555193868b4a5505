"""Predictions of a clip's later frames: their terms, their scores, and the order of their slots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from seqvae.config import register
from seqvae.matching import assign, reorder, squared_distances
from seqvae.types import Terms

MIN_SQUARE = 1e-8  # square half-widths: a distance of 0 has no gradient


@register()
@dataclass(frozen=True)
class FramePrediction:
    """Multi-step prediction of frames: the rest of a clip is imagined, decoded and scored.

    Its term is log p(x_t | imagined z_t) of a deterministic rollout, as in an evaluation: nats, but no part
    of the bound. After the observation overshooting of Hafner et al. 2019 (arXiv 1811.04551).

    context: frames that are given
    weight: of the term
    """

    context: int = 8
    weight: float = 1.0


@register()
@dataclass(frozen=True)
class PositionPrediction:
    """Multi-step prediction of positions: the rest of a clip is imagined and its positions are scored.

    Its term is log Laplace(observed position; predicted position, scale), isotropic in the plane, summed over
    slots: nats, but no part of the bound.

    context: frames that are given
    weight: of the term
    scale: of the Laplace density, half-widths
    uncertain: whether the std of an observed position is added to its scale, so that places of objects that a
        frame hides count for little
    """

    context: int = 8
    weight: float = 1.0
    scale: float = 0.02
    uncertain: bool = False

    def log_density(
        self,
        observed: Float[Tensor, "b h k 2"],
        predicted: Float[Tensor, "b h k 2"],
        std: Float[Tensor, "b h k"] | None = None,
    ) -> Float[Tensor, "b h"]:
        """Return the log-density of observed positions, summed over slots, nats.

        std: of the observed positions, half-widths; given if `uncertain`
        """
        distance = ((observed - predicted).square().sum(-1) + 1e-6).sqrt()
        if std is None:
            log_density = -distance / self.scale - math.log(2 * math.pi * self.scale**2)
        else:
            scale = self.scale + std
            log_density = -distance / scale - (2 * math.pi * scale.square()).log()
        return log_density.sum(-1)


def add_prediction(
    terms: Terms,
    log_density: Float[Tensor, "b h"],
    before: int,
    weight: float,
    observed: Bool[Tensor, "b h"] | None,
) -> Terms:
    """Add the term `rollout`, which begins after the first `before` frames of the others.

    Terms are padded with zeros to one length, and defined on the frames that they had.
    """
    known = torch.ones_like(log_density, dtype=torch.bool) if observed is None else observed
    values, defined, length = {}, {}, before + log_density.shape[1]
    for name, value in terms.values.items():
        missing = (0, length - value.shape[1])
        had = terms.defined.get(name, torch.ones_like(value, dtype=torch.bool))
        values[name], defined[name] = pad(value, missing), pad(had, missing, value=False)
    values["rollout"] = pad(log_density.masked_fill(~known, 0), (before, 0))
    defined["rollout"] = pad(known, (before, 0), value=False)
    return Terms(values, terms.weights | {"rollout": weight}, defined)


def match_slots(
    reference: Float[Tensor, "b t k 2"],
    other: Float[Tensor, "b t k 2"],
    observed: Bool[Tensor, "b t"] | None,
    background: int,
) -> Int[Tensor, "b k"]:
    """Return, for each slot of the reference, the slot of `other` that is nearest in the last observed frame.

    background: number of slots, the first ones, that keep their place
    """
    cost = squared_distances(at_last_observed(reference, observed), at_last_observed(other, observed))
    return assign(cost, background)


def reorder_slots(x: Float[Tensor, "b t k e"], order: Int[Tensor, "b k"]) -> Float[Tensor, "b t k e"]:
    """Return x with slot order[:, i] in the place of slot i, in all frames."""
    return reorder(x.transpose(1, 2), order).transpose(1, 2)


def at_last_observed(
    x: Float[Tensor, "b t k xy"], observed: Bool[Tensor, "b t"] | None
) -> Float[Tensor, "b k xy"]:
    """Return each sequence's values in its last observed frame."""
    if observed is None:
        return x[:, -1]
    last = (observed * torch.arange(observed.shape[1], device=observed.device)).amax(1)
    return x.take_along_dim(last[:, None, None, None], 1)[:, 0]


def followed(observed: Bool[Tensor, "b t"] | None, split: int) -> Bool[Tensor, "b h"] | None:
    """Return which frames from `split` on were observed, in clips with an observed frame before."""
    return None if observed is None else observed[:, split:] & observed[:, :split].any(1, keepdim=True)


def energy_score(
    samples: Float[Tensor, "s b t k 2"], observed: Float[Tensor, "b t k 2"]
) -> Float[Tensor, "b t"]:
    """Return E|X - y| - E|X - X'| / 2 of each object's position, averaged over objects; lower is better.

    Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102. Its expectation is least, over all densities of X, for
    the density of y, so it rewards intervals that are right and not merely a good mean. X' runs over the
    other samples, which makes the estimate unbiased. Unit: that of the positions.
    """
    count = len(samples)
    error = _distance(samples, observed).mean(0)
    apart = _distance(samples[:, None], samples[None])  # s s b t k
    others = 1 - torch.eye(count, device=apart.device, dtype=apart.dtype)
    between = torch.einsum("ij,ijbtk->btk", others, apart) / (count * (count - 1))
    return (error - between / 2).mean(-1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b).square().sum(-1) + MIN_SQUARE).sqrt()
