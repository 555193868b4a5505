"""Evidence lower bounds and what they are made of, as functions of a trace. Up is good; all in nats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seqvae.distributions import gaussian_log_density
from seqvae.layout import StateLayout
from seqvae.sequence import SequenceModel, blank_missing
from seqvae.tree import sum_tensors
from seqvae.types import Terms, Trace


def temporal_elbo(
    trace: Trace,
    frame_terms: Mapping[str, Float[Tensor, "b t"]],
    start: int = 1,
    weights: Mapping[str, float] | None = None,
    observed: Bool[Tensor, "b t"] | None = None,
) -> Terms:
    """Return the terms of E_q sum_t log p(x_t | z_t) + log p(z_t | z_<t) - log q(z_t | z_<t, x_<=t).

    With start = 1 the sum bounds log p(x_1:T). With start = 3, as in Kossen et al. 2020, and a filtering
    posterior it bounds log E[p(x_3:T | z_1:2)] under the *encoder's* q(z_1:2 | x_1:2). This is no bound of
    log p(x_3:T | x_1:2), which it can exceed by any amount: nothing holds q(z_1:2 | x_1:2) to the model.

    start: the first frame that enters, counted from 1; the result has no frames before it
    weights: of auxiliary frame terms, which are no part of the bound
    observed: False for missing frames, whose frame terms are 0; the sum then bounds the log-density of the
        observed frames
    """
    assert trace.posterior is not None, "an imagined trace has no bound"
    # 1. the likelihood, 0 in missing frames
    values, defined = mask_missing(frame_terms, observed)
    # 2. minus the KL, of one draw
    values["log_prior"] = trace.prior.log_prob(trace.z)
    given = trace.log_posterior
    values["neg_log_posterior"] = -(trace.posterior.log_prob(trace.z) if given is None else given)
    # 3. the frames that enter
    values, defined = ({name: v[:, start - 1 :] for name, v in of.items()} for of in (values, defined))
    return Terms(values, dict(weights or {}), defined)


def elbo(
    model: SequenceModel,
    video: Float[Tensor, "b t c h w"],
    trace: Trace,
    start: int = 1,
    observed: Bool[Tensor, "b t"] | None = None,
) -> Terms:
    """Return `temporal_elbo` of a model on a video that it has filtered to `trace`.

    Dynamics that read frames (`reads_frames`) read the model's own mean frame in place of a missing one; the
    sum is then the bound of a model that does so.
    """
    frame_terms = model.frame.terms(blank_missing(video, observed), trace.z, trace.encoding, trace.context)
    return temporal_elbo(trace, frame_terms, start, model.frame.auxiliary, observed)


def iwae(log_weights: Float[Tensor, "s b"]) -> Float[Tensor, "b"]:
    """Return log (1/S) sum_s w_s of whole-sequence weights (Burda et al. 2016, arXiv 1509.00519), nats."""
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def encoding_log_density(layout: StateLayout, trace: Trace) -> Float[Tensor, "b t"]:
    """Return log N(encoding mean; z_t, 1 / precision) over the fields that a frame itself shows, nats.

    Stands in for log p(x_t | z_t) if only the encoding of a frame is at hand, not its pixels. What was not
    observed (precision 0) adds nothing.
    """
    assert trace.encoding is not None, "an imagined trace has no encoding"
    mean, precision = trace.encoding.mean, trace.encoding.precision
    is_observed = precision > 0
    std = torch.where(is_observed, precision, 1.0).rsqrt()
    density = torch.where(is_observed, gaussian_log_density(mean, trace.z, std), 0.0)
    shown = [f.name for f in layout.fields if f.use != "dynamics" and f.difference_of is None]
    return sum_tensors(density[..., layout[name]].sum((-2, -1)) for name in shown)


def mask_missing(
    frame_terms: Mapping[str, Float[Tensor, "*n b t"]], observed: Bool[Tensor, "b t"] | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return frame terms that are 0 in missing frames, and per term the frames on which it is defined."""
    if observed is None:
        return dict(frame_terms), {}
    masked = {name: value.masked_fill(~observed, 0) for name, value in frame_terms.items()}
    return masked, dict.fromkeys(masked, observed)


def observed_frames(batch: Any) -> Bool[Tensor, "b t"] | None:
    """Return which frames of a batch were observed; None, for all of them, if the batch does not say."""
    return getattr(batch, "observed", None)
