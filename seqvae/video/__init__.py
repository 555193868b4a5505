"""Pictures for people: video files, side-by-side panels, boxes and trails, contact sheets."""

from __future__ import annotations

from data_gen.media.overlays import contact_sheet, draw_trails, paint_masks, upscale, zoom
from data_gen.media.writing import FPS, write_png, write_video
from seqvae.video.drawing import Comparison, Rows, as_rgb, compare, counting_sheet, draw_boxes

__all__ = [
    "FPS",
    "Comparison",
    "Rows",
    "as_rgb",
    "compare",
    "contact_sheet",
    "counting_sheet",
    "draw_boxes",
    "draw_trails",
    "paint_masks",
    "upscale",
    "write_png",
    "write_video",
    "zoom",
]
