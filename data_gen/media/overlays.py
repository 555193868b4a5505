"""Trails, masks and contact sheets, drawn on frames (uint8 RGB; positions in half-widths)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# One colour per object, distinct also to colour-blind eyes (after Okabe and Ito), on black and on white.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0))
PAPER, INK = (32, 32, 32), (220, 220, 220)
_MARGIN = 3  # pixels around a label


def zoom(height: int, target: int = 224) -> int:
    """Return the integer factor that enlarges a frame to at most `target` pixels of height; at least 1."""
    return max(1, target // height)


def upscale(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge every pixel of "... h w c" to a square of factor x factor pixels."""
    return image.repeat(factor, axis=-3).repeat(factor, axis=-2)


def draw_trails(image: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Draw the path "t k 2" of each object on an image "h w 3", with gaps where it is not finite."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    points = to_pixels(path, image.shape)
    for k in range(path.shape[1]):
        for start, end in zip(points[:-1, k], points[1:, k], strict=True):
            if np.isfinite([*start, *end]).all():
                pen.line([*start, *end], fill=COLOURS[k % len(COLOURS)])
    return np.asarray(picture)


def paint_masks(masks: np.ndarray) -> np.ndarray:
    """Colour masks "... h w" (0 background, k + 1 object k) by object, "... h w 3", on black."""
    table = np.array([(0, 0, 0), *(COLOURS[k % len(COLOURS)] for k in range(255))], np.uint8)
    return table[masks]


def contact_sheet(
    clips: np.ndarray, height: int = 64, rows: Sequence[str] = (), columns: Sequence[str] = ()
) -> np.ndarray:
    """Lay out frames "n t h w 3" in one image: a row per sequence, time to the right, grey lines between.

    Frames are enlarged by an integer factor to at most `height` pixels. `rows` and `columns` are labels for
    the left and the upper margin; a label may have several lines.
    """
    tiles = upscale(clips, zoom(clips.shape[2], height))
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=96)
    n, t, h, w, c = tiles.shape
    sheet = tiles.swapaxes(1, 2).reshape(n * h, t * w, c)
    return _with_labels(sheet, h, w, rows, columns) if rows or columns else sheet


def _with_labels(
    sheet: np.ndarray, height: int, width: int, rows: Sequence[str], columns: Sequence[str]
) -> np.ndarray:
    """Add a margin with the labels of rows, each `height` pixels high, and columns, each `width` wide."""
    pen = ImageDraw.Draw(Image.new("L", (1, 1)))
    boxes = {text: pen.multiline_textbbox((0, 0), text, font=font()) for text in (*rows, *columns)}
    left = int(max((boxes[text][2] for text in rows), default=-2 * _MARGIN)) + 2 * _MARGIN
    top = int(max((boxes[text][3] for text in columns), default=-2 * _MARGIN)) + 2 * _MARGIN
    right = max((i * width + int(boxes[text][2]) + _MARGIN for i, text in enumerate(columns)), default=0)
    whole = Image.new("RGB", (left + max(sheet.shape[1], right), top + sheet.shape[0]), PAPER)
    whole.paste(Image.fromarray(sheet), (left, top))
    pen = ImageDraw.Draw(whole)
    for i, text in enumerate(rows):
        middle = top + i * height + (height - int(boxes[text][3])) // 2
        pen.multiline_text((_MARGIN, middle), text, fill=INK, font=font())
    for i, text in enumerate(columns):
        pen.multiline_text((left + i * width + 1, _MARGIN), text, fill=INK, font=font())
    return np.asarray(whole)


def to_pixels(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Convert half-widths to pixel coordinates (x, y) in an image "h w c".

    -1 is the left edge of the first pixel, whose centre is at coordinate 0.
    """
    height, width, _ = shape
    return (points + 1) / 2 * np.array([width, height]) - 0.5


@lru_cache(maxsize=1)
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all captions, which comes with pillow."""
    return ImageFont.load_default(12)
