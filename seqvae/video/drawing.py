"""Drawings on frames: boxes, captions, panels.

Frames are uint8. Places are coordinates of the picture, x in half-widths and y in half-heights.
"""

from __future__ import annotations

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Float, Int, UInt8
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
    """Frames of a video: truth | model | difference, with boxes, trails and captions, drawn on demand."""

    TITLES = ("truth", "model", "difference")

    def __init__(
        self,
        truth: UInt8[np.ndarray, "_ h w _"] | None,
        model: UInt8[np.ndarray, "t h w c"],
        positions: Float[np.ndarray, "t k 2"] | None = None,
        extents: Float[np.ndarray, "t k 2"] | None = None,
        first_predicted: int | None = None,
        cloud: Float[np.ndarray, "s t k 2"] | None = None,
        trail: int = 12,
    ) -> None:
        """Take what is to be drawn.

        truth: true frames, may be shorter, or None: its panel is then empty, and so is the difference.
        model: the model's frames. Where they are grey, the difference is to the truth's clipped channel
            sum.
        positions: coordinates of slots, for boxes and trails.
        extents: half the width and height of boxes; without them crosses are drawn.
        first_predicted: array index of the first frame that the model has not seen, None: it saw all.
        cloud: positions in sampled futures, drawn as crosses.
        trail: frames that a trail reaches back.
        """
        self.truth = model[:0] if truth is None else truth
        self.model, self.positions, self.extents = model, positions, extents
        self.first_predicted = len(model) if first_predicted is None else first_predicted
        self.cloud, self.trail, self.zoom = cloud, trail, zoom(model.shape[1])

    def __len__(self) -> int:
        return len(self.model)

    def __getitem__(self, t: int) -> UInt8[np.ndarray, "h w 3"]:
        if not 0 <= t < len(self):
            raise IndexError(t)
        model = self.model[t]
        panels = [np.zeros_like(model), model, np.zeros_like(model)]
        if t < len(self.truth):
            panels[0] = self.truth[t]
            panels[2] = _difference(model, self.truth[t])
        panels = [upscale(as_rgb(p), self.zoom) for p in panels]
        for positions in () if self.cloud is None or t < self.first_predicted else self.cloud[:, t]:
            panels[1] = draw_boxes(panels[1], positions)
        if self.positions is not None:
            panels[1] = draw_trails(panels[1], self.positions[max(0, t - self.trail) : t + 1])
            extents = None if self.extents is None else self.extents[t]
            panels[1] = draw_boxes(panels[1], self.positions[t], extents)
        return self._captioned(panels, t)

    def _captioned(self, panels: list[np.ndarray], t: int) -> np.ndarray:
        """Put panels side by side under their titles; the model's says whether it has seen the frame."""
        height, width, _ = panels[0].shape
        sheet = Image.new("RGB", (3 * width + 2 * GAP, height + CAPTION), PAPER)
        pen = ImageDraw.Draw(sheet)
        predicted = t >= self.first_predicted
        state = f"predicted {t - self.first_predicted + 1}" if predicted else f"context {t + 1}"
        for i, (panel, title) in enumerate(zip(panels, self.TITLES, strict=True)):
            left = i * (width + GAP)
            sheet.paste(Image.fromarray(panel), (left, CAPTION))
            is_model = title == "model"
            text = f"{title}: {state}" if is_model else title
            pen.text((left + 3, 2), text, fill=PREDICTED if is_model and predicted else INK, font=font())
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
) -> Comparison:
    """Return the video of sequence i of a decoded rollout. Sampled positions are drawn as crosses.

    Raises:
        ValueError: the rollout was not decoded.
    """
    if rollout.frames is None:
        raise ValueError("a rollout without frames cannot be compared; decode it")
    model = as_bytes(drop_equal_channels(rollout.frames[i : i + 1]))[0]
    positions, extents = (None if x is None else x[i] for x in (rollout.positions, rollout.extents))
    return Comparison(truth, model, positions, extents, rollout.first_predicted, cloud)


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


# The sheet of frames with the objects that a model has counted in them.

EDGE = 110  # pixels of a frame, at most


def counting_sheet(
    frames: UInt8[np.ndarray, "n h w c"],
    model: UInt8[np.ndarray, "n h w _"],
    positions: Float[np.ndarray, "n k 2"],
    extents: Float[np.ndarray, "n k 2"] | None,
    counted: Int[np.ndarray, "n"],
    truth: Int[np.ndarray, "n"] | None = None,
    columns: int = 12,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Draw each frame with its boxes, the model's frame below, and the count above: orange where wrong.

    Absent slots, which are not finite, are not drawn.

    counted: n, inferred numbers of objects.
    truth: n, true ones, where they are known.
    """
    tiles, columns = [], min(columns, len(frames))
    for i in range(len(frames)):
        true_count = None if truth is None else int(truth[i])
        boxed, drawn = (upscale(as_rgb(x[i]), zoom(x.shape[1], EDGE)) for x in (frames, model))
        boxed = draw_boxes(boxed, positions[i], None if extents is None else extents[i])
        line = np.full_like(boxed[:GAP], PAPER[0])
        tiles.append(_captioned(np.concatenate([boxed, line, drawn]), int(counted[i]), true_count))
    empty = [np.full_like(tiles[0], PAPER[0])] * (-len(tiles) % columns)
    return rearrange(np.stack(tiles + empty), "(row column) h w c -> (row h) (column w) c", column=columns)


def _captioned(picture: UInt8[np.ndarray, "h w 3"], counted: int, truth: int | None) -> np.ndarray:
    """Put the picture on a sheet of its own, with a margin, below its count."""
    height, width, _ = picture.shape
    sheet = Image.new("RGB", (width + GAP, height + CAPTION + GAP), PAPER)
    sheet.paste(Image.fromarray(picture), (0, CAPTION))
    wrong = truth is not None and truth != counted
    text = f"{counted}" if truth is None else f"{counted} of {truth}"
    ImageDraw.Draw(sheet).text((3, 2), text, fill=PREDICTED if wrong else INK, font=font())
    return np.asarray(sheet)
