"""Scores of predicted frames and masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from types import MappingProxyType

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Integer, UInt8

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.scores import FIRST, SHORT
from seqvae.evaluate.state_scores import straight_paths
from seqvae.evaluate.truth import Truth
from seqvae.rollout import DECODED, Rollout, device_of
from seqvae.sequence import SequenceModel

MODES = ("auto", "grey", "rgb")

# Errors of decoded frames, and of pictures that need no model.


@torch.no_grad()
def straight_frames(
    model: SequenceModel, rollout: Rollout, clamp: float, wall: Float[np.ndarray, "n s"] | None
) -> dict[str, Float[np.ndarray, "n horizon h w c"]]:
    """Return row -> decoded states of the last context frame, whose slots are left to themselves.

    Only the positions change: linear and bouncing. Empty without a prediction or velocities.

    clamp: coordinate where linear motion stops.
    wall: coordinate where each slot bounces; None: there is no such row.
    """
    last, horizon = rollout.context - 1, rollout.z.shape[1] - rollout.context
    if rollout.positions is None or rollout.velocities is None or horizon == 0:
        return {}
    paths = straight_paths(rollout.positions[:, last], rollout.velocities[:, last], horizon, clamp, wall)
    return {name: _decode_at(model, rollout, path) for name, (path, _) in paths.items() if name != "static"}


def _decode_at(
    model: SequenceModel, rollout: Rollout, path: Float[np.ndarray, "n horizon s 2"]
) -> Float[np.ndarray, "n horizon h w c"]:
    """Decode the last context state with the positions of a path."""
    last = rollout.context - 1
    z = torch.as_tensor(rollout.z[:, last : last + 1]).expand(-1, path.shape[1], -1, -1).clone()
    z[..., model.layout["position"]] = torch.as_tensor(path).to(z)
    steps = z.to(device_of(model)).split(max(1, DECODED // len(z)), 1)
    frames = torch.cat([model.frame.decode(step).frames for step in steps], 1).cpu()
    return rearrange(frames, "n t c h w -> n t h w c").numpy()


class PixelErrors:
    """Pixel errors of a model's frames, from frame `first` on, and of trivial pictures where it predicts."""

    def __init__(
        self,
        frames: UInt8[np.ndarray, "n t h w c"],
        mode: str,
        context: int,
        first: int,
        opaque: bool = False,
    ):
        """Look at the true frames of all sequences.

        mode: "grey" compares clipped channel sums (balls on black), "rgb" channels; "auto" takes grey
            where most of the data's pixels are exactly black, unless objects are opaque.
        first: number of the first frame of the model's errors, from 1.
        opaque: whether objects hide each other: then their colours tell which is nearer.

        Raises:
            UserError: the mode is unknown.
        """
        if mode not in MODES:
            raise UserError(f"pixels={mode}: expected auto, grey or rgb")
        black = float((frames[:, 0] == 0).all(-1).mean())
        self.mode = ("grey" if black > 0.5 and not opaque else "rgb") if mode == "auto" else mode
        self.context, self.first = context, first
        self.mean = self._mean_frame(frames)

    def rows(
        self,
        predicted: Float[np.ndarray, "n t h w _"],
        frames: UInt8[np.ndarray, "n t h w c"],
        straight: Mapping[str, Float[np.ndarray, "n horizon h w _"]] = MappingProxyType({}),
    ) -> dict[str, Float[np.ndarray, "n _"]]:
        """Return row -> errors.

        predicted: the model's frames, from frame 1 on.
        frames: the true ones.
        straight: row -> frames of the prediction if everything were left to itself.
        """
        truth, model = self.reduce(frames / np.float32(255)), self.reduce(predicted)
        truth, model = np.broadcast_arrays(truth, model)  # where only one of them is grey
        rows = {"model": metrics.pixel_mse(model[:, self.first - 1 :], truth[:, self.first - 1 :])}
        if predicted.shape[1] == self.context:
            return rows
        future = truth[:, self.context :]
        trivial = {
            "copy of the last frame": truth[:, self.context - 1 : self.context],
            "mean frame": self.mean,
            "black": np.zeros_like(self.mean),
        }
        rows |= {row: np.square(future - picture).mean((-3, -2, -1)) for row, picture in trivial.items()}
        for row, drawn in straight.items():
            rows[row] = metrics.pixel_mse(*np.broadcast_arrays(self.reduce(drawn), future))
        return rows

    def likeness(
        self,
        predicted: Float[np.ndarray, "n t h w _"],
        frames: UInt8[np.ndarray, "n t h w c"],
        straight: Mapping[str, Float[np.ndarray, "n horizon h w _"]] = MappingProxyType({}),
    ) -> dict[str, Float[np.ndarray, "n _"]]:
        """Return row -> SSIM: the model, the last frame copied, and frames drawn along straight paths.

        Empty for frames that are too small. Arguments are those of `rows`.
        """
        if not metrics.has_windows(*frames.shape[2:4]):
            return {}
        truth, model = np.broadcast_arrays(self.reduce(frames / np.float32(255)), self.reduce(predicted))
        rows = {"model": _ssim(model[:, self.first - 1 :], truth[:, self.first - 1 :])}
        if predicted.shape[1] == self.context:
            return rows
        future = truth[:, self.context :]
        drawn = {"copy of the last frame": truth[:, self.context - 1 : self.context]}
        drawn |= {row: self.reduce(x) for row, x in straight.items()}
        return rows | {row: _ssim(np.broadcast_to(x, future.shape), future) for row, x in drawn.items()}

    def reduce(self, frames: Float[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "n t h w _"]:
        """Return frames as they are compared."""
        frames = metrics.drop_equal_channels(frames)
        return metrics.to_grey(frames) if self.mode == "grey" else frames

    def _mean_frame(self, frames: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "1 1 h w _"]:
        """Return the mean of all frames, as they are compared."""
        means = (self.reduce(clip[None] / np.float32(255)).mean(1, keepdims=True) for clip in frames)
        return reduce(np.add, means) / np.float32(len(frames))


def _ssim(
    predicted: Float[np.ndarray, "n t h w _"], truth: Float[np.ndarray, "n t h w _"]
) -> Float[np.ndarray, "n t"]:
    """Return the SSIM of frames, a sequence at a time: what it works on then fits into a cache."""
    return np.stack([metrics.ssim(a, b) for a, b in zip(predicted, truth, strict=True)])


# Scores of masks: the model's, and of true shapes that stay, go straight on or bounce.

SCORES = {
    "fg_ari": metrics.foreground_ari,
    "ari": metrics.adjusted_rand_index,
    "mean_iou": metrics.mean_iou,
}
SHAPE_ROWS = {  # of straight_paths -> row
    "static": "true shapes, copied",
    "linear": "true shapes, moved straight",
    "bouncing": "true shapes, moved straight and bouncing",
}
COPY = "its masks of the last frame, copied"
MaskScores = dict[str, Float[np.ndarray, "n"]]  # score and span -> mean over the span's frames


def segmentation(rollout: Rollout, masks: UInt8[np.ndarray, "n t h w"]) -> dict[str, MaskScores]:
    """Return row -> scores of masks: the model, and its last masks copied. Empty for rollouts without masks.

    Spans: reconstruction (frames 3-context), attention (the encoder's own masks in these frames, for models
    that have them), predicted 1-10, and 10 alone.
    """
    if rollout.masks is None:
        return {}
    labels, context = labels_of(rollout.masks), rollout.context
    reconstructed = range(min(FIRST, context) - 1, context)
    model = _span_scores("reconstruction", labels, masks, reconstructed)
    if rollout.attention is not None:
        model |= _span_scores("attention", labels_of(rollout.attention), masks, reconstructed)
    rows = {"model": model | _predicted_scores(labels[:, context:], masks[:, context:])}
    if labels.shape[1] > context:
        copied = np.broadcast_to(labels[:, context - 1 : context], labels[:, context:].shape)
        rows[COPY] = _predicted_scores(copied, masks[:, context:])
    return rows


def shape_baselines(
    sequences: Sequences, truth: Truth, context: int, horizon: int, clamp: float
) -> dict[str, MaskScores]:
    """Return row -> scores of the true shapes of the last context frame, left to themselves.

    They move as `straight_paths` says, and cover each other by their true layers. Empty where the data has
    no masks, layers or radii.
    """
    length = min(SHORT, horizon)
    if sequences.masks is None or sequences.layers is None or truth.radii is None or length == 0:
        return {}
    last = context - 1
    start, layers = truth.positions[:, last], sequences.layers[:, last]
    shapes = metrics.complete_shapes(sequences.masks[:, last], layers, start, truth.radii[:, last])
    velocity = None if truth.velocities is None else truth.velocities[:, last]
    wall = None if truth.walls is None else truth.walls[:, last]
    future = sequences.masks[:, context : context + length]
    return {
        SHAPE_ROWS[name]: _predicted_scores(
            metrics.move_shapes(shapes, layers, path - start[:, None]), future
        )
        for name, (path, _) in straight_paths(start, velocity, length, clamp, wall).items()
    }


def labels_of(masks: Float[np.ndarray, "n t k h w"]) -> Integer[np.ndarray, "n t h w"]:
    """Return the slot that shows most at each pixel; pixels that none shows are a segment of their own."""
    nothing = 1 - masks.sum(2, keepdims=True)
    return np.concatenate([masks, nothing], 2).argmax(2)


def _predicted_scores(
    labels: Integer[np.ndarray, "n t h w"], masks: UInt8[np.ndarray, "n t h w"]
) -> MaskScores:
    """Return the scores of predicted frames 1-10 (or as many as there are) and of the tenth."""
    length = min(SHORT, labels.shape[1])
    spans = {f"1_{SHORT}": range(length), f"at_{SHORT}": range(SHORT - 1, length)}
    scores: MaskScores = {}
    for span, times in spans.items():
        scores |= _span_scores(span, labels, masks, times)
    return scores


def _span_scores(
    span: str,
    labels: Integer[np.ndarray, "n _ h w"],
    masks: UInt8[np.ndarray, "n _ h w"],
    times: Iterable[int],
) -> MaskScores:
    """Return every score of a span; there is none without frames."""
    times = list(times)
    if not times:
        return {}
    return {
        f"{name}_{span}": np.array(
            [
                _mean_where_defined([function(mask[t], label[t]) for t in times])
                for mask, label in zip(masks, labels, strict=True)
            ]
        )
        for name, function in SCORES.items()
    }


def _mean_where_defined(values: list[float]) -> float:
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")
