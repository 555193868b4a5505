"""Pictures for people: video files, side-by-side panels, boxes and trails, contact sheets."""

from __future__ import annotations

from data_gen.media.overlays import contact_sheet, draw_trails, paint_masks, upscale, zoom
from data_gen.media.writing import FPS, write_png, write_video
from seqvae.video.counting import counting_sheet
from seqvae.video.drawing import Comparison, Rows, as_rgb, compare, draw_boxes
from seqvae.video.sheets import Sheet, frame_labels, latent_sheets, numbered

__all__ = [
    "FPS",
    "Comparison",
    "Rows",
    "Sheet",
    "as_rgb",
    "compare",
    "contact_sheet",
    "counting_sheet",
    "draw_boxes",
    "draw_trails",
    "frame_labels",
    "latent_sheets",
    "numbered",
    "paint_masks",
    "upscale",
    "write_png",
    "write_video",
    "zoom",
]
