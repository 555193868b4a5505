"""`score`: the protocol on a model and some sequences, cheap enough to run during training."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.image_scores import PixelErrors, frames_left_alone, segmentation, shape_baselines
from seqvae.evaluate.scores import FIRST, Curve, Scores
from seqvae.evaluate.state_scores import Truth, object_curves, object_shares, require_slots, slot_order
from seqvae.metrics import Estimate, estimate
from seqvae.rollout import Rollout, roll_out_blocks
from seqvae.sequence import SequenceModel

HORIZON = 92  # the paper's: 100 frames, 8 of them given
CLAMPS = {"gravity": 0.9}  # where the linear baseline stops, in half-widths, by simulator: the paper's values
CLAMP = 0.8


def score(
    model: SequenceModel,
    sequences: Sequences,
    context: int = 8,
    horizon: int | None = None,
    decode: bool = False,
    pixels: str = "auto",
    baselines: bool = True,
) -> Scores:
    """Filter the context, imagine the horizon from the posterior's mean, and compare.

    horizon: by default 92, or what the data has; single images are only reconstructed. Without decode only
    latents are computed: position and velocity errors, found, context_swap (100 sequences: about a second).
    Of models that count, instead, how often they count right in the frames given: from frame to frame their
    slots stand for whatever comes first.
    With decode also pixel errors (`pixels`: see PixelErrors; linear and bouncing: the model's own states of
    the last context frame, left to themselves), and for models of masks the errors of their centroids and,
    where the data has masks, segmentation scores. Without baselines there is no row but the model's.

    Raises:
        UserError: sequences too short, actions missing, or fewer slots than objects in a model of objects.
    """
    context, horizon = usable_lengths(sequences, context, horizon)
    length, seen = context + horizon, min(FIRST, context)
    truth = Truth.of(sequences, length) if horizon else None
    clamp = CLAMPS.get(sequences.simulator or "", CLAMP)
    errors = PixelErrors(sequences.frames[:, :length], pixels, context, seen) if decode else None

    positions, velocities, pixel_rows, mask_rows, counts = [], [], [], [], []
    blocks = roll_out_blocks(model, sequences.frames, sequences.prev_actions, context, horizon, decode=decode)
    for where, rollout in blocks:
        positions.append(_positions(rollout, model.background_slots))
        if truth is not None and positions[-1] is not None:
            require_slots(model.frame.slots - model.background_slots, truth)
        velocities.append(rollout.velocities)
        if rollout.presence is not None:
            counts.append(rollout.presence[:, :context].sum(2))
        if errors is not None:
            wall = None if truth is None else _slot_walls(rollout, truth.part(where))
            alone = frames_left_alone(model, rollout, clamp, wall) if baselines else {}
            pixel_rows.append(errors.block(rollout.frames, sequences.frames[where, :length], alone))
        if rollout.masks is not None and sequences.masks is not None:
            mask_rows.append(segmentation(rollout, sequences.masks[where, :length]))

    curves: dict[str, dict[str, Curve]] = {"model": {}}
    shares: dict[str, Estimate] = {}
    masks: dict[str, dict[str, Estimate]] = {}
    sources = sequences.sources
    if truth is not None and positions[0] is not None:
        where = np.concatenate(positions).astype(np.float64)
        speed = None if velocities[0] is None else np.concatenate(velocities).astype(np.float64)
        curves |= object_curves(where, speed, truth, context, clamp, baselines)
        shares |= object_shares(where, truth, context)
    visible, table = sequences.visible() if counts else None, None
    if visible is not None:
        inferred, visible = np.concatenate(counts), visible[:, :context]
        shares["count_accuracy"] = estimate(metrics.count_accuracy(inferred, visible), sources)
        table = metrics.confusion(inferred, visible)
    for row in pixel_rows[0] if pixel_rows else ():
        if row == "model" or baselines:
            first = seen if row == "model" else context + 1
            curve = Curve(np.concatenate([rows[row] for rows in pixel_rows]), first, sources)
            curves[row] = curves.get(row, {}) | {"pixel_mse": curve}
    if mask_rows:
        names = mask_rows[0] if baselines else ("model",)
        found = {row: _joined([rows[row] for rows in mask_rows]) for row in names}
        if baselines and truth is not None:
            found |= shape_baselines(sequences, truth, context, horizon, clamp)
        masks = {row: _means(values, sources) for row, values in found.items()}
        shares |= masks["model"]
    count = None if sources is None else metrics.source_count(sources)
    return Scores(len(sequences), context, horizon, curves, shares, table, masks, count)


def usable_lengths(sequences: Sequences, context: int, horizon: int | None) -> tuple[int, int]:
    """Frames given and frames to predict: as asked for, 92 by default, or less where the data ends before.

    Of single images the one frame is given, and there is nothing to predict.

    Raises:
        UserError: the sequences are too short for the context and one frame more, or for the horizon asked.
    """
    length = sequences.frames.shape[1]
    if length == 1:
        return 1, 0
    if context < FIRST:
        raise UserError(f"context={context}: at least {FIRST} frames, as velocities take two to see")
    if length <= context:
        raise UserError(
            f"{sequences.name}: has {length} frames a sequence; context={context} needs at least one more"
        )
    if horizon is None:
        return context, min(HORIZON, length - context)
    if not 1 <= horizon <= length - context:
        raise UserError(
            f"horizon={horizon}: {sequences.name} has {length - context} frames after context={context}"
        )
    return context, horizon


def _positions(rollout: Rollout, background: int) -> Float[np.ndarray, "n t k 2"] | None:
    """Places, or centres of masks; those of the background are not a number.

    A slot whose mask is empty is where it was last seen. A mask that is not finite is not empty.
    """
    if rollout.presence is not None:
        return None
    if rollout.positions is None and rollout.masks is not None:
        seen = rollout.masks.any((-2, -1))
        centres = metrics.last_seen(metrics.mask_centroids(rollout.masks), seen)
        centres[:, :, :background] = np.nan
        return centres
    return rollout.positions


def _slot_walls(rollout: Rollout, truth: Truth) -> Float[np.ndarray, "n s"] | None:
    """Where each slot bounces: at the wall of its object; slots without one at the nearest wall of all."""
    if truth.walls is None or rollout.positions is None or rollout.presence is not None:
        return None
    last, positions = truth.walls[:, rollout.context - 1], rollout.positions.astype(np.float64)
    walls = np.full(positions.shape[::2], last.min())
    np.put_along_axis(walls, slot_order(positions, truth, rollout.context), last, axis=1)
    return walls


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _means(values: dict[str, np.ndarray], sources: np.ndarray | None) -> dict[str, Estimate]:
    """Means over the sequences in which a score is defined; it is not without objects, or without a frame."""
    kept = {name: metrics.defined(x, sources) for name, x in values.items()}
    return {name: estimate(*found) for name, found in kept.items() if len(found[0])}
