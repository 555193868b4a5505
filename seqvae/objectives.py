"""Objectives: functions of a model and a batch of clips. Up is good; only the optimiser negates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import CountedNormal
from seqvae.elbo import elbo, encoding_log_density, mask_missing, observed_frames, temporal_elbo
from seqvae.errors import UserError
from seqvae.outcomes import add_outcomes
from seqvae.prediction import (
    FramePrediction,
    PositionPrediction,
    add_prediction,
    energy_score,
    followed,
    match_slots,
    reorder_slots,
)
from seqvae.sequence import SequenceModel, blank_missing
from seqvae.share import gather_rows
from seqvae.tree import slice_frames, sum_tensors
from seqvae.types import Encoding, Schedule, Terms, Trace

LEAST_PRECISION = 1e-6  # of a position that counts, so that its std is finite
BASELINE_WEIGHT = 1e-2  # of squares of hundreds of nats, which else use up the clipped gradient


class Objective:
    """A function of a model and a batch of clips, which a training maximises.

    All objectives leave out frames that `batch.observed` "b t", if there is one, marks as missing.

    start: the first frame that enters, counted from 1
    context: frames of a clip that are given before the rest is predicted; 0 for no prediction
    gathers_rows: whether processes that train together exchange what they see (seqvae/share.py)
    """

    start: int = 1
    context: int = 0

    gathers_rows: bool = False

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Return terms in nats per frame, and the trace from which they come.

        progress: the share of the training's budget that is used up, in [0, 1]
        """
        terms, trace = self.measure(model, batch)
        return self.scheduled(terms, progress), trace

    def measure(self, model: SequenceModel, batch: Any) -> tuple[Terms, Trace]:
        """Return what `__call__` does, before anything that depends on the progress.

        With `compile=true` it becomes one graph. An objective that has `__call__` instead is not compiled
        whole.
        """
        raise NotImplementedError

    def scheduled(self, terms: Terms, progress: float) -> Terms:
        """Return the terms with the weights that they have at this progress of the training."""
        return terms

    def begin(self, model: SequenceModel) -> None:  # noqa: B027  most objectives keep nothing
        """Keep what a stage needs of the model as it is at its beginning."""

    def state(self) -> dict[str, Tensor]:
        """Return what `begin` kept, for a checkpoint."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Continue with what `state` returned; called after `begin`."""


@register(Objective)
class ELBO(Objective):
    """E_q sum_t log p(x_t | z_t) + beta [ log p(z_t | z_<t) - log q(z_t | z_<t, x_<=t) ], t = start to T.

    `temporal_elbo` says what the sum bounds. The plain bound is reported whatever beta.

    start: the first frame that enters, counted from 1
    beta: weight of the KL, as in the beta-VAE (Higgins et al. 2017); with other values than 1 no bound
    rollout: prediction of the frames after a context; None for none
    factors: auxiliary term -> schedule that multiplies its weight
    reward_weight: of the terms `reward` and `end` of a model with a reward part, which are no part of the
        bound; with a rollout they are those of the imagined frames after the context
    """

    def __init__(
        self,
        start: int = 1,
        beta: float = 1.0,
        rollout: FramePrediction | None = None,
        factors: Mapping[str, Schedule] | None = None,
        reward_weight: float = 1.0,
    ):
        self.start, self.beta, self.rollout, self.factors = start, beta, rollout, dict(factors or {})
        self.reward_weight = reward_weight
        self.context = 0 if rollout is None else rollout.context

    def measure(self, model: SequenceModel, batch: Any) -> tuple[Terms, Trace]:
        """Return terms of batch.video, and the trace of the whole clip."""
        video, actions, observed = batch.video, batch.prev_actions, observed_frames(batch)
        if self.rollout is None:
            trace = model.filter(video, actions, observed=observed, sample=True)
            terms = elbo(model, video, trace, self.start, observed)
            terms = add_outcomes(model, batch, terms, trace.z, self.start, self.reward_weight)
            return self._with_kl_beside(terms), trace
        # 1. filter the context, then the rest from its carry
        frames, later = slice(self.context), slice(self.context, None)
        led, known = slice_frames(actions, frames), slice_frames(observed, frames)
        first = model.filter(video[:, frames], led, observed=known, sample=True)
        led, known = slice_frames(actions, later), slice_frames(observed, later)
        trace = first.then(model.filter(video[:, later], led, first.carry, known, sample=True))
        terms = elbo(model, video, trace, self.start, observed)
        # 2. imagine the rest from the same carry, and score its frames
        target = blank_missing(video[:, later], known)
        future = model.imagine(first.carry, target.shape[1], led)
        z = torch.cat([first.z, future.z], 1)
        terms = self._with_kl_beside(add_outcomes(model, batch, terms, z, self.start, self.reward_weight))
        predicted = sum_tensors(model.frame.terms(target, future.z, None, future.context).values())
        before = self.context - self.start + 1
        return add_prediction(terms, predicted, before, self.rollout.weight, known), trace

    def _with_kl_beside(self, terms: Terms) -> Terms:
        """Return the terms with the part of the KL beyond the bound."""
        if self.beta == 1:
            return terms
        beside = terms.values["log_prior"] + terms.values["neg_log_posterior"]
        values = terms.values | {"kl_beside": beside}
        return Terms(values, terms.weights | {"kl_beside": self.beta - 1}, terms.defined)

    def scheduled(self, terms: Terms, progress: float) -> Terms:
        """Return the terms with `factors` on their weights.

        Raises:
            UserError: a factor is of no term beside the bound.
        """
        weights = dict(terms.weights)
        for name, factor in self.factors.items():
            if name not in weights:
                has = ", ".join(weights) or "none"
                raise UserError(
                    f"objective.factors.{name}: the model has no such term beside the bound; it has {has}"
                )
            weights[name] *= factor(0, progress)
        return Terms(terms.values, weights, terms.defined)


