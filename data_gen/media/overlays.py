"""Trails, masks and contact sheets, drawn on frames (uint8 RGB; positions in half-widths)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# One colour per object, distinct also to colour-blind eyes (after Okabe and Ito), on black and on white.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0))
PAPER, INK = (32, 32, 32), (220, 220, 220)


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


def contact_sheet(clips: np.ndarray, height: int = 64) -> np.ndarray:
    """Lay out frames "n t h w 3" in one image: a row per sequence, time to the right, grey lines between.

    Frames are enlarged by an integer factor to at most `height` pixels.
    """
    tiles = upscale(clips, zoom(clips.shape[2], height))
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=96)
    n, t, h, w, c = tiles.shape
    return tiles.swapaxes(1, 2).reshape(n * h, t * w, c)


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
