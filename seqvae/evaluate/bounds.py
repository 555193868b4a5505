"""Bounds on the log-likelihood of test sequences, in nats a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from seqvae.data.frames import to_video
from seqvae.data.sources import Sequences
from seqvae.evaluate.scores import FIRST
from seqvae.metrics import Estimate, estimate
from seqvae.objectives import elbo, iwae
from seqvae.rollout import check_lengths, device_of
from seqvae.sequence import SequenceModel

FRAMES = 2048  # scored at once
NO_BOUND = "no normalised bound"


@dataclass(frozen=True)
class Bound:
    """Nats a frame, over the frames `first` to `last` given those before.

    elbo: one draw of the posterior a sequence if samples is 1, else the mean over draws. iwae: with all of
    them. Of a model with terms that are no densities (`unnormalised`) neither exists; `objective` is then
    what it maximises, comparable only with itself. by_sequence: IWAE, or that objective, of each sequence;
    sources: what the sequences were made from (metrics.statistics), None where they are independent.
    """

    first: int
    last: int
    samples: int
    elbo: Estimate | None
    iwae: Estimate | None
    objective: Estimate | None
    unnormalised: tuple[str, ...]
    by_sequence: Float[np.ndarray, "n"]
    sources: Int[np.ndarray, "n s"] | None = None


def bound(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 10,
    length: int | None = None,
    first: int = FIRST,
) -> Bound:
    """ELBO and IWAE-S (Burda et al. 2016, arXiv 1509.00519) of log p(x_3:T | x_1:2), T = `length` or all.

    The weights are summed over a sequence before the log-mean-exp, then divided by its frames. Of a model
    without a normalised bound one draw of its objective is taken. first: the first frame that counts, 3 as
    in the objective; with 1 it is log p(x_1:T).

    Raises:
        UserError: actions are missing.
    """
    frames = sequences.frames[:, :length]
    total = frames.shape[1]
    first = min(first, total)
    led = check_lengths(model, frames, sequences.prev_actions, 1, total - 1)
    before = None if led is None else torch.as_tensor(led[:, :total], device=device_of(model))
    unnormalised = tuple(sorted(model.frame.unnormalised))
    draws = 1 if unnormalised else samples
    size = max(1, FRAMES // total)
    weights = []
    for start in range(0, len(frames), size):
        part = slice(start, start + size)
        video = to_video(torch.as_tensor(frames[part], device=device_of(model)))
        weights.append(_log_weights(model, video, None if before is None else before[part], first, draws))
    log_weights = torch.cat(weights, 1).double()
    count = total - first + 1

    mean, best = (x.cpu().numpy() / count for x in (log_weights.mean(0), iwae(log_weights)))
    average, sources = estimate(mean, sequences.sources), sequences.sources
    if unnormalised:
        return Bound(first, total, draws, None, None, average, unnormalised, mean, sources)
    return Bound(first, total, draws, average, estimate(best, sources), average, (), best, sources)


@torch.no_grad()
def _log_weights(model, video, before, first: int, draws: int) -> Float[torch.Tensor, "s b"]:
    """log p(x, z) - log q(z | x), summed over frames, for draws of z from q."""
    evidence = model.frame.encode(video)
    weights = []
    for _ in range(draws):
        trace = model.infer(evidence, before, sample=True)
        terms = elbo(model, video, trace, start=first)
        weights.append(terms.unweighted().sum(1))
    return torch.stack(weights)