@register(Objective)
class LatentELBO(Objective):
    """The temporal ELBO on clips of cached encodings, with the density of the encoding for that of the frame.

    Trains dynamics and posterior alone, at a fraction of the cost of frames. With `rollout` the ELBO is that
    of the context and the frames after it are predicted: an imagined frame costs half of an inferred one.

    start: the first frame that enters, counted from 1
    rollout: prediction of the positions after a context; None for none
    sharpen: a factor on the encoding's precision in this objective alone. If images say little of a box's
        exact place, the encoder's stds are several times its errors; with less noise in the context a rollout
        can learn finer motion
    reward_weight: as in ELBO

    Raises:
        UserError: the rollout begins before the ELBO does.
    """

    def __init__(
        self,
        start: int = 3,
        rollout: PositionPrediction | None = None,
        sharpen: float = 1.0,
        reward_weight: float = 1.0,
    ):
        if rollout is not None and rollout.context < start:
            raise UserError(
                f"objective.start={start}: the ELBO ends with the rollout's context, at frame "
                f"{rollout.context}; give a start of at most that, or a longer objective.rollout.context"
            )
        self.start, self.rollout, self.sharpen, self.reward_weight = start, rollout, sharpen, reward_weight
        self.context = 0 if rollout is None else rollout.context

    def measure(self, model: SequenceModel, batch: Any) -> tuple[Terms, Trace]:
        """Return terms of batch.encoding, and the trace of the frames that were inferred.

        For the rollout the slots of the encoding must be tracked: one order per clip.
        """
        actions, observed = batch.prev_actions, observed_frames(batch)
        encoding = replace(batch.encoding, precision=self.sharpen * batch.encoding.precision)
        if observed is not None:
            encoding = encoding.observed(observed)
        # 1. infer the context, or all
        length = encoding.mean.shape[1]
        split = length if self.rollout is None else self.context
        trace, known = _infer(model, encoding, actions, observed, split)
        frame_terms = {"evidence": encoding_log_density(model.layout, trace)}
        terms = temporal_elbo(trace, frame_terms, self.start, observed=known)
        if self.rollout is None:
            return add_outcomes(model, batch, terms, trace.z, self.start, self.reward_weight), trace
        if "position" not in model.layout:
            raise UserError("objective.rollout: compares positions, and the model has none; give null")
        # 2. imagine the rest, and score its positions
        where = model.layout["position"]
        future = model.imagine(trace.carry, length - split, slice_frames(actions, slice(split, None)))
        target = encoding.mean[..., where]
        order = match_slots(_encoded(trace)[..., where], target[:, :split], known, model.background_slots)
        target = reorder_slots(target, order)[:, split:]
        said = (target, future.z[..., where])
        if self.rollout.uncertain:
            precision = reorder_slots(encoding.precision[..., where], order)[:, split:]
            said = (*said, precision.clamp_min(LEAST_PRECISION).reciprocal().mean(-1).sqrt())
        log_density = self.rollout.log_density(*said)
        known, before = followed(observed, split), split - self.start + 1
        terms = add_prediction(terms, log_density, before, self.rollout.weight, known)
        # 3. score rewards and ends, those after the context by the imagined states
        z = torch.cat([trace.z, future.z], 1)
        return add_outcomes(model, batch, terms, z, self.start, self.reward_weight), trace


