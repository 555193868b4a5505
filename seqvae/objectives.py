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

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.matching import assign, reorder, squared_distances
from seqvae.sequence import SequenceModel, blanked
from seqvae.types import Carry, Schedule, Terms, Trace


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
    frame_terms = model.frame.terms(blanked(video, observed), trace.z, trace.encoding, trace.context)
    return temporal_elbo(trace, frame_terms, start, model.frame.auxiliary, observed)


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


def encoding_log_density(layout: StateLayout, trace: Trace) -> Float[Tensor, "b t"]:
    """log N(encoding mean; z_t, 1 / precision) over the fields that a frame itself shows, nats.

    Stands in for log p(x_t | z_t) where only the encoding of a frame is at hand, not its pixels. What was
    not observed (precision 0) counts nothing.
    """
    mean, precision = trace.encoding.mean, trace.encoding.precision
    seen = precision > 0
    std = torch.where(seen, precision, 1.0).rsqrt()
    density = torch.where(seen, gaussian_log_density(mean, trace.z, std), 0.0)
    shown = [f.name for f in layout.fields if f.use != "dynamics" and f.difference_of is None]
    return sum(density[..., layout[name]].sum((-2, -1)) for name in shown)


@register()
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


class Objective:
    """What a training maximises: a function of a model and a batch of clips.

    start: the first frame, counted from 1, that enters
    context: frames of a clip that are given before the rest is predicted; 0 for no prediction
    """

    start: int = 1
    context: int = 0

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Return terms in nats per frame, and the trace that they come from.

        progress: the share of the training's budget that is used up, in [0, 1].
        """
        raise NotImplementedError


@register(Objective)
class TemporalELBO(Objective):
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


@register(Objective)
class LatentELBO(Objective):
    """The temporal ELBO on clips of cached encoding: what was seen in a frame stands for its pixels.

    Trains dynamics and posterior alone, at a fraction of the cost of frames. With `rollout` the ELBO is that
    of the frames up to the rollout's context, and the frames after it are predicted: a frame imagined
    costs half of one inferred.

    sharpen: a factor on the encoding's precision, in this objective alone. Images that say little of a box's
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
        self.context = 0 if rollout is None else rollout.context

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.encoding, nats a frame; the trace that they come from.

        For the rollout the encoding's slots must be tracked: one order for a whole clip.
        """
        encoding, actions, observed = batch.encoding, batch.prev_actions, observed_of(batch)
        encoding = replace(encoding, precision=self.sharpen * encoding.precision)
        if observed is not None:
            encoding = encoding.observed(observed)
        length = encoding.mean.shape[1]
        split = length if self.rollout is None else self.rollout.context
        given, known = slice(split), part(observed, slice(split))
        trace = model.infer(
            encoding.map(lambda x: x[:, given]), part(actions, given), sample=True, observed=known
        )
        frame_terms = {"evidence": encoding_log_density(model.layout, trace)}
        terms = temporal_elbo(trace, frame_terms, self.start, observed=known)
        if self.rollout is None:
            return terms, trace
        if "position" not in model.layout:
            raise UserError("objective.rollout: compares positions, and the model has none; give null")
        future = model.imagine(trace.carry, length - split, part(actions, slice(split, None)))
        seen = model.positions(encoding.mean)
        cost = squared_distances(
            at_last_seen(model.positions(trace.encoding.mean), known), at_last_seen(seen[:, :split], known)
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


# An objective for models that decode whole frames: the bound, a weight on its KL, and decoded rollouts.


@register()
@dataclass(frozen=True)
class FrameRollout:
    """Multi-step prediction: after `context` frames the rest of a clip is imagined, decoded and scored.

    Its term is log p(x_t | imagined z_t) of a deterministic rollout, as the evaluation makes it: nats, but
    no part of the bound, so it carries a weight. After the observation overshooting of Hafner et al. 2019
    (arXiv 1811.04551).
    """

    context: int = 8
    weight: float = 1.0


@register(Objective)
class FrameELBO(Objective):
    """The temporal ELBO with beta times its KL, and the term of a rollout if there is one.

    start: the first frame, counted from 1, that enters. beta: as in the beta-VAE (Higgins et al. 2017); with
    other values than 1 the sum is no bound, but the plain bound is reported beside it in any case. factors:
    term beside the bound -> a schedule on its weight.
    """

    def __init__(
        self,
        start: int = 1,
        beta: float = 1.0,
        rollout: FrameRollout | None = None,
        factors: Mapping[str, Schedule] | None = None,
    ):
        self.start, self.beta, self.rollout, self.factors = start, beta, rollout, dict(factors or {})
        self.context = 0 if rollout is None else rollout.context

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.video, nats a frame; the trace that they come from."""
        video, actions, observed = batch.video, batch.prev_actions, observed_of(batch)

        def infer(frames: slice, carry: Carry | None = None) -> Trace:
            led, known = part(actions, frames), part(observed, frames)
            return model.filter(video[:, frames], led, carry, observed=known, sample=True)

        if self.rollout is None:
            trace = infer(slice(None))
        else:
            split = self.rollout.context
            rest = slice(split, None)
            first = infer(slice(split))
            trace = first.then(infer(rest, first.carry))
        terms = elbo(model, video, trace, self.start, observed)
        values, weights = dict(terms.values), dict(terms.weights)
        for name, factor in self.factors.items():
            if name not in weights:
                raise UserError(f"objective.factors.{name}: {_known(weights)}")
            weights[name] *= factor(0, progress)
        if self.beta != 1:
            values["kl_beside"] = values["log_prior"] + values["neg_log_posterior"]
            weights["kl_beside"] = self.beta - 1
        terms = Terms(values, weights, terms.defined)
        if self.rollout is not None:
            known = part(observed, rest)
            predicted = _predicted(model, blanked(video[:, rest], known), first, part(actions, rest))
            terms = with_rollout(terms, predicted, split - self.start + 1, self.rollout.weight, known)
        return terms, trace


