"""Drawings on frames: boxes, captions, panels.

Frames are uint8. Places are coordinates of the picture, x in half-widths and y in half-heights.
"""

from __future__ import annotations

import numpy as np
from einops import repeat
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from data_gen.media.frames import Frames
from data_gen.media.overlays import COLOURS, INK, PAPER, draw_trails, font, to_pixels, upscale, zoom
from seqvae.metrics import drop_equal_channels
from seqvae.rollout import Rollout, as_bytes

CAPTION, GAP = 18, 4  # pixels
PREDICTED = (255, 170, 60)  # colour of captions of predicted frames, and of wrong counts


def draw_boxes(
    image: UInt8[np.ndarray, "h w 3"],
    centres: Float[np.ndarray, "k 2"],
    extents: Float[np.ndarray, "k 2"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one outlined box per slot, or crosses without extents. Slots that are not finite are left out.

    centres: k 2, coordinates.
    extents: k 2, half the width and height of boxes.
    """
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    points = to_pixels(centres, image.shape)
    pixels = np.array([image.shape[1], image.shape[0]]) / 2  # per unit of the coordinates
    for slot, (x, y) in enumerate(points):
        colour = COLOURS[slot % len(COLOURS)]
        dx, dy = (0.03, 0.03) * pixels if extents is None else np.abs(extents[slot]) * pixels
        if not np.isfinite([x, y, dx, dy]).all():
            continue
        if extents is None:
            pen.line([(x - dx, y), (x + dx, y)], fill=colour)
            pen.line([(x, y - dy), (x, y + dy)], fill=colour)
        else:
            pen.rectangle([x - dx, y - dy, x + dx, y + dy], outline=colour)
    return np.asarray(picture)


class Comparison:
    """Frames of a video: truth | model | difference, with boxes, trails and captions, drawn on demand.

    Where the data has ended, the panels of truth and difference say so. After a change of the slots the
    future is not one of the data, and the third panel shows the model's future without the change instead.
    """

    def __init__(
        self,
        truth: UInt8[np.ndarray, "_ h w _"] | None,
        model: UInt8[np.ndarray, "t h w c"],
        positions: Float[np.ndarray, "t k 2"] | None = None,
        extents: Float[np.ndarray, "t k 2"] | None = None,
        first_predicted: int | None = None,
        cloud: Float[np.ndarray, "s t k 2"] | None = None,
        unchanged: UInt8[np.ndarray, "t h w c"] | None = None,
        trail: int = 12,
    ) -> None:
        """Take what is to be drawn.

        truth: true frames, may be shorter, or None where there are none.
        model: the model's frames. Where they are grey, the difference is to the truth's clipped channel
            sum.
        positions: coordinates of slots, for boxes and trails.
        extents: half the width and height of boxes; without them crosses are drawn.
        first_predicted: array index of the first frame that the model has not seen, None: it saw all.
        cloud: positions in sampled futures, drawn as crosses.
        unchanged: the model's frames without the change that was made to its slots; None if there was none.
        trail: frames that a trail reaches back.
        """
        self.truth = model[:0] if truth is None else truth
        self.model, self.positions, self.extents, self.unchanged = model, positions, extents, unchanged
        self.first_predicted = len(model) if first_predicted is None else first_predicted
        self.cloud, self.trail, self.zoom = cloud, trail, zoom(model.shape[1])

    def __len__(self) -> int:
        return len(self.model)

    def __getitem__(self, t: int) -> UInt8[np.ndarray, "h w 3"]:
        if not 0 <= t < len(self):
            raise IndexError(t)
        return self._captioned({"truth": self._truth(t), **self._model(t), **self._beside(t)})

    def _truth(self, t: int) -> np.ndarray:
        return self._enlarged(self.truth[t]) if t < len(self.truth) else self._no_truth()

    def _model(self, t: int) -> dict[str, np.ndarray]:
        """Return the panel of the model under its caption, which says whether it has seen the frame."""
        panel = self._enlarged(self.model[t])
        for positions in () if self.cloud is None or t < self.first_predicted else self.cloud[:, t]:
            panel = draw_boxes(panel, positions)
        if self.positions is not None:
            panel = draw_trails(panel, self.positions[max(0, t - self.trail) : t + 1])
            extents = None if self.extents is None else self.extents[t]
            panel = draw_boxes(panel, self.positions[t], extents)
        after = t - self.first_predicted + 1
        changed = "" if self.unchanged is None else ", changed"
        return {f"model{changed}: predicted {after}" if after > 0 else f"model: context {t + 1}": panel}

    def _beside(self, t: int) -> dict[str, np.ndarray]:
        """Return the third panel: the difference, or the model's frame without the change."""
        if self.unchanged is not None:
            return {"model without the change": self._enlarged(self.unchanged[t])}
        if t >= len(self.truth):
            return {"difference": self._no_truth()}
        return {"difference": self._enlarged(_difference(self.model[t], self.truth[t]))}

    def _enlarged(self, frame: np.ndarray) -> np.ndarray:
        return upscale(as_rgb(frame), self.zoom)

    def _no_truth(self) -> np.ndarray:
        height, width = self.zoom * self.model.shape[1], self.zoom * self.model.shape[2]
        panel = Image.new("RGB", (width, height), PAPER)
        text = "no truth here" if not len(self.truth) else f"the data ends\nafter frame {len(self.truth)}"
        ImageDraw.Draw(panel).multiline_text(
            (width / 2, height / 2), text, fill=INK, font=font(), anchor="mm", align="center"
        )
        return np.asarray(panel)

    def _captioned(self, panels: dict[str, np.ndarray]) -> np.ndarray:
        """Put panels side by side under their captions."""
        height, width, _ = next(iter(panels.values())).shape
        sheet = Image.new("RGB", (len(panels) * (width + GAP) - GAP, height + CAPTION), PAPER)
        pen = ImageDraw.Draw(sheet)
        for i, (caption, panel) in enumerate(panels.items()):
            left = i * (width + GAP)
            sheet.paste(Image.fromarray(panel), (left, CAPTION))
            pen.text((left + 3, 2), caption, fill=PREDICTED if "predicted" in caption else INK, font=font())
        return np.asarray(sheet)


class Rows:
    """Frames of several videos of one size, one below the other."""

    def __init__(self, videos: list[Frames]) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return min(len(video) for video in self.videos)

    def __getitem__(self, t: int) -> UInt8[np.ndarray, "h w 3"]:
        return np.concatenate([video[t] for video in self.videos])


def compare(
    rollout: Rollout,
    i: int,
    truth: UInt8[np.ndarray, "_ h w c"] | None,
    cloud: Float[np.ndarray, "s t k 2"] | None = None,
    unchanged: Rollout | None = None,
) -> Comparison:
    """Return the video of sequence i of a decoded rollout. Sampled positions are drawn as crosses.

    unchanged: the decoded rollout without the change that was made to the slots of this one.

    Raises:
        ValueError: a rollout was not decoded.
    """
    positions, extents = (None if x is None else x[i] for x in (rollout.positions, rollout.extents))
    model, other = _pictures(rollout, i), None if unchanged is None else _pictures(unchanged, i)
    return Comparison(truth, model, positions, extents, rollout.first_predicted, cloud, other)


def _pictures(rollout: Rollout, i: int) -> UInt8[np.ndarray, "t h w c"]:
    if rollout.frames is None:
        raise ValueError("a rollout without frames cannot be compared; decode it")
    return as_bytes(drop_equal_channels(rollout.frames[i : i + 1]))[0]


def as_rgb(frames: UInt8[np.ndarray, "*t h w c"]) -> UInt8[np.ndarray, "*t h w 3"]:
    """Repeat the one channel of grey frames three times; RGB frames stay as they are."""
    return repeat(frames, "... 1 -> ... c", c=3) if frames.shape[-1] == 1 else frames


def _difference(
    model: UInt8[np.ndarray, "h w c"], truth: UInt8[np.ndarray, "h w _"]
) -> UInt8[np.ndarray, "h w c"]:
    levels = truth.astype(int)
    if model.shape[-1] == 1:
        levels = np.minimum(levels.sum(-1, keepdims=True), 255)
    return np.abs(model - levels).astype(np.uint8)
