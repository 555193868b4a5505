"""An objective for the spread of sampled futures: the energy score, a proper scoring rule."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.matching import assign, reorder, squared_distances
from seqvae.objectives import at_last_seen, followed, observed_of, part
from seqvae.sequence import SequenceModel
from seqvae.types import Terms, Trace, UserError

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


class EnergyScore:
    """Minus the energy score of sampled rollouts against the positions that the encoder sees later.

    Filters `context` frames of a clip of evidence with sampled states, imagines the rest `samples` times,
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
        """Terms of batch.evidence, whose slots must be tracked; the trace of all samples' contexts.

        Raises:
            UserError: the model has no positions.
        """
        if "position" not in model.layout:
            raise UserError("objective: EnergyScore compares positions, and the model has none")
        copies = self.samples
        actions, observed = (
            None if x is None else x.repeat(copies, 1) for x in (batch.prev_actions, observed_of(batch))
        )
        evidence = batch.evidence.map(lambda x: x.repeat(copies, *[1] * (x.dim() - 1)))
        if observed is not None:
            evidence = evidence.observed(observed)
        split, length = self.context, evidence.mean.shape[1]
        context, known = evidence.map(lambda x: x[:, :split]), part(observed, slice(split))
        trace = model.infer(context, part(actions, slice(split)), sample=True, observed=known)
        future = model.imagine(trace.carry, length - split, part(actions, slice(split, None)), sample=True)
        seen = model.positions(evidence.mean)
        cost = squared_distances(
            at_last_seen(seen[:, :split], known), at_last_seen(model.positions(trace.evidence.mean), known)
        )
        order = assign(cost, model.background_slots)  # of the trace's slots, as the evidence has them
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