def _predicted(
    model: SequenceModel, video: Float[Tensor, "b h c _ _"], first: Trace, actions: Tensor | None
) -> Float[Tensor, "b h"]:
    """The frame model's terms of frames that a rollout from `first` imagines."""
    future = model.imagine(first.carry, video.shape[1], actions)
    return sum(model.frame.terms(video, future.z, None, future.context).values())


def _known(weights: Mapping[str, float]) -> str:
    names = ", ".join(weights) or "none"
    return f"the model has no such term beside the bound; it has {names}"


# Objectives for models that count: the gradient of a discrete number of objects, exact or by score function.
#
# A draw of a count has no derivative with respect to its probability. Within a frame all counts can be gone
# through; where a count has consequences in later frames it is drawn and the gradient is that of its
# log-probability, times what came of it.

BASELINE_WEIGHT = 1e-2  # of squares of hundreds of nats, which else would use up the clipped gradient


@register(Objective)
class EnumeratedELBO(Objective):
    """sum_n q(n | x_t) [ log p(x_t | z_n) + log p(z_n) - log q(z_n | x_t) ], n = 0 to K, exact in the count.

    For models whose frames are independent, so that a count matters in its own frame alone.
    anneal: a Schedule of the training's progress: each object is worth so many nats more, or below 0 fewer,
    beside the bound, which keeps the final prior. None: never.
    """

    start = 1

    def __init__(self, anneal: Schedule | None = None):
        self.anneal = anneal

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.video, nats a frame; a trace of one draw.

        Raises:
            UserError: the model does not count, or its frames depend on each other.
        """
        _require_counts(model, "EnumeratedELBO")
        if not model.dynamics.frames_independent:
            raise UserError(
                "objective: EnumeratedELBO goes through the counts of single frames, which here depend on "
                "each other; use ScoreFunctionELBO"
            )
        observed = observed_of(batch)
        trace = model.filter(batch.video, batch.prev_actions, observed=observed, sample=True)
        z, log_counts = trace.posterior.enumerate_support()
        video = blanked(batch.video, observed)
        frame_terms = model.frame.terms_by_count(video, z[-1], trace.encoding, trace.context)
        terms, defined = masked(frame_terms, observed)
        terms["log_prior"] = trace.prior.log_prob(z)
        terms["neg_log_posterior"] = -trace.posterior.log_prob(z)
        share = log_counts.exp()
        values = {name: (share * value).sum(0) for name, value in terms.items()}
        expected = (share * z[..., 0].sum(-1)).sum(0)
        return _annealed(Terms(values, defined=defined), expected, self.anneal, progress), trace


@register(Objective)
class ScoreFunctionELBO(Objective):
    """The temporal ELBO of one draw, with the gradient E[ (f - baseline) d log q(n) ] of the counts drawn.

    f is what a count leads to: the objective of its frame and, unless frames are independent, of all later
    ones. The baseline changes nothing in the mean (Williams 1992): the mean of the other sequences of the
    batch, and, where the posterior has a network for it, that network's guess (Mnih & Gregor 2014, NVIL,
    arXiv 1402.0030). anneal: as in EnumeratedELBO.
    """

    start = 1

    def __init__(self, anneal: Schedule | None = None):
        self.anneal = anneal

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.video, nats a frame; the trace that they come from.

        `score` has the value 0 and the gradient of the counts; `baseline` is what the guess learns from.

        Raises:
            UserError: the model does not count.
        """
        _require_counts(model, "ScoreFunctionELBO")
        observed = observed_of(batch)
        trace = model.filter(batch.video, batch.prev_actions, observed=observed, sample=True)
        terms = elbo(model, batch.video, trace, observed=observed)
        terms = _annealed(terms, trace.z[..., 0].sum(-1), self.anneal, progress)
        gain = terms.objective().detach()
        if not model.dynamics.frames_independent:
            gain = gain.flip(1).cumsum(1).flip(1)
        gain = gain - _mean_of_others(gain)
        values, weights = dict(terms.values), dict(terms.weights)
        guess = model.posterior.baseline(trace.encoding)
        if guess is not None:
            values["baseline"], weights["baseline"] = -0.5 * (gain - guess).square(), BASELINE_WEIGHT
            gain = gain - guess.detach()
        log_count = trace.posterior.log_count(trace.z)
        values["score"], weights["score"] = gain * (log_count - log_count.detach()), 1.0
        return replace(terms, values=values, weights=weights), trace


