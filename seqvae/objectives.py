"""Objectives: functions of a trace and the frame model's terms. Up is good; only the optimiser negates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.functional import pad

from seqvae.distributions import gaussian_log_density
from seqvae.layout import StateLayout
from seqvae.matching import assign, reorder, squared_distances
from seqvae.sequence import SequenceModel, blanked
from seqvae.types import Terms, Trace, UserError


def temporal_elbo(
    trace: Trace,
    frame_terms: dict[str, Float[Tensor, "b t"]],
    start: int = 1,
    weights: Mapping[str, float] | None = None,
    observed: Bool[Tensor, "b t"] | None = None,
) -> Terms:
    """The terms of E_q sum_t log p(x_t | z_t) + log p(z_t | z_<t) - log q(z_t | z_<t, x_<=t), by frame.

    start: the first frame (counted from 1) that enters; frames before it are left out of the result. With
    start = 1 the sum bounds log p(x_1:T). With start = 3, as in Kossen et al. 2020, and a filtering posterior
    it bounds log E[p(x_3:T | z_1:2)] under the *encoder's* q(z_1:2 | x_1:2). This is no bound of
    log p(x_3:T | x_1:2), which it can exceed by any amount: nothing holds q(z_1:2 | x_1:2) to the model.

    weights: of frame terms beside the bound. observed: False for missing frames, whose frame terms are 0: the
    sum then bounds the log-density of the frames that were observed.
    """
    values, defined = masked(frame_terms, observed)
    values["log_prior"] = trace.prior.log_prob(trace.z)
    known = trace.log_posterior
    values["neg_log_posterior"] = -(trace.posterior.log_prob(trace.z) if known is None else known)
    values, defined = ({name: v[:, start - 1 :] for name, v in of.items()} for of in (values, defined))
    return Terms(values, dict(weights or {}), defined)


def elbo(
    model: SequenceModel,
    video: Float[Tensor, "b t c h w"],
    trace: Trace,
    start: int = 1,
    observed: Bool[Tensor, "b t"] | None = None,
) -> Terms:
    """`temporal_elbo` of a model on a video that it has filtered to `trace`.

    Dynamics that read frames (`reads_frames`) read the model's own mean frame in place of a missing one; the
    sum is then the bound of a model that does so.
    """
    frame_terms = model.frame.terms(blanked(video, observed), trace.z, trace.evidence, trace.context)
    return temporal_elbo(trace, frame_terms, start, getattr(model.frame, "beside", None), observed)


def observed_of(batch: Any) -> Bool[Tensor, "b t"] | None:
    """Return which frames of a batch were observed; None, for all of them, if the batch does not say."""
    return getattr(batch, "observed", None)


def masked(
    frame_terms: Mapping[str, Float[Tensor, "*n b t"]], observed: Bool[Tensor, "b t"] | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return frame terms that are 0 where a frame is missing, and where each of them is defined."""
    if observed is None:
        return dict(frame_terms), {}
    masked = {name: value.masked_fill(~observed, 0) for name, value in frame_terms.items()}
    return masked, dict.fromkeys(masked, observed)


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
    """The temporal ELBO on clips of frames.

    start: the first frame, counted from 1, that enters; see `temporal_elbo` for what the sum then bounds. All
    objectives leave out frames that `batch.observed` "b t", where a batch has it, marks as missing.
    """

    def __init__(self, start: int = 3):
        self.start = start

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.video, nats a frame; the trace that they come from."""
        observed = observed_of(batch)
        trace = model.filter(batch.video, batch.prev_actions, observed=observed, sample=True)
        return elbo(model, batch.video, trace, self.start, observed), trace


class LatentELBO:
    """The temporal ELBO on clips of cached evidence: what was seen in a frame stands for its pixels.

    Trains dynamics and posterior alone, at a fraction of the cost of frames. With `rollout` the ELBO is that
    of the frames up to the rollout's context, and the frames after it are predicted: a frame imagined
    costs half of one inferred.

    sharpen: a factor on the evidence's precision, in this objective alone. Images that say little of a box's
    exact place make the encoder's stds several times its errors; with less noise in the context a rollout
    can learn finer motion.

    Raises:
        UserError: the rollout begins before the ELBO does.
    """

    def __init__(self, start: int = 3, rollout: Rollout | None = None, sharpen: float = 1.0):
        if rollout is not None and rollout.context < start:
            raise UserError(
                f"objective.start={start}: the ELBO ends with the rollout's context, at frame "
                f"{rollout.context}; give a start of at most that, or a longer objective.rollout.context"
            )
        self.start, self.rollout, self.sharpen = start, rollout, sharpen

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.evidence, nats a frame; the trace that they come from.

        For the rollout the evidence's slots must be tracked: one order for a whole clip.
        """
        evidence, actions, observed = batch.evidence, batch.prev_actions, observed_of(batch)
        evidence = replace(evidence, precision=self.sharpen * evidence.precision)
        if observed is not None:
            evidence = evidence.observed(observed)
        length = evidence.mean.shape[1]
        split = length if self.rollout is None else self.rollout.context
        given, known = slice(split), part(observed, slice(split))
        trace = model.infer(
            evidence.map(lambda x: x[:, given]), part(actions, given), sample=True, observed=known
        )
        frame_terms = {"evidence": evidence_log_density(model.layout, trace)}
        terms = temporal_elbo(trace, frame_terms, self.start, observed=known)
        if self.rollout is None:
            return terms, trace
        if "position" not in model.layout:
            raise UserError("objective.rollout: compares positions, and the model has none; give null")
        future = model.imagine(trace.carry, length - split, part(actions, slice(split, None)))
        seen = model.positions(evidence.mean)
        cost = squared_distances(
            at_last_seen(model.positions(trace.evidence.mean), known), at_last_seen(seen[:, :split], known)
        )
        order = assign(cost, model.background_slots)
        seen = reorder(seen.transpose(1, 2), order).transpose(1, 2)[:, split:]
        log_density = self.rollout.log_density(seen, model.positions(future.z))
        before = split - self.start + 1
        return with_rollout(terms, log_density, before, self.rollout.weight, followed(observed, split)), trace


