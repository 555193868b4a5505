"""An objective for models that decode whole frames: the bound, a weight on its KL, and decoded rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seqvae.objectives import elbo, observed_of, part, with_rollout
from seqvae.sequence import SequenceModel, blanked
from seqvae.types import Carry, Terms, Trace, UserError


@dataclass(frozen=True)
class FrameRollout:
    """Multi-step prediction: after `context` frames the rest of a clip is imagined, decoded and scored.

    Its term is log p(x_t | imagined z_t) of a deterministic rollout, as the evaluation makes it: nats, but
    no part of the bound, so it carries a weight. After the observation overshooting of Hafner et al. 2019
    (arXiv 1811.04551).
    """

    context: int = 8
    weight: float = 1.0


class FrameELBO:
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
        factors: Mapping[str, Any] | None = None,
    ):
        self.start, self.beta, self.rollout, self.factors = start, beta, rollout, dict(factors or {})

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
