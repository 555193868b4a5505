"""Bounds on the log-likelihood of test sequences, in nats a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from seqvae.data.sequences import Sequences, to_video
from seqvae.elbo import elbo, iwae
from seqvae.errors import UserError
from seqvae.evaluate.scores import FIRST
from seqvae.metrics import Estimate, estimate
from seqvae.rollout import check_lengths, device_of
from seqvae.sequence import SequenceModel, blanked

FRAMES = 2048  # scored at once
NO_BOUND = "no normalised bound"


@dataclass(frozen=True)
class Bound:
    """Nats a frame, over the frames `first` to `last`.

    With first = 1 these bound log p(x_1:T). With a later one, say 3, they bound log E[p(x_3:T | z_1:2)] under
    the encoder's q(z_1:2 | x_1:2), which can exceed log p(x_3:T | x_1:2) by any amount.

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

    @property
    def whole(self) -> bool:
        """Whether whole sequences are bounded."""
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
    without a normalised bound one draw of its objective is taken. firsts: the first frames that count, each
    for a Bound of its own from the same draws; those beyond T are left out, but for the last Bound.
    observed: False for missing frames; bounded, and divided by their number, are then the observed ones.

    Raises:
        UserError: actions are missing, or a sequence of which no frame was observed.
    """
    frames = sequences.frames[:, :length]
    total = frames.shape[1]
    counted = [first for first in firsts if first <= total] or [total]
    device = device_of(model)
    led = check_lengths(model, frames, sequences.prev_actions, 1, total - 1)
    before = None if led is None else torch.as_tensor(led[:, :total], device=device)
    seen = None if observed is None else torch.as_tensor(observed[:, :total], device=device)
    unnormalised = tuple(sorted(model.frame.unnormalised))
    draws = 1 if unnormalised else samples
    size = max(1, FRAMES // total)
    weights = []
    for start in range(0, len(frames), size):
        part = slice(start, start + size)
        video = to_video(torch.as_tensor(frames[part], device=device))
        given = (None if x is None else x[part] for x in (before, seen))
        weights.append(_log_weights(model, video, *given, counted, draws))
    weights = torch.cat(weights, 2).double().cpu()
    made, sources = [], sequences.sources
    for first, log_weights in zip(counted, weights, strict=True):
        count = _count(sequences.name, seen, first, total)
        mean, best = ((x / count).numpy() for x in (log_weights.mean(0), iwae(log_weights)))
        average, of = estimate(mean, sources), (first, total, draws)
        if unnormalised:
            made.append(Bound(*of, None, None, average, unnormalised, mean, sources))
        else:
            made.append(Bound(*of, average, estimate(best, sources), average, (), best, sources))
    return made


def _count(name: str, seen: Bool[torch.Tensor, "n t"] | None, first: int, last: int) -> torch.Tensor:
    """Return how many frames count: of all sequences alike, or of each that has missing ones."""
    if seen is None:
        return torch.tensor(last - first + 1)
    count = seen[:, first - 1 :].sum(1).cpu()
    if (empty := (count == 0).nonzero()).numel():
        raise UserError(
            f"{name}: no frame from {first} on was observed in sequence {int(empty[0])}; leave it out"
        )
    return count


@torch.no_grad()
def _log_weights(
    model: SequenceModel, video, before, seen, firsts: list[int], draws: int
) -> Float[torch.Tensor, "f s b"]:
    """Return log p(x, z) - log q(z | x), summed over the frames from each of `firsts`, for draws from q."""
    encoding = model.frame.encode(blanked(video, seen))
    if seen is not None:
        encoding = encoding.observed(seen)
    weights = []
    for _ in range(draws):
        trace = model.infer(encoding, before, sample=True, observed=seen)
        by_frame = elbo(model, video, trace, observed=seen).bound()
        weights.append(torch.stack([by_frame[:, first - 1 :].sum(1) for first in firsts]))
    return torch.stack(weights, 1)
