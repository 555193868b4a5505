"""Pictures of a run for a page: strips of frames, masks, samples of the prior, videos; all as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageDraw

from data_gen.media.overlays import font
from data_gen.media.videos import VideoFile
from seqvae.data.sequences import Sequences
from seqvae.evaluate.image_scores import labels_of
from seqvae.evaluate.protocol import usable_lengths
from seqvae.metrics import drop_equal_channels
from seqvae.rollout import Rollout, as_bytes, roll_out
from seqvae.sequence import SequenceModel
from seqvae.video import as_rgb, contact_sheet, draw_boxes, latents, paint_masks, upscale, zoom

TILE = 100  # pixels of a frame in a strip, at most
GIVEN, PREDICTED = (1, 4, 8), (1, 2, 5, 10, 20, 50, 92)  # frames of a strip
GAP, HEAD = 3, 17  # pixels
CLEAR = (0, 0, 0, 0)
SLOT_ROWS = 4  # images whose slots are shown
IMAGES = 12  # single images that are shown
MIDDLE = (128, 128, 128, 255)  # grey that is readable on light and on dark pages
VIDEO_BYTES = 8_000_000  # a larger video is not embedded


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    uri: data URI
    alt: description for those who do not see it
    width: pixels
    rows: what its rows show, from above
    """

    uri: str
    alt: str
    width: int
    height: int
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Video:
    """A video of a page.

    uri: data URI of an .mp4
    poster: a frame as a still picture
    still: index of this frame
    """

    uri: str
    poster: Picture
    name: str
    still: int


@dataclass(frozen=True)
class ModelPictures:
    """Pictures that a model draws.

    strips: a sequence each: the data, what the model sees and imagines
    slots: masks and parts of each slot, None for models without masks
    prior: videos drawn from the prior, None where it cannot be drawn
    """

    strips: tuple[Picture, ...] = ()
    slots: Picture | None = None
    prior: Picture | None = None


def draw_model(
    model: SequenceModel, sequences: Sequences | None, context: int, horizon: int | None, count: int
) -> ModelPictures:
    """Draw strips of the first `count` sequences, their slots, and samples of the prior.

    Raises:
        UserError: the sequences are too short, or have no actions.
    """
    length = 8 if sequences is None or sequences.frames.shape[1] > 1 else 1
    prior = _sheet(
        latents.prior_samples(model, 4, length),
        "Samples drawn from the prior of the model, a row each",
    )
    if sequences is None or not count:
        return ModelPictures(prior=prior)
    few = sequences.first(count if sequences.frames.shape[1] > 1 else IMAGES)
    strips = _strips(model, few, *usable_lengths(few, context, horizon))
    shown = latents.slots(model, few.frames[:SLOT_ROWS, 0])
    slots = None
    if shown is not None:
        rows, names = shown
        names = [name.replace("\n", " ") for name in names]
        slots = titled(as_rgb(rows), names, "masks and parts of each slot, for the first frame of sequences")
    return ModelPictures(strips, slots, prior)


def _strips(model: SequenceModel, few: Sequences, context: int, horizon: int) -> tuple[Picture, ...]:
    rollout = roll_out(model, few.frames, few.prev_actions, context, horizon, decode=True)
    assert rollout.frames is not None  # decoded
    rows = {"data": as_rgb(few.frames), "model": as_rgb(as_bytes(drop_equal_channels(rollout.frames)))}
    rows |= _slot_rows(model, rollout, few)
    return tuple(
        titled([frames[index] for frames in rows.values()], columns, about, tuple(rows))
        for index, columns, about in layout_columns(len(few), context, horizon)
    )


Index = tuple[Any, Any]  # of sequences and frames


def layout_columns(count: int, context: int, horizon: int) -> Iterator[tuple[Index, list[str], str]]:
    """Yield, per strip, the index of its frames in "n t", the names of its columns, and a description.

    A strip is a sequence at some of its frames; single images are one strip.
    """
    if context + horizon == 1:
        yield (slice(None), 0), [f"{i}" for i in range(count)], "Single images"
        return
    given = sorted({t for t in GIVEN if t <= context} | {context})
    predicted = [t for t in PREDICTED if t <= horizon]
    if horizon and horizon < PREDICTED[-1] and horizon not in predicted:
        predicted.append(horizon)
    times = np.array([*given, *(context + t for t in predicted)]) - 1
    names = [f"frame {t}" for t in given] + [f"+{t}" for t in predicted]
    for i in range(count):
        yield (i, times), names, f"Sequence {i}"


