"""Objectives: functions of a trace and the frame model's terms. Up is good; only the optimiser negates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from seqvae.distributions import gaussian_log_density
from seqvae.layout import StateLayout
from seqvae.matching import assign, reorder, squared_distances
from seqvae.sequence import SequenceModel
from seqvae.types import Terms, Trace, UserError


def temporal_elbo(
    trace: Trace, frame_terms: dict[str, Float[Tensor, "b t"]], start: int = 1,
    weights: Mapping[str, float] | None = None,
) -> Terms:
    """The terms of E_q sum_t log p(x_t | z_t) + log p(z_t | z_<t) - log q(z_t | z_<t, x_<=t), by frame.

    start: the first frame (counted from 1) that enters; frames before it are left out of the result. With
    start = 3, as in Kossen et al. 2020, and a filtering posterior the sum bounds the log-density of x_3:T
    given the posterior q(z_1:2 | x_1:2) of the first two frames. weights: of frame terms beside the bound.
    """
    values = dict(frame_terms)
    values["log_prior"] = trace.prior.log_prob(trace.z)
    known = trace.log_posterior
    values["neg_log_posterior"] = -(trace.posterior.log_prob(trace.z) if known is None else known)
    return Terms({name: v[:, start - 1 :] for name, v in values.items()}, dict(weights or {}))


def elbo(model: SequenceModel, video: Float[Tensor, "b t c h w"], trace: Trace, start: int = 1) -> Terms:
    """`temporal_elbo` of a model on a video that it has filtered to `trace`."""
    frame_terms = model.frame.terms(video, trace.z, trace.evidence, trace.context)
    return temporal_elbo(trace, frame_terms, start, getattr(model.frame, "beside", None))


def iwae(log_weights: Float[Tensor, "s b"]) -> Float[Tensor, "b"]:
    """log (1/S) sum_s w_s of whole-sequence weights (Burda et al. 2016, arXiv 1509.00519), nats."""
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def evidence_log_density(layout: StateLayout, trace: Trace) -> Float[Tensor, "b t"]:
    """log N(evidence mean; z_t, 1 / precision) over the fields that a frame itself shows, nats.

    Stands in for log p(x_t | z_t) where only the evidence of a frame is at hand, not its pixels. What was
    not observed (precision 0) counts nothing.
    """
    mean, precision = trace.evidence.mean, trace.evidence.precision
    seen = precision > 0
    std = torch.where(seen, precision, 1.0).rsqrt()
    density = torch.where(seen, gaussian_log_density(mean, trace.z, std), 0.0)
    shown = [f.name for f in layout.fields if f.use != "prior" and f.difference_of is None]
    return sum(density[..., layout[name]].sum((-2, -1)) for name in shown)


@dataclass(frozen=True)
class Rollout:
    """Multi-step prediction: a rollout from frame `context` on, scored at the frames after it.

    Its term is log Laplace(position seen; position predicted, scale), isotropic in the plane, summed over
    slots: nats, but no part of the bound, so it carries a weight. scale: half-widths.
    """

    context: int = 8
    weight: float = 1.0
    scale: float = 0.02

    def log_density(
        self, seen: Float[Tensor, "b h k 2"], predicted: Float[Tensor, "b h k 2"]
    ) -> Float[Tensor, "b h"]:
        distance = ((seen - predicted).square().sum(-1) + 1e-6).sqrt()
        log_density = -distance / self.scale - math.log(2 * math.pi * self.scale**2)
        return log_density.sum(-1)


class TemporalELBO:
    """The temporal ELBO on clips of frames. start: the first frame, counted from 1, that enters."""

    def __init__(self, start: int = 3):
        self.start = start

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.video, nats a frame; the trace that they come from."""
        trace = model.filter(batch.video, batch.prev_actions, sample=True)
        return elbo(model, batch.video, trace, self.start), trace


class LatentELBO:
    """The temporal ELBO on clips of cached evidence: what was seen in a frame stands for its pixels.

    Trains dynamics and posterior alone, at a fraction of the cost of frames. With `rollout` the ELBO is that
    of the frames up to the rollout's context, and the frames after it are predicted: a frame imagined
    costs half of one inferred.

    sharpen: a factor on the evidence's precision, in this objective alone. Images that say little of a box's
    exact place make the encoder's stds several times its errors; with less noise in the context a rollout
    can learn finer motion.
    """

    def __init__(self, start: int = 3, rollout: Rollout | None = None, sharpen: float = 1.0):
        self.start, self.rollout, self.sharpen = start, rollout, sharpen

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.evidence, nats a frame; the trace that they come from.

        For the rollout the evidence's slots must be tracked: one order for a whole clip.
        """
        evidence, actions = batch.evidence, batch.prev_actions
        evidence = replace(evidence, precision=self.sharpen * evidence.precision)
        length = evidence.mean.shape[1]
        split = length if self.rollout is None else self.rollout.context
        given = evidence.map(lambda x: x[:, :split])
        trace = model.infer(given, part(actions, slice(split)), sample=True)
        terms = temporal_elbo(trace, {"evidence": evidence_log_density(model.layout, trace)}, self.start)
        if self.rollout is None:
            return terms, trace
        if "position" not in model.layout:
            raise UserError("objective.rollout: compares positions, and the model has none; give null")
        future = model.imagine(trace.carry, length - split, part(actions, slice(split, None)))
        seen = model.positions(evidence.mean)
        cost = squared_distances(model.positions(trace.evidence.mean)[:, -1], seen[:, split - 1])
        order = assign(cost, model.background_slots)
        seen = reorder(seen.transpose(1, 2), order).transpose(1, 2)[:, split:]
        log_density = self.rollout.log_density(seen, model.positions(future.z))
        values = {name: pad(value, (0, length - split)) for name, value in terms.values.items()}
        values["rollout"] = pad(log_density, (split - self.start + 1, 0))
        return Terms(values, {"rollout": self.rollout.weight}), trace


def part(actions: Int[Tensor, "b t"] | None, frames: slice) -> Int[Tensor, "b _"] | None:
    """The actions of some frames, where there are actions."""
    return None if actions is None else actions[:, frames]
