"""What sampled futures are worth: the best of S, their mean, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from seqvae import metrics
from seqvae.data.sources import Sequences
from seqvae.evaluate.objects import Truth, slot_order
from seqvae.evaluate.protocol import usable_lengths
from seqvae.evaluate.scores import SHORT
from seqvae.metrics import Estimate, estimate
from seqvae.rollout import roll_out
from seqvae.sequence import SequenceModel
from seqvae.types import UserError

LEVELS = (0.5, 0.9)
ENOUGH = 19  # samples, for the 90 % interval


def uncertainty(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 20,
    context: int = 8,
    horizon: int | None = None,
) -> dict[str, Estimate]:
    """Position errors of sampled futures over predicted 1-10 and all, and the coverage of their intervals.

    Each draw has an object order of its own. Coverage is the share of true coordinates inside the central
    interval; a calibrated model has 0.5 and 0.9. Frames without objects count nowhere. Empty for models or
    data without positions, and for models that count, whose slots follow nothing.

    Raises:
        UserError: fewer than 19 samples, or what `score` raises.
    """
    if samples < ENOUGH:
        raise UserError(f"samples={samples}: at least {ENOUGH}, as the 90 % interval needs them")
    context, horizon = usable_lengths(sequences, context, horizon)
    truth = Truth.of(sequences, context + horizon)
    if truth is None or "position" not in model.layout or "presence" in model.layout:
        return {}
    draws = np.stack([_draw(model, sequences, truth, context, horizon) for _ in range(samples)])
    future = truth.positions[:, context:]
    present = truth.present_in(slice(context, None))
    where = truth.lengths(future)
    errors = np.stack([metrics.euclidean_error(truth.lengths(draw), where, present) for draw in draws])
    result = {}
    for length in sorted({min(SHORT, horizon), horizon}):
        near, name = errors[:, :, :length], f"1_{length}"
        span = slice(context, context + length)
        present, defined = truth.present_in(span), truth.defined_in(span)
        some = None if defined is None else defined.any(1)
        least = metrics.best_of(near, defined)
        result[f"best_of_{samples}_{name}"] = estimate(least, truth.sources, some)
        result[f"mean_of_{samples}_{name}"] = estimate(near.mean(0), truth.sources, defined)
        for level in LEVELS:
            share = metrics.coverage(draws[:, :, :length], future[:, :length], level, present)
            key = f"coverage_{level:.0%}_{name}".replace("%", "")
            result[key] = estimate(share, truth.sources, defined)
    return {name: value for name, value in result.items() if value.n}


def _draw(
    model: SequenceModel, sequences: Sequences, truth: Truth, context: int, horizon: int
) -> Float[np.ndarray, "n t k 2"]:
    rollout = roll_out(model, sequences.frames, sequences.prev_actions, context, horizon, sample=True)
    positions = rollout.positions.astype(np.float64)
    order = slot_order(positions, truth, context, model.background_slots)
    return metrics.reorder(positions, order)[:, context:]
