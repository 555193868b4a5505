"""Scores of masks: the model's, and those of true shapes that stay, go straight on or bounce."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Integer, UInt8

from seqvae import metrics
from seqvae.data.sources import Sequences
from seqvae.evaluate.objects import Truth, straight_paths
from seqvae.evaluate.scores import FIRST, SHORT
from seqvae.rollout import Rollout

SCORES = {
    "fg_ari": metrics.foreground_ari,
    "ari": metrics.adjusted_rand_index,
    "mean_iou": metrics.mean_iou,
}
# of straight_paths -> row
ROWS = {
    "static": "true shapes, copied",
    "linear": "true shapes, moved straight",
    "bouncing": "true shapes, moved straight and bouncing",
}
COPY = "its masks of the last frame, copied"


def segmentation(rollout: Rollout, masks: UInt8[np.ndarray, "n t h w"]) -> dict[str, dict[str, np.ndarray]]:
    """Row -> score -> value a sequence, averaged over frames: the model, and its last masks copied.

    Spans: reconstruction (frames 3-context), predicted 1-10, and 10 alone. attention: the encoder's own masks
    in the frames of the reconstruction, for models that have them.
    """
    labels, context = labels_of(rollout.masks), rollout.context
    seen = range(min(FIRST, context) - 1, context)
    rows = {"model": _scores("reconstruction", labels, masks, seen)}
    if rollout.attention is not None:
        rows["model"] |= _scores("attention", labels_of(rollout.attention), masks, seen)
    rows["model"] |= _predicted(labels[:, context:], masks[:, context:])
    if labels.shape[1] > context:
        copied = np.broadcast_to(labels[:, context - 1 : context], labels[:, context:].shape)
        rows[COPY] = _predicted(copied, masks[:, context:])
    return rows


def shape_baselines(
    sequences: Sequences, truth: Truth, context: int, horizon: int, clamp: float
) -> dict[str, dict[str, np.ndarray]]:
    """Row -> score -> value a sequence, of the true shapes of the last context frame, left to themselves.

    They move as `straight_paths` says, and cover each other by their true layers. Empty where the data has
    no masks, layers or radii.
    """
    length = min(SHORT, horizon)
    if sequences.masks is None or sequences.layers is None or truth.radii is None or length == 0:
        return {}
    last = context - 1
    start, layers = truth.positions[:, last], sequences.layers[:, last]
    shapes = metrics.whole_shapes(sequences.masks[:, last], layers, start, truth.radii[:, last])
    velocity = None if truth.velocities is None else truth.velocities[:, last]
    wall = None if truth.walls is None else truth.walls[:, last]
    ahead = sequences.masks[:, context : context + length]
    return {
        ROWS[name]: _predicted(metrics.moved_shapes(shapes, layers, path - start[:, None]), ahead)
        for name, (path, _) in straight_paths(start, velocity, length, clamp, wall).items()
    }


def labels_of(masks: Float[np.ndarray, "n t k h w"]) -> Integer[np.ndarray, "n t h w"]:
    """The slot that shows most at each pixel; what none shows is a segment of its own."""
    rest = 1 - masks.sum(2, keepdims=True)
    return np.concatenate([masks, rest], 2).argmax(2)


def _predicted(labels: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of predicted frames 1-10 (or as many as there are) and of the tenth."""
    length = labels.shape[1]
    spans = {f"1_{SHORT}": range(min(SHORT, length)), f"at_{SHORT}": range(SHORT - 1, min(SHORT, length))}
    found = [_scores(span, labels, masks, times) for span, times in spans.items()]
    return found[0] | found[1]


def _scores(span: str, labels: np.ndarray, masks: np.ndarray, times: Iterable[int]) -> dict[str, np.ndarray]:
    """Every score of a span, a value for each sequence: its mean over the frames in which it is defined."""
    times = list(times)
    return {
        f"{name}_{span}": np.array(
            [
                _mean_where_defined([function(mask[t], label[t]) for t in times])
                for mask, label in zip(masks, labels, strict=True)
            ]
        )
        for name, function in SCORES.items()
        if times
    }


def _mean_where_defined(values: list[float]) -> float:
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")
