"""Scores of predicted frames and masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Integer, UInt8

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.scores import FIRST, SHORT
from seqvae.evaluate.state_scores import Truth, straight_paths
from seqvae.rollout import DECODED, Rollout, device_of
from seqvae.sequence import SequenceModel

# Errors of decoded frames, and of pictures that need no model.


@torch.no_grad()
def frames_left_alone(
    model: SequenceModel, rollout: Rollout, clamp: float, wall: Float[np.ndarray, "n s"] | None
) -> dict[str, Float[np.ndarray, "n horizon h w c"]]:
    """Row -> decoded states of the last context frame, of which only the positions move: linear and bouncing.

    Empty without a prediction or velocities. clamp: where linear motion stops, in half-widths. wall: where
    each slot bounces; None: there is no such row.
    """
    last, horizon = rollout.context - 1, rollout.z.shape[1] - rollout.context
    if rollout.velocities is None or horizon == 0:
        return {}
    paths = straight_paths(rollout.positions[:, last], rollout.velocities[:, last], horizon, clamp, wall)
    return {name: _drawn(model, rollout, path) for name, (path, _) in paths.items() if name != "static"}


def _drawn(
    model: SequenceModel, rollout: Rollout, path: Float[np.ndarray, "n horizon s 2"]
) -> Float[np.ndarray, "n horizon h w c"]:
    """Frames of the last context state with the positions of `path`."""
    z = torch.as_tensor(rollout.z[:, rollout.context - 1 :][:, :1]).expand(-1, path.shape[1], -1, -1).clone()
    z[..., model.layout["position"]] = torch.as_tensor(path).to(z)
    steps = z.to(device_of(model)).split(max(1, DECODED // len(z)), 1)
    frames = torch.cat([model.frame.decode(step).frames for step in steps], 1).cpu()
    return rearrange(frames, "n t c h w -> n t h w c").numpy()


class PixelErrors:
    """Pixel errors of a model's frames, from frame `first` on, and of trivial pictures where it predicts.

    mode: "grey" compares clipped channel sums (balls on black), "rgb" channels; "auto" takes grey where
    most of the data's pixels are exactly black.

    Raises:
        UserError: unknown mode.
    """

    def __init__(self, frames: UInt8[np.ndarray, "n t h w c"], mode: str, context: int, first: int):
        if mode not in ("auto", "grey", "rgb"):
            raise UserError(f"pixels={mode}: expected auto, grey or rgb")
        black = float((frames[:, 0] == 0).all(-1).mean())
        self.mode = ("grey" if black > 0.5 else "rgb") if mode == "auto" else mode
        self.context, self.first = context, first
        self.mean = self._mean(frames)

    def block(
        self,
        predicted: Float[np.ndarray, "n t h w _"],
        frames: UInt8[np.ndarray, "n t h w c"],
        alone: Mapping[str, Float[np.ndarray, "n horizon h w _"]] = MappingProxyType({}),
    ) -> dict[str, Float[np.ndarray, "n _"]]:
        """Row -> errors. predicted: what the model makes of the same frames, from frame 1 on. alone:
        what it would, if everything were left to itself after the context."""
        truth, model = self.reduce(frames / np.float32(255)), self.reduce(predicted)
        truth, model = np.broadcast_arrays(truth, model)  # where only one of them is grey
        later = slice(self.context, None)
        rows = {"model": metrics.pixel_mse(model[:, self.first - 1 :], truth[:, self.first - 1 :])}
        if predicted.shape[1] > self.context:
            copy = truth[:, self.context - 1 : self.context]
            for row, picture in {
                "copy of the last frame": copy,
                "mean frame": self.mean,
                "black": np.zeros_like(self.mean),
            }.items():
                rows[row] = np.square(truth[:, later] - picture).mean((-3, -2, -1))
            for row, drawn in alone.items():
                rows[row] = metrics.pixel_mse(*np.broadcast_arrays(self.reduce(drawn), truth[:, later]))
        return rows

    def reduce(self, frames: Float[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "n t h w _"]:
        """Frames as they are compared."""
        frames = metrics.without_repeats(frames)
        return metrics.grey(frames) if self.mode == "grey" else frames

    def _mean(self, frames: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "1 1 h w _"]:
        """The mean of all frames, as they are compared."""
        means = (self.reduce(clip[None] / np.float32(255)).mean(1, keepdims=True) for clip in frames)
        return sum(means) / np.float32(len(frames))


# Scores of masks: the model's, and those of true shapes that stay, go straight on or bounce.

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
