"""Sampled futures, and rollouts of many frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.protocol import usable_lengths
from seqvae.evaluate.scores import SHORT
from seqvae.evaluate.truth import Truth, slot_order
from seqvae.io import track
from seqvae.metrics import Estimate, estimate, estimate_ratio
from seqvae.rollout import imagine_far, roll_out
from seqvae.sequence import SequenceModel

# Sampled futures: the best of S, their mean, and the coverage of their intervals.

LEVELS = (0.5, 0.9)
MIN_SAMPLES = 19  # for the 90 % interval


def uncertainty(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 20,
    context: int = 8,
    horizon: int | None = None,
) -> dict[str, Estimate]:
    """Return position errors of sampled futures over predicted 1-10 and all, and coverages of intervals.

    Each sample has a slot order of its own. Coverage is the share of true coordinates inside the central
    interval; a calibrated model has 0.5 and 0.9. Frames without objects count nowhere. Empty for models or
    data without positions, and for models that count, whose slots follow nothing.

    Raises:
        UserError: fewer than 19 samples, or for the reasons of `score`.
    """
    if samples < MIN_SAMPLES:
        raise UserError(f"samples={samples}: at least {MIN_SAMPLES}, as the 90 % interval needs them")
    context, horizon = usable_lengths(sequences, context, horizon)
    truth = Truth.of(sequences, context + horizon)
    if truth is None or "position" not in model.layout or "presence" in model.layout:
        return {}
    drawn = [
        _sample_positions(model, sequences, truth, context, horizon)
        for _ in track(range(samples), "sampled futures")
    ]
    futures, true_future = np.stack(drawn), truth.positions[:, context:]  # s n t k 2, n t k 2
    present = truth.present_in(slice(context, None))
    errors = np.stack(
        [
            metrics.euclidean_error(truth.lengths(future), truth.lengths(true_future), present)
            for future in futures
        ]
    )
    result: dict[str, Estimate] = {}
    for length in sorted({min(SHORT, horizon), horizon}):
        window, predicted = slice(context, context + length), slice(length)
        present, defined = truth.present_in(window), truth.defined_in(window)
        in_span, span = errors[:, :, predicted], f"1_{length}"
        best = metrics.best_of(in_span, defined)
        result[f"best_of_{samples}_{span}"] = estimate(best, truth.sources, truth.has_objects_in(window))
        result[f"mean_of_{samples}_{span}"] = estimate(in_span.mean(0), truth.sources, defined)
        for level in LEVELS:
            share = metrics.coverage(futures[:, :, predicted], true_future[:, predicted], level, present)
            result[f"coverage_{100 * level:.0f}_{span}"] = estimate(share, truth.sources, defined)
    return {name: value for name, value in result.items() if value.n}


def _sample_positions(
    model: SequenceModel, sequences: Sequences, truth: Truth, context: int, horizon: int
) -> Float[np.ndarray, "n t k 2"]:
    """Draw one future of each sequence; return the predicted positions in the order of the objects."""
    rollout = roll_out(model, sequences.frames, sequences.prev_actions, context, horizon, sample=True)
    assert rollout.positions is not None  # the layout has a position
    positions = rollout.positions.astype(np.float64)
    order = slot_order(positions, truth, context, model.background_slots)
    return metrics.reorder(positions, order)[:, context:]


# Long rollouts: whether a model's world keeps its energy and its objects, long after any data ends.

MARKS = (92, 1_000, 10_000, 100_000)
BLOCK = 512  # sequences at once: the cost of a step hardly depends on it
RADIUS = 0.2  # half-widths, of objects whose size the data does not tell


def long_rollouts(
    model: SequenceModel, sequences: Sequences, horizon: int = 1_000, context: int = 8
) -> dict[int, dict[str, Estimate]]:
    """Return predicted frame -> energy_ratio, in_box, distinct_objects, at 92, 1,000, ... and the horizon.

    energy_ratio: mean kinetic energy of slots of equal mass over its value at the end of the context, as the
    filter has it. energy_over_truth: the same over the true value there, where the data has velocities.
    in_box: share of slots inside the frame. distinct_objects: number of different ones that remain (see
    metrics). Only latents are computed, and only the marked frames are kept.

    Raises:
        UserError: the model has no positions and velocities, or needs actions; the world has no walls.
    """
    _require_long(model, sequences, horizon)
    radius = RADIUS if sequences.radii is None else float(sequences.radii.min())
    marks = sorted({mark for mark in MARKS if mark < horizon} | {horizon})
    blocks = [
        _states_at(model, sequences.frames[start : start + BLOCK], context, [0, *marks])
        for start in range(0, len(sequences), BLOCK)
    ]
    states = np.concatenate(blocks, axis=1).astype(np.float64)[:, :, model.background_slots :]  # mark n k d
    positions, velocities = states[..., model.layout["position"]], states[..., model.layout["velocity"]]
    aspect, sources = sequences.aspect, sequences.sources
    energy = metrics.kinetic_energy(velocities * np.array([1.0, aspect]))
    initial = {"energy_ratio": energy[0]}
    if (truth := Truth.of(sequences, context)) is not None and truth.velocities is not None:
        initial["energy_over_truth"] = _true_energy(truth, truth.velocities)
    return {
        mark: {
            **{name: estimate_ratio(energy[i], start, sources) for name, start in initial.items()},
            "in_box": estimate(metrics.in_box(positions[i]), sources),
            "distinct_objects": estimate(metrics.distinct_objects(positions[i], radius, aspect), sources),
        }
        for i, mark in enumerate(marks, start=1)
    }


def _require_long(model: SequenceModel, sequences: Sequences, horizon: int) -> None:
    """Raise UserError where a long rollout says nothing."""
    if "position" not in model.layout or "velocity" not in model.layout:
        raise UserError(f"long={horizon}: the model has no positions and velocities to follow")
    if sequences.simulator == "gravity":
        raise UserError(f"long={horizon}: gravity has no walls, its bodies leave the frame by themselves")


def _true_energy(truth: Truth, velocities: Float[np.ndarray, "n t k 2"]) -> Float[np.ndarray, "n"]:
    """Return the true kinetic energy in the last frame, of objects of equal mass."""
    masses = 1.0 if truth.present is None else truth.present[:, -1].astype(float)
    return metrics.kinetic_energy(truth.lengths(velocities[:, -1]), masses)


def _states_at(
    model: SequenceModel, frames: np.ndarray, context: int, marks: list[int]
) -> Float[np.ndarray, "mark n k d"]:
    """Return the states in marked predicted frames; 0 is the last frame of the context."""
    kept, frame = [], 0
    for z in imagine_far(model, frames, context, marks[-1]):
        for mark in marks:
            if frame <= mark < frame + z.shape[1]:
                kept.append(z[:, mark - frame].cpu().numpy())
        frame += z.shape[1]
    return np.stack(kept)
