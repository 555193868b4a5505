"""Long rollouts: whether a model's world keeps its energy and its objects, long after any data ends."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from seqvae import metrics
from seqvae.data.sources import Sequences
from seqvae.evaluate.objects import Truth
from seqvae.metrics import Estimate, estimate, estimate_ratio
from seqvae.rollout import imagine_far
from seqvae.sequence import SequenceModel
from seqvae.types import UserError

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
