"""Sampled futures, and rollouts of many frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.protocol import usable_lengths
from seqvae.evaluate.scores import SHORT
from seqvae.evaluate.state_scores import Truth, slot_order
from seqvae.metrics import Estimate, estimate, estimate_ratio
from seqvae.rollout import imagine_far, roll_out
from seqvae.sequence import SequenceModel

# What sampled futures are worth: the best of S, their mean, and the coverage of their intervals.

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


# Long rollouts: whether a model's world keeps its energy and its objects, long after any data ends.

MARKS = (92, 1_000, 10_000, 100_000)
BLOCK = 512  # sequences at once: the cost of a step hardly depends on it


def long_rollouts(
    model: SequenceModel, sequences: Sequences, horizon: int = 1_000, context: int = 8
) -> dict[int, dict[str, Estimate]]:
    """Predicted frame -> energy_ratio, in_box, distinct_objects; at 92, 1,000, ... and at the horizon.

    energy_ratio: mean kinetic energy of slots of equal mass over its value at the end of the context, as the
    filter has it. energy_over_truth: the same over the true value there, where the data has velocities.
    in_box: share of slots inside the frame. distinct_objects: how many remain (see metrics). Only latents are
    computed, and only the marked frames are kept.

    Raises:
        UserError: the model has no positions and velocities, or needs actions; the world has no walls.
    """
    if "position" not in model.layout or "velocity" not in model.layout:
        raise UserError(f"long={horizon}: the model has no positions and velocities to follow")
    if sequences.simulator == "gravity":
        raise UserError(f"long={horizon}: gravity has no walls, its bodies leave the frame by themselves")
    radius = 0.2
    if sequences.radii is not None:
        radius = float(sequences.radii.min() * 2 / sequences.coord_limit)
    marks = sorted({m for m in MARKS if m < horizon} | {horizon})
    parts = [
        _states_at(model, sequences.frames[start : start + BLOCK], context, [0, *marks])
        for start in range(0, len(sequences), BLOCK)
    ]
    states = np.concatenate(parts, axis=1).astype(np.float64)[:, :, model.background_slots :]  # mark n k d
    positions, velocities = states[..., model.layout["position"]], states[..., model.layout["velocity"]]
    aspect, sources = sequences.frames.shape[2] / sequences.frames.shape[3], sequences.sources
    energy = metrics.kinetic_energy(velocities * np.array([1.0, aspect]))
    starts = {"energy_ratio": energy[0]}
    if sequences.velocities is not None:
        starts["energy_over_truth"] = _true_energy(sequences, context)
    return {
        mark: {
            **{name: estimate_ratio(energy[i], start, sources) for name, start in starts.items()},
            "in_box": estimate(metrics.in_box(positions[i]), sources),
            "distinct_objects": estimate(metrics.distinct_objects(positions[i], radius, aspect), sources),
        }
        for i, mark in enumerate(marks, start=1)
    }


def _true_energy(sequences: Sequences, context: int) -> Float[np.ndarray, "n"]:
    """True kinetic energy in the last frame of the context, of objects of equal mass."""
    truth = Truth.of(sequences, context)
    present = truth.present_in(slice(context - 1, None))
    masses = 1.0 if present is None else present[:, 0].astype(float)
    return metrics.kinetic_energy(truth.lengths(truth.velocities[:, context - 1]), masses)


def _states_at(model: SequenceModel, frames: np.ndarray, context: int, marks: list[int]) -> np.ndarray:
    """States (mark n k d) at marked predicted frames; 0 is the last frame of the context."""
    kept, frame = [], 0
    for z in imagine_far(model, frames, context, marks[-1]):
        for mark in marks:
            if frame <= mark < frame + z.shape[1]:
                kept.append(z[:, mark - frame].cpu().numpy())
        frame += z.shape[1]
    return np.stack(kept)
