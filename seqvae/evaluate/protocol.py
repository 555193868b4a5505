"""`score`: the protocol on a model and some sequences, cheap enough to run during training."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer

from seqvae import metrics
from seqvae.data.sources import Sequences
from seqvae.evaluate.objects import Truth, object_curves, object_shares, require_slots
from seqvae.evaluate.pixels import PixelErrors, linear_frames
from seqvae.evaluate.scores import FIRST, SHORT, Curve, Scores
from seqvae.metrics import Estimate, estimate
from seqvae.rollout import Rollout, roll_out_blocks
from seqvae.sequence import SequenceModel
from seqvae.types import UserError

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
) -> Scores:
    """Filter the context, imagine the horizon from the posterior's mean, and compare.

    horizon: by default 92, or what the data has; single images are only reconstructed. Without decode only
    latents are computed: position and velocity errors, found, context_swap (100 sequences: about a second).
    Of models that count, instead, how often they count right in the frames given: from frame to frame their
    slots stand for whatever comes first.
    With decode also pixel errors (`pixels`: see PixelErrors; linear: the model's own states of the last
    context frame, going straight on), and for models of masks the errors of their centroids and, where the
    data has masks, segmentation scores.

    Raises:
        UserError: sequences too short, actions missing, or fewer slots than objects in a model of objects.
    """
    context, horizon = usable_lengths(sequences, context, horizon)
    length, seen = context + horizon, min(FIRST, context)
    truth = Truth.of(sequences, length) if horizon else None
    clamp = CLAMPS.get(sequences.simulator or "", CLAMP)
    errors = PixelErrors(sequences.frames[:, :length], pixels, context, seen) if decode else None

    positions, velocities, pixel_rows, segmentations, counts = [], [], [], [], []
    blocks = roll_out_blocks(
        model, sequences.frames, sequences.prev_actions, context, horizon, decode=decode
    )
    for where, rollout in blocks:
        positions.append(_positions(rollout, model.background_slots))
        if truth is not None and positions[-1] is not None:
            require_slots(model.frame.slots - model.background_slots, truth)
        velocities.append(rollout.velocities)
        if rollout.presence is not None:
            counts.append(rollout.presence[:, :context].sum(2))
        if errors is not None:
            linear = linear_frames(model, rollout, clamp)
            pixel_rows.append(errors.block(rollout.frames, sequences.frames[where, :length], linear))
        if rollout.masks is not None and sequences.masks is not None:
            segmentations.append(_segmentation(rollout, sequences.masks[where, :length]))

    curves: dict[str, dict[str, Curve]] = {"model": {}}
    shares: dict[str, Estimate] = {}
    if truth is not None and positions[0] is not None:
        where = np.concatenate(positions).astype(np.float64)
        speed = None if velocities[0] is None else np.concatenate(velocities).astype(np.float64)
        curves |= object_curves(where, speed, truth, context, clamp)
        shares |= object_shares(where, truth, context)
    visible, table = sequences.visible() if counts else None, None
    if visible is not None:
        inferred, visible = np.concatenate(counts), visible[:, :context]
        shares["count_accuracy"] = estimate(metrics.count_accuracy(inferred, visible))
        table = metrics.confusion(inferred, visible)
    for row in pixel_rows[0] if pixel_rows else ():
        first = seen if row == "model" else context + 1
        curve = Curve(np.concatenate([rows[row] for rows in pixel_rows]), first)
        curves[row] = curves.get(row, {}) | {"pixel_mse": curve}
    for name in segmentations[0] if segmentations else ():
        values = np.concatenate([s[name] for s in segmentations])
        defined = values[~np.isnan(values)]  # it is not without objects, or without a frame
        if len(defined):
            shares[name] = estimate(defined)
    return Scores(len(sequences), context, horizon, curves, shares, table)


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
    """Places, or centres of masks; those of the background are not a number."""
    if rollout.presence is not None:
        return None
    if rollout.positions is None and rollout.masks is not None:
        centres = metrics.mask_centroids(rollout.masks)
        centres[:, :, :background] = np.nan
        return centres
    return rollout.positions


def _segmentation(rollout: Rollout, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Per sequence, averaged over frames: reconstruction (frames 3-context), predicted 1-10, and 10 alone.

    attention: the encoder's own masks in the frames of the reconstruction, for models that have them.
    """
    labels, context = _labels(rollout.masks), rollout.context
    seen = range(min(FIRST, context) - 1, context)
    length = labels.shape[1]
    spans = {
        "reconstruction": (labels, seen),
        f"1_{SHORT}": (labels, range(context, min(context + SHORT, length))),
        f"at_{SHORT}": (labels, range(context + SHORT - 1, min(context + SHORT, length))),
    }
    if rollout.attention is not None:
        spans["attention"] = (_labels(rollout.attention), seen)
    functions = {
        "fg_ari": metrics.foreground_ari,
        "ari": metrics.adjusted_rand_index,
        "mean_iou": metrics.mean_iou,
    }
    return {
        f"{name}_{span}": np.array([
            _mean_where_defined([function(mask[t], label[t]) for t in times])
            for mask, label in zip(masks, found, strict=True)
        ])
        for name, function in functions.items()
        for span, (found, times) in spans.items()
        if times
    }


def _labels(masks: Float[np.ndarray, "n t k h w"]) -> Integer[np.ndarray, "n t h w"]:
    """The slot that shows most at each pixel; what none shows is a segment of its own."""
    rest = 1 - masks.sum(2, keepdims=True)
    return np.concatenate([masks, rest], 2).argmax(2)


def _mean_where_defined(values: list[float]) -> float:
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")
