"""Objectives: pure functions of a trace and the frame model's terms. Up is good; only the optimiser negates."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.sequence import SequenceModel
from seqvae.types import Terms, Trace


def temporal_elbo(
    trace: Trace,
    frame_terms: dict[str, Float[Tensor, "b t"]],
    start: int = 1,
    unnormalised: frozenset[str] = frozenset(),
) -> Terms:
    """The terms of E_q sum_t log p(x_t | z_t) + log p(z_t | z_<t) - log q(z_t | z_<t, x_<=t), by frame.

    start: the first frame (counted from 1) that enters: with start = 3 the sum bounds
    log p(x_3:T | x_1:2), as in Kossen et al. 2020. Frames before it are left out of the result.
    """
    values = dict(frame_terms)
    values["log_prior"] = trace.prior.log_prob(trace.z)
    values["neg_log_posterior"] = -trace.posterior.log_prob(trace.z)
    return Terms({name: v[:, start - 1 :] for name, v in values.items()}, unnormalised=unnormalised)


def elbo(model: SequenceModel, video, trace: Trace, start: int = 1) -> Terms:
    """`temporal_elbo` of a model on a video that it has filtered to `trace`."""
    frame_terms = model.frame.terms(video, trace.z, trace.evidence, trace.context)
    return temporal_elbo(trace, frame_terms, start, model.frame.unnormalised)


def iwae(log_weights: Float[Tensor, "s b"]) -> Float[Tensor, "b"]:
    """log (1/S) sum_s w_s of whole-sequence weights (Burda et al. 2016, arXiv 1509.00519), nats."""
    return torch.logsumexp(log_weights, 0) - torch.log(torch.tensor(log_weights.shape[0], dtype=log_weights.dtype))
