"""Pictures for people: video files, side-by-side panels, boxes and trails, contact sheets."""

from seqvae.video.drawing import (
    Comparison,
    Rows,
    as_rgb,
    contact_sheet,
    draw_boxes,
    draw_trails,
    paint_masks,
    upscale,
    zoom,
)
from seqvae.video.files import FPS, write_png, write_video

__all__ = [
    "FPS",
    "Comparison",
    "Rows",
    "as_rgb",
    "contact_sheet",
    "draw_boxes",
    "draw_trails",
    "paint_masks",
    "upscale",
    "write_png",
    "write_video",
    "zoom",
]