def at_last_seen(
    x: Float[Tensor, "b t k xy"], observed: Bool[Tensor, "b t"] | None
) -> Float[Tensor, "b k xy"]:
    """Return each sequence's values at its last observed frame, where slots can be matched to a clip's."""
    if observed is None:
        return x[:, -1]
    last = (observed * torch.arange(observed.shape[1], device=observed.device)).amax(1)
    return x.take_along_dim(last[:, None, None, None], 1)[:, 0]


def followed(observed: Bool[Tensor, "b t"] | None, split: int) -> Bool[Tensor, "b h"] | None:
    """Return which frames from `split` on were observed, in clips of which something was seen before."""
    return None if observed is None else observed[:, split:] & observed[:, :split].any(1, keepdim=True)


def with_rollout(
    terms: Terms,
    log_density: Float[Tensor, "b h"],
    before: int,
    weight: float,
    observed: Bool[Tensor, "b h"] | None,
) -> Terms:
    """Add the term `rollout` of the frames that follow on the first `before` ones.

    Terms are padded with zeros to one length, and defined on the frames that they had.
    """
    there = torch.ones_like(log_density, dtype=torch.bool) if observed is None else observed
    values, defined, length = {}, {}, before + log_density.shape[1]
    for name, value in terms.values.items():
        missing = (0, length - value.shape[1])
        known = terms.defined.get(name, torch.ones_like(value, dtype=torch.bool))
        values[name], defined[name] = pad(value, missing), pad(known, missing, value=False)
    values["rollout"] = pad(log_density.masked_fill(~there, 0), (before, 0))
    defined["rollout"] = pad(there, (before, 0), value=False)
    return Terms(values, terms.weights | {"rollout": weight}, defined)


def part(x: Shaped[Tensor, "b t"] | None, frames: slice) -> Shaped[Tensor, "b _"] | None:
    """The values of some frames, such as actions, where there are any."""
    return None if x is None else x[:, frames]