@register(Objective)
class EnumeratedELBO(Objective):
    """sum_n q(n | x_t) [ log p(x_t | z_n) + log p(z_n) - log q(z_n | x_t) ], n = 0 to K, exact in the count.

    For models whose frames are independent, so that a count matters in its own frame alone.

    anneal: worth of an object over the training, nats, added beside the bound, which keeps the final prior;
        None for none
    """

    def __init__(self, anneal: Schedule | None = None):
        self.anneal = anneal

    def measure(self, model: SequenceModel, batch: Any) -> tuple[Terms, Trace]:
        """Return terms of batch.video, and the trace of one draw.

        Raises:
            UserError: the model does not count, or its frames depend on each other.
        """
        _require_presence(model, "EnumeratedELBO")
        if not model.dynamics.frames_independent:
            raise UserError(
                "objective: EnumeratedELBO goes through the counts of single frames, which here depend on "
                "each other; use ScoreFunctionELBO"
            )
        # 1. the terms of every count
        observed = observed_frames(batch)
        trace = model.filter(batch.video, batch.prev_actions, observed=observed, sample=True)
        posterior = cast(CountedNormal, trace.posterior)
        z, log_counts = posterior.enumerate_support()  # n b t k d, n b t
        video = blank_missing(batch.video, observed)
        frame_terms = model.frame.terms_by_count(video, z[-1], trace.encoding, trace.context)
        terms, defined = mask_missing(frame_terms, observed)
        terms["log_prior"] = trace.prior.log_prob(z)
        terms["neg_log_posterior"] = -posterior.log_prob(z)
        # 2. their mean under q(n | x_t)
        share = log_counts.exp()
        values = {name: (share * value).sum(0) for name, value in terms.items()}
        count = (share * z[..., 0].sum(-1)).sum(0)
        if self.anneal is None:
            return Terms(values, defined=defined), trace
        return _with_count(Terms(values, defined=defined), count, 0.0), trace

    def scheduled(self, terms: Terms, progress: float) -> Terms:
        """Return the terms with the worth of an object at this progress."""
        if self.anneal is None:
            return terms
        return replace(terms, weights=terms.weights | {"count": self.anneal(0, progress)})