def _slot_rows(
    model: SequenceModel, rollout: Rollout, few: Sequences
) -> dict[str, UInt8[np.ndarray, "n t h w 3"]]:
    """Return rows of the slots: their boxes on the data, or their masks, each slot in its colour."""
    rows, extents = {}, rollout.extents
    length = rollout.z.shape[1]
    if rollout.masks is not None:
        objects = _objects(labels_of(rollout.masks), model.frame.slots, model.background_slots)
        rows["masks"] = paint_masks(objects)
        if few.masks is not None:
            rows["true masks"] = paint_masks(few.masks[:, :length])
    elif rollout.positions is not None:
        frames = upscale(as_rgb(few.frames[:, :length]), zoom(few.frames.shape[2], TILE))
        boxed = [
            draw_boxes(frames[i, t], rollout.positions[i, t], None if extents is None else extents[i, t])
            for i in range(len(frames))
            for t in range(length)
        ]
        rows["slots on the data"] = np.stack(boxed).reshape(frames.shape)
    return rows


def _objects(
    labels: Integer[np.ndarray, "n t h w"], slots: int, background: int
) -> UInt8[np.ndarray, "n t h w"]:
    """Return labels as in a data set: 0 background or nothing, k + 1 object k."""
    objects = labels - background + 1
    return np.where((labels < background) | (labels >= slots), 0, objects).astype(np.uint8)


def titled(
    rows: UInt8[np.ndarray, "r c h w 3"] | Sequence[np.ndarray],
    names: Sequence[str],
    alt: str,
    row_names: tuple[str, ...] = (),
) -> Picture:
    """Lay out rows of frames under the names of their columns, on a clear ground.

    row_names: what the rows show, for the text beside the picture and its description
    """
    factor = zoom(rows[0].shape[1], TILE)
    tiles = [upscale(row, factor) if row.shape[1] * factor <= TILE else row for row in rows]
    height, width = tiles[0].shape[1:3]
    sheet = Image.new(
        "RGBA", (len(names) * (width + GAP) - GAP, HEAD + len(tiles) * (height + GAP) - GAP), CLEAR
    )
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * (width + GAP) + 1, 0), name[: max(2, width // 7)], fill=MIDDLE, font=font())
        for row, frames in enumerate(tiles):
            place = column * (width + GAP), HEAD + row * (height + GAP)
            sheet.paste(Image.fromarray(np.ascontiguousarray(frames[column])), place)
    about = f"{alt}. Rows: {', '.join(row_names)}" if row_names else alt
    return Picture(_png_uri(sheet), about, *sheet.size, row_names)


def _sheet(rows: UInt8[np.ndarray, "r c h w _"], alt: str) -> Picture:
    image = Image.fromarray(contact_sheet(as_rgb(rows)))
    return Picture(_png_uri(image), alt, *image.size)


def picture_file(path: Path, alt: str) -> Picture | None:
    """Return a picture of a file, None where there is none that can be read."""
    try:
        with Image.open(path) as image:
            return Picture(_png_uri(image.convert("RGB")), alt, *image.size)
    except (OSError, ValueError):
        return None


def video_file(path: Path, name: str, still: int) -> Video | None:
    """Return a video of a file with its frame number `still` as a picture; None for too large a file.

    Raises:
        DataError: it is no video.
    """
    content = path.read_bytes()
    if len(content) > VIDEO_BYTES:
        return None
    number, frame = 0, None
    for number, frame in enumerate(VideoFile(path)):  # noqa: B007  the last one, where the video is shorter
        if number == still:
            break
    chosen = Image.fromarray(frame.image)  # type: ignore[union-attr]  a video has a frame
    poster = Picture(_png_uri(chosen), f"A frame of {name}", *chosen.size)
    return Video(f"data:video/mp4;base64,{base64.b64encode(content).decode()}", poster, name, number)


def _png_uri(image: Image.Image) -> str:
    """Return a PNG of at most 256 colours, which frames of few colours have anyway."""
    small = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    small.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
