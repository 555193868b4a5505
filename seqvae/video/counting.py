"""The sheet of frames with the objects that a model has counted in them."""

from __future__ import annotations

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

from data_gen.media.overlays import INK, PAPER, font, upscale, zoom
from seqvae.video.drawing import CAPTION, GAP, PREDICTED, as_rgb, draw_boxes

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