def _mean_of_others(x: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """For each sequence the mean over the others, which its own draw has no part in; 0 for a single one."""
    return (x.sum(0) - x) / max(len(x) - 1, 1)


def _annealed(terms: Terms, count: Float[Tensor, "b t"], anneal: Schedule | None, progress: float) -> Terms:
    """The terms, and beside them the number of objects, each worth what the schedule says, in nats.

    The bound with this is the bound under a geometric prior of another ratio, up to a constant.
    """
    if anneal is None:
        return terms
    values, weights = terms.values | {"count": count}, terms.weights | {"count": anneal(0, progress)}
    return replace(terms, values=values, weights=weights)


def _require_counts(model: SequenceModel, name: str) -> None:
    if not model.posterior.has_presence:
        raise UserError(
            f"objective: {name} is for models that count, with a posterior like AIRPosterior; use "
            "temporal_elbo or frame_elbo"
        )


# An objective for the spread of sampled futures: the energy score, a proper scoring rule.

TINY = 1e-8  # square half-widths: a distance of 0 has no gradient


def energy_score(samples: Float[Tensor, "s b t k 2"], seen: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t"]:
    """E|X - y| - E|X - X'| / 2 of each object's position, averaged over objects; lower is better.

    Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102. In expectation least, over all densities of X, for the
    density of y, so it rewards intervals that are right and not merely a good mean. X' runs over the other
    samples, which makes the estimate unbiased. Unit: that of the positions.
    """
    count = len(samples)
    error = _distance(samples, seen).mean(0)
    apart = _distance(samples[:, None], samples[None])
    others = 1 - torch.eye(count, device=apart.device, dtype=apart.dtype)
    between = torch.einsum("ij,ijbtk->btk", others, apart) / (count * (count - 1))
    return (error - between / 2).mean(-1)


@register(Objective)
class EnergyScore(Objective):
    """Minus the energy score of sampled rollouts against the positions that the encoder sees later.

    Filters `context` frames of a clip of encoding with sampled states, imagines the rest `samples` times,
    and scores the positions frame by frame. Fitting the `spread` of posterior and dynamics by it calibrates
    the model's sampled futures, and leaves the rollout of means as it is. The score is in half-widths, and
    no part of any bound.

    Raises:
        UserError: fewer than 2 samples.
    """

    def __init__(self, context: int = 8, samples: int = 4):
        if samples < 2:
            raise UserError(f"objective.samples={samples}: expected 2 or more, which are compared")
        self.context, self.samples = context, samples

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.encoding, whose slots must be tracked; the trace of all samples' contexts.

        Raises:
            UserError: the model has no positions.
        """
        if "position" not in model.layout:
            raise UserError("objective: EnergyScore compares positions, and the model has none")
        copies = self.samples
        actions, observed = (
            None if x is None else x.repeat(copies, 1) for x in (batch.prev_actions, observed_of(batch))
        )
        encoding = batch.encoding.map(lambda x: x.repeat(copies, *[1] * (x.dim() - 1)))
        if observed is not None:
            encoding = encoding.observed(observed)
        split, length = self.context, encoding.mean.shape[1]
        context, known = encoding.map(lambda x: x[:, :split]), part(observed, slice(split))
        trace = model.infer(context, part(actions, slice(split)), sample=True, observed=known)
        future = model.imagine(trace.carry, length - split, part(actions, slice(split, None)), sample=True)
        seen = model.positions(encoding.mean)
        cost = squared_distances(
            at_last_seen(seen[:, :split], known), at_last_seen(model.positions(trace.encoding.mean), known)
        )
        order = assign(cost, model.background_slots)  # of the trace's slots, as the encoding has them
        drawn = reorder(model.positions(future.z).transpose(1, 2), order).transpose(1, 2)
        objects = slice(model.background_slots, None)
        drawn, seen = (x[:, :, objects].unflatten(0, (copies, -1)) for x in (drawn, seen[:, split:]))
        value, there = -energy_score(drawn, seen[0]), followed(observed, split)
        if there is None:
            return Terms({"energy_score": value}, {"energy_score": 1.0}), trace
        there = there[: len(value)]
        value = value.masked_fill(~there, 0)
        return Terms({"energy_score": value}, {"energy_score": 1.0}, {"energy_score": there}), trace


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b).square().sum(-1) + TINY).sqrt()
