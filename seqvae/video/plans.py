"""A planner at work: true frames with the line of actions that it imagined drawn over them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from data_gen.media.overlays import COLOURS, INK, PAPER, font, to_pixels, upscale, zoom
from seqvae.video.drawing import CAPTION, GAP, PREDICTED, as_rgb


class PlanVideo:
    """Frames of one environment before each move, each with the planned places of objects; drawn on demand.

    A line leads from where the planner believes an object to be to where it expects it, step by step, with a
    ring at the end. The frame of a move that was punished is in the colour of warnings.
    """

    def __init__(
        self,
        frames: UInt8[np.ndarray, "f h w c"],
        lines: Float[np.ndarray, "t l k 2"],
        rewards: Float[np.ndarray, "t"],
        name: str = "",
    ) -> None:
        """Take what is to be drawn.

        frames: true ones, the first before any move
        lines: places now and along the plan, half-widths; NaN where they are not known
        rewards: of the move that led to each frame but the first
        name: of the planner, for the caption
        """
        self.frames, self.lines, self.rewards, self.name = frames, lines, rewards, name
        self.zoom = zoom(frames.shape[1])

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, t: int) -> UInt8[np.ndarray, "h w 3"]:
        if not 0 <= t < len(self):
            raise IndexError(t)
        panel = upscale(as_rgb(self.frames[t]), self.zoom)
        if t < len(self.lines):
            panel = draw_plan(panel, self.lines[t])
        height, width, _ = panel.shape
        punished = t > 0 and self.rewards[t - 1] < 0
        sheet = Image.new("RGB", (width + 2 * GAP, height + CAPTION + GAP), PREDICTED if punished else PAPER)
        sheet.paste(Image.fromarray(panel), (GAP, CAPTION))
        text = f"{self.name}  move {t}  return {self.rewards[:t].sum():g}".strip()
        ImageDraw.Draw(sheet).text((GAP, 2), text, fill=PAPER if punished else INK, font=font())
        return np.asarray(sheet)


def draw_plan(
    image: UInt8[np.ndarray, "h w 3"], line: Float[np.ndarray, "t k 2"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw where each object is expected to go: a line with a dot per step, and a ring at its end."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    points = to_pixels(line, image.shape)
    for k in range(line.shape[1]):
        path, colour = points[:, k], COLOURS[k % len(COLOURS)]
        if not np.isfinite(path).all():
            continue
        pen.line([tuple(p) for p in path], fill=colour, width=2)
        for x, y in path[1:-1]:
            pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
        x, y = path[-1]
        pen.ellipse([x - 6, y - 6, x + 6, y + 6], outline=colour, width=2)
    return np.asarray(picture)


class Columns:
    """Frames of several videos of one size, side by side."""

    def __init__(self, videos: list[PlanVideo]) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return min(len(video) for video in self.videos)

    def __getitem__(self, t: int) -> UInt8[np.ndarray, "h w 3"]:
        return np.concatenate([video[t] for video in self.videos], 1)
