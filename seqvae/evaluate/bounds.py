"""Bounds on the log-likelihood of test sequences, in nats per frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqvae.data.conversion import to_video
from seqvae.data.sequences import Sequences
from seqvae.elbo import elbo, iwae
from seqvae.errors import UserError
from seqvae.evaluate.scores import FIRST
from seqvae.io import track
from seqvae.metrics import Estimate, estimate
from seqvae.metrics.statistics import Sources
from seqvae.rollout import check_lengths, device_of
from seqvae.sequence import SequenceModel, blank_missing

FRAMES = 2048  # scored at once
NO_BOUND = "no normalised bound"


@dataclass(frozen=True)
class Bound:
    """Bound in nats per frame, over the frames `first` to `last`.

    With first = 1 these bound log p(x_1:T). With a later one, say 3, they bound log E[p(x_3:T | z_1:2)] under
    the encoder's q(z_1:2 | x_1:2), which can exceed log p(x_3:T | x_1:2) by any amount. A model with terms
    that are no densities has neither bound; its objective is comparable only with itself.

    first: number of the first frame that counts, from 1
    last: number of the last one
    samples: draws from the posterior per sequence
    elbo: mean over draws, None without a normalised bound
    iwae: log-mean-exp over draws, None without a normalised bound
    objective: mean of the objective over draws; equals elbo where there is a normalised bound
    unnormalised: names of the terms that are no densities
    by_sequence: n, IWAE or objective of each sequence
    sources: n s, sources of the sequences (metrics.statistics), None where they are independent
    """

    first: int
    last: int
    samples: int
    elbo: Estimate | None
    iwae: Estimate | None
    objective: Estimate
    unnormalised: tuple[str, ...]
    by_sequence: Float[np.ndarray, "n"]
    sources: Int[np.ndarray, "n s"] | None = None

    @property
    def whole(self) -> bool:
        """True for a bound on whole sequences."""
        return self.first == 1


def reported(model: SequenceModel) -> tuple[int, ...]:
    """Return the first frames from which an evaluation counts: 1, and 3 as in the objective.

    Of a model without a normalised bound this is 3 alone.
    """
    return (FIRST,) if model.frame.unnormalised else (1, FIRST)


def bound(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 10,
    length: int | None = None,
    first: int = 1,
    observed: Bool[np.ndarray, "n t"] | None = None,
) -> Bound:
    """Return `bounds` of the frames from `first` on, by default of log p(x_1:T)."""
    return bounds(model, sequences, samples, length, (first,), observed)[0]


def bounds(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 10,
    length: int | None = None,
    firsts: tuple[int, ...] = (1, FIRST),
    observed: Bool[np.ndarray, "n t"] | None = None,
) -> list[Bound]:
    """Return ELBO and IWAE-S (Burda et al. 2016, arXiv 1509.00519) of sequences, T = `length` or all.

    The weights are summed over a sequence before the log-mean-exp, then divided by its frames. Of a model
    without a normalised bound one draw of its objective is taken.

    firsts: first frames that count, each for a Bound of its own from the same draws; numbers beyond T are
        left out, or T is taken if all are.
    observed: False for missing frames; bounded, and divided by their number, are then the observed ones.

    Raises:
        UserError: actions are missing, or no frame of a sequence was observed.
    """
    frames = sequences.frames[:, :length]
    total = frames.shape[1]
    firsts = tuple(first for first in firsts if first <= total) or (total,)
    device = device_of(model)
    prev_actions = check_lengths(model, frames, sequences.prev_actions, 1, total - 1)
    led_to = None if prev_actions is None else torch.as_tensor(prev_actions[:, :total], device=device)
    is_observed = None if observed is None else torch.as_tensor(observed[:, :total], device=device)
    draws = 1 if model.frame.unnormalised else samples
    size = max(1, FRAMES // total)
    blocks = []
    for start in track(range(0, len(frames), size), "bounds"):
        part = slice(start, start + size)
        video = to_video(torch.as_tensor(frames[part], device=device))
        actions, seen = (None if x is None else x[part] for x in (led_to, is_observed))
        blocks.append(_log_weights(model, video, actions, seen, firsts=firsts, draws=draws))
    weights = torch.cat(blocks, 2).double().cpu()  # f s n
    result = []
    for first, log_weights in zip(firsts, weights, strict=True):
        count = _count_frames(sequences.name, is_observed, first, total)
        mean, best = ((x / count).numpy() for x in (log_weights.mean(0), iwae(log_weights)))
        result.append(_bound(model, sequences.sources, (first, total, draws), mean, best))
    return result


def _bound(
    model: SequenceModel,
    sources: Sources,
    span: tuple[int, int, int],
    mean: Float[np.ndarray, "n"],
    best: Float[np.ndarray, "n"],
) -> Bound:
    """Make a Bound of each sequence's ELBO (or objective) and IWAE. span: first, last, samples."""
    average = estimate(mean, sources)
    if model.frame.unnormalised:
        return Bound(*span, None, None, average, tuple(sorted(model.frame.unnormalised)), mean, sources)
    return Bound(*span, average, estimate(best, sources), average, (), best, sources)


def _count_frames(
    name: str, observed: Bool[Tensor, "n t"] | None, first: int, last: int
) -> Int[Tensor, "*n"]:
    """Return the number of frames that count: one for all sequences, or of each where some are missing."""
    if observed is None:
        return torch.tensor(last - first + 1)
    count = observed[:, first - 1 :].sum(1).cpu()
    if (empty := (count == 0).nonzero()).numel():
        raise UserError(
            f"{name}: no frame from {first} on was observed in sequence {int(empty[0])}; leave it out"
        )
    return count


@torch.no_grad()
def _log_weights(
    model: SequenceModel,
    video: Float[Tensor, "b t c h w"],
    prev_actions: Int[Tensor, "b t"] | None,
    observed: Bool[Tensor, "b t"] | None,
    *,
    firsts: tuple[int, ...],
    draws: int,
) -> Float[Tensor, "f s b"]:
    """Return log p(x, z) - log q(z | x), summed over the frames from each of `firsts`, for draws from q."""
    encoding = model.frame.encode(blank_missing(video, observed))
    if observed is not None:
        encoding = encoding.observed(observed)
    weights = []
    for _ in range(draws):
        trace = model.infer(encoding, prev_actions, sample=True, observed=observed)
        by_frame = elbo(model, video, trace, observed=observed).bound()
        weights.append(torch.stack([by_frame[:, first - 1 :].sum(1) for first in firsts]))
    return torch.stack(weights, 1)
