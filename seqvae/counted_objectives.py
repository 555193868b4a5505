"""Objectives for models that count: the gradient of a discrete number of objects, exact or by score function.

A draw of a count has no derivative with respect to its probability. Within a frame all counts can be gone
through; where a count has consequences in later frames it is drawn and the gradient is that of its
log-probability, times what came of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seqvae.objectives import elbo, masked, observed_of
from seqvae.sequence import SequenceModel, blanked
from seqvae.types import Terms, Trace, UserError

BASELINE_WEIGHT = 1e-2  # of squares of hundreds of nats, which else would use up the clipped gradient


class EnumeratedELBO:
    """sum_n q(n | x_t) [ log p(x_t | z_n) + log p(z_n) - log q(z_n | x_t) ], n = 0 to K, exact in the count.

    For models whose frames are independent, so that a count matters in its own frame alone.
    anneal: a Schedule of the training's progress: each object is worth so many nats more, or below 0 fewer,
    beside the bound, which keeps the final prior. None: never.
    """

    start = 1

    def __init__(self, anneal: Any = None):
        self.anneal = anneal

    def __call__(self, model: SequenceModel, batch: Any, progress: float) -> tuple[Terms, Trace]:
        """Terms of batch.video, nats a frame; a trace of one draw.

        Raises:
            UserError: the model does not count, or its frames depend on each other.
        """
        _require_counts(model, "EnumeratedELBO")
        if not getattr(model.dynamics, "independent", False):
            raise UserError(
                "objective: EnumeratedELBO goes through the counts of single frames, which here depend on "
                "each other; use ScoreFunctionELBO"
            )
        observed = observed_of(batch)
        trace = model.filter(batch.video, batch.prev_actions, observed=observed, sample=True)
        z, log_counts = trace.posterior.support()
        video = blanked(batch.video, observed)
        frame_terms = model.frame.terms_by_count(video, z[-1], trace.evidence, trace.context)
        terms, defined = masked(frame_terms, observed)
        terms["log_prior"] = trace.prior.log_prob(z)
        terms["neg_log_posterior"] = -trace.posterior.log_prob(z)
        share = log_counts.exp()
        values = {name: (share * value).sum(0) for name, value in terms.items()}
        expected = (share * z[..., 0].sum(-1)).sum(0)
        return _annealed(Terms(values, defined=defined), expected, self.anneal, progress), trace


class ScoreFunctionELBO:
    """The temporal ELBO of one draw, with the gradient E[ (f - baseline) d log q(n) ] of the counts drawn.

    f is what a count leads to: the objective of its frame and, unless frames are independent, of all later
    ones. The baseline changes nothing in the mean (Williams 1992): the mean of the other sequences of the
    batch, and, where the posterior has a network for it, that network's guess (Mnih & Gregor 2014, NVIL,
    arXiv 1402.0030). anneal: as in EnumeratedELBO.
    """

    start = 1

    def __init__(self, anneal: Any = None):
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
        gain = terms.total().detach()
        if not getattr(model.dynamics, "independent", False):
            gain = gain.flip(1).cumsum(1).flip(1)
        gain = gain - _mean_of_others(gain)
        values, weights = dict(terms.values), dict(terms.weights)
        guess = getattr(model.posterior, "baseline", lambda evidence: None)(trace.evidence)
        if guess is not None:
            values["baseline"], weights["baseline"] = -0.5 * (gain - guess).square(), BASELINE_WEIGHT
            gain = gain - guess.detach()
        log_count = trace.posterior.log_count(trace.z)
        values["score"], weights["score"] = gain * (log_count - log_count.detach()), 1.0
        return replace(terms, values=values, weights=weights), trace


def _mean_of_others(x: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """For each sequence the mean over the others, which its own draw has no part in; 0 for a single one."""
    return (x.sum(0) - x) / max(len(x) - 1, 1)


def _annealed(terms: Terms, count: Float[Tensor, "b t"], anneal: Any, progress: float) -> Terms:
    """The terms, and beside them the number of objects, each worth what the schedule says, in nats.

    The bound with this is the bound under a geometric prior of another ratio, up to a constant.
    """
    if anneal is None:
        return terms
    values, weights = terms.values | {"count": count}, terms.weights | {"count": anneal(0, progress)}
    return replace(terms, values=values, weights=weights)


def _require_counts(model: SequenceModel, name: str) -> None:
    if not getattr(model.posterior, "counts", False):
        raise UserError(
            f"objective: {name} is for models that count, with a posterior like Counted; use temporal_elbo "
            "or frame_elbo"
        )