@register(Objective)
class ScoreFunctionELBO(Objective):
    """The temporal ELBO of one draw, with the gradient E[ (f - baseline) d log q(n) ] of the drawn counts.

    f is the objective of a count's own frame plus, unless frames are independent, that of all later ones. The
    baseline changes nothing in the mean (Williams 1992): it is the mean over the other sequences of the batch
    and, if the posterior has one, the guess of a network (Mnih & Gregor 2014, NVIL, arXiv 1402.0030).

    anneal: as in EnumeratedELBO
    """

    def __init__(self, anneal: Schedule | None = None):
        self.anneal = anneal

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Return terms of batch.video, and the trace from which they come.

        `score` has the value 0 and the gradient of the counts; `baseline` trains the guess.

        Raises:
            UserError: the model does not count.
        """
        _require_presence(model, "ScoreFunctionELBO")
        observed = observed_frames(batch)
        trace = model.filter(batch.video, batch.prev_actions, observed=observed, sample=True)
        terms = elbo(model, batch.video, trace, observed=observed)
        if self.anneal is not None:
            terms = _with_count(terms, trace.z[..., 0].sum(-1), self.anneal(0, progress))
        # 1. what a count gains over the baseline
        gain = terms.objective().detach()
        if not model.dynamics.frames_independent:
            gain = gain.flip(1).cumsum(1).flip(1)
        gain = gain - _mean_of_others(gain)
        values, weights = dict(terms.values), dict(terms.weights)
        guess = None if trace.encoding is None else model.posterior.baseline(trace.encoding)
        if guess is not None:
            values["baseline"], weights["baseline"] = -0.5 * (gain - guess).square(), BASELINE_WEIGHT
            gain = gain - guess.detach()
        # 2. the gain times the gradient of the count's log-probability
        log_count = cast(CountedNormal, trace.posterior).log_count(trace.z)
        values["score"], weights["score"] = gain * (log_count - log_count.detach()), 1.0
        return replace(terms, values=values, weights=weights), trace


@register(Objective)
class EnergyScore(Objective):
    """Minus the energy score of sampled rollouts against the positions that the encoder sees later.

    Filters the context of a clip of encodings with sampled states, imagines the rest `samples` times and
    scores the positions per frame. Fitting the `spread` of posterior and dynamics by it calibrates sampled
    futures, and leaves the rollout of means as it is. Half-widths, and no part of any bound.

    context: frames that are given
    samples: number of rollouts, at least 2

    Raises:
        UserError: fewer than 2 samples.
    """

    def __init__(self, context: int = 8, samples: int = 4):
        if samples < 2:
            raise UserError(f"objective.samples={samples}: expected 2 or more, which are compared")
        self.context, self.samples = context, samples

    def measure(self, model: SequenceModel, batch: Any) -> tuple[Terms, Trace]:
        """Return terms of batch.encoding, whose slots must be tracked, and the trace of all contexts.

        Raises:
            UserError: the model has no positions.
        """
        if "position" not in model.layout:
            raise UserError("objective: EnergyScore compares positions, and the model has none")
        # 1. infer the context, once per sample: (s b) t ...
        copies, split = self.samples, self.context
        actions, observed = (
            None if x is None else x.repeat(copies, 1) for x in (batch.prev_actions, observed_frames(batch))
        )
        encoding = batch.encoding.map(lambda x: x.repeat(copies, *[1] * (x.dim() - 1)))
        if observed is not None:
            encoding = encoding.observed(observed)
        trace, known = _infer(model, encoding, actions, observed, split)
        # 2. imagine the rest, with the slots in the order of the encoding
        horizon, where = encoding.mean.shape[1] - split, model.layout["position"]
        led = slice_frames(actions, slice(split, None))
        future = model.imagine(trace.carry, horizon, led, sample=True)
        target = encoding.mean[..., where]
        order = match_slots(target[:, :split], _encoded(trace)[..., where], known, model.background_slots)
        drawn = reorder_slots(future.z[..., where], order)
        # 3. score the objects' positions
        objects = slice(model.background_slots, None)
        drawn, target = (x[:, :, objects].unflatten(0, (copies, -1)) for x in (drawn, target[:, split:]))
        value, known = -energy_score(drawn, target[0]), followed(observed, split)
        if known is None:
            return Terms({"energy_score": value}, {"energy_score": 1.0}), trace
        known = known[: len(value)]
        value = value.masked_fill(~known, 0)
        return Terms({"energy_score": value}, {"energy_score": 1.0}, {"energy_score": known}), trace


def _infer(
    model: SequenceModel,
    encoding: Encoding,
    actions: Int[Tensor, "b t"] | None,
    observed: Bool[Tensor, "b t"] | None,
    split: int,
) -> tuple[Trace, Bool[Tensor, "b _"] | None]:
    """Infer the first frames with sampled states; return the trace, and which of the frames were observed."""
    first = slice(split)
    known = slice_frames(observed, first)
    given = encoding.map(lambda x: x[:, first])
    return model.infer(given, slice_frames(actions, first), sample=True, observed=known), known


def _encoded(trace: Trace) -> Float[Tensor, "b t k e"]:
    """Return the means of the encoding in the trace's slot order."""
    assert trace.encoding is not None, "an imagined trace has no encoding"
    return trace.encoding.mean


def _mean_of_others(x: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Return, per sequence, the mean over the others, which its own draw does not enter; 0 without others."""
    everyone = gather_rows(x)
    return (everyone.sum(0) - x) / max(len(everyone) - 1, 1)


def _with_count(terms: Terms, count: Float[Tensor, "b t"], worth: float) -> Terms:
    """Add the number of objects as an auxiliary term, each worth so many nats.

    The bound with this is the bound under a geometric prior of another ratio, up to a constant.
    """
    values, weights = terms.values | {"count": count}, terms.weights | {"count": worth}
    return replace(terms, values=values, weights=weights)


def _require_presence(model: SequenceModel, name: str) -> None:
    if not model.posterior.has_presence:
        raise UserError(
            f"objective: {name} is for models that count, with a posterior like AIRPosterior; use "
            "temporal_elbo or frame_elbo"
        )
