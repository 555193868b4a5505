"""Sampled futures, and rollouts of many frames."""

from __future__ import annotations

from dataclasses import dataclass

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
CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # levels of a calibration curve
MIN_SAMPLES = 19  # for the 90 % interval


@dataclass(frozen=True)
class Futures:
    """Sampled futures of the objects, with the true one.

    positions: s n t k 2, over the predicted frames; each sample has a slot order of its own
    truth: true states, from frame 1 on
    context: number of frames given
    """

    positions: Float[np.ndarray, "s n t k 2"]
    truth: Truth
    context: int

    @property
    def horizon(self) -> int:
        """Number of predicted frames."""
        return self.positions.shape[2]

    @property
    def lengths(self) -> list[int]:
        """Lengths of the spans of predicted frames that are reported: 10 and all."""
        return sorted({min(SHORT, self.horizon), self.horizon})

    def errors(self) -> dict[str, Estimate]:
        """Return the position errors of the best sample and of the mean over samples, in each span."""
        truth, samples = self.truth, len(self.positions)
        true_future = truth.lengths(truth.positions[:, self.context :])
        present = truth.present_in(slice(self.context, None))
        errors = np.stack(
            [metrics.euclidean_error(truth.lengths(x), true_future, present) for x in self.positions]
        )
        result: dict[str, Estimate] = {}
        for length in self.lengths:
            window = self._window(length)
            defined, in_span = truth.defined_in(window), errors[:, :, :length]
            best = metrics.best_of(in_span, defined)
            has_objects = truth.has_objects_in(window)
            result[f"best_of_{samples}_1_{length}"] = estimate(best, truth.sources, has_objects)
            result[f"mean_of_{samples}_1_{length}"] = estimate(in_span.mean(0), truth.sources, defined)
        return result

    def coverage(self, level: float, length: int) -> Estimate:
        """Return the share of true coordinates inside the central interval, over predicted 1 to `length`."""
        window = self._window(length)
        predicted, true_future = self.positions[:, :, :length], self.truth.positions[:, window]
        share = metrics.coverage(predicted, true_future, level, self.truth.present_in(window))
        return estimate(share, self.truth.sources, self.truth.defined_in(window))

    def calibration(self) -> dict[str, dict[float, Estimate]]:
        """Return span -> level -> coverage, at the levels that so many samples have; spans without objects
        are left out."""
        curves = {
            f"1_{length}": {level: self.coverage(level, length) for level in CURVE} for length in self.lengths
        }
        return {span: curve for span, curve in curves.items() if all(value.n for value in curve.values())}

    def _window(self, length: int) -> slice:
        return slice(self.context, self.context + length)


def sample_futures(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 20,
    context: int = 8,
    horizon: int | None = None,
) -> Futures | None:
    """Draw futures of each sequence.

    None for models or data without positions, and for models that count, whose slots follow nothing.

    Raises:
        UserError: fewer than 19 samples, or for the reasons of `score`.
    """
    if samples < MIN_SAMPLES:
        raise UserError(f"samples={samples}: at least {MIN_SAMPLES}, as the 90 % interval needs them")
    context, horizon = usable_lengths(sequences, context, horizon)
    truth = Truth.of(sequences, context + horizon)
    if truth is None or "position" not in model.layout or "presence" in model.layout or not horizon:
        return None
    drawn = [
        _sample_positions(model, sequences, truth, context, horizon)
        for _ in track(range(samples), "sampled futures")
    ]
    return Futures(np.stack(drawn), truth, context)


def uncertainty(
    model: SequenceModel,
    sequences: Sequences,
    samples: int = 20,
    context: int = 8,
    horizon: int | None = None,
) -> dict[str, Estimate]:
    """Return `describe_futures` of sampled ones, empty where `sample_futures` draws none."""
    futures = sample_futures(model, sequences, samples, context, horizon)
    return {} if futures is None else describe_futures(futures)


def describe_futures(futures: Futures) -> dict[str, Estimate]:
    """Return position errors of sampled futures over predicted 1-10 and all, and coverages of intervals.

    Coverage is the share of true coordinates inside the central interval; a calibrated model has 0.5 and 0.9.
    Frames without objects count nowhere.
    """
    errors, result = futures.errors(), {}
    for length in futures.lengths:
        span = f"1_{length}"
        result |= {name: value for name, value in errors.items() if name.endswith(f"_{span}")}
        for level in LEVELS:
            result[f"coverage_{100 * level:.0f}_{span}"] = futures.coverage(level, length)
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
