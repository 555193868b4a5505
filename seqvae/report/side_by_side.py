"""The same test sequences by several models: strips of frames, and videos cut from those of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from data_gen.media.overlays import INK, PAPER, font
from data_gen.media.videos import VideoFile
from seqvae.data.sequences import Sequences
from seqvae.io import scratch_path
from seqvae.metrics import drop_equal_channels
from seqvae.report.pictures import Picture, Video, layout_columns, titled, video_file
from seqvae.rollout import as_bytes, roll_out
from seqvae.sequence import SequenceModel
from seqvae.video import as_rgb, write_video
from seqvae.video.drawing import CAPTION, GAP

COLUMNS = 4  # panels in a row of a video


def strips_of(
    models: Mapping[str, SequenceModel], sequences: Sequences, context: int, horizon: int
) -> tuple[Picture, ...]:
    """Draw a strip per sequence, or one for single images: a row of the data, and one per model.

    Raises:
        UserError: the sequences are too short for a model, or have no actions.
    """
    rows = {"data": as_rgb(sequences.frames)}
    for name, model in models.items():
        rollout = roll_out(model, sequences.frames, sequences.prev_actions, context, horizon, decode=True)
        assert rollout.frames is not None  # decoded
        rows[name] = as_rgb(as_bytes(drop_equal_channels(rollout.frames)))
    names = tuple(rows)
    return tuple(
        titled([frames[index] for frames in rows.values()], columns, about, names)
        for index, columns, about in layout_columns(len(sequences), context, horizon)
    )


def join_videos(videos: Mapping[str, Path], name: str, still: int, folder: Path) -> Video | None:
    """Join comparison videos of one sequence: its true frames, and the model's panel of each.

    videos: name of a model -> its video, with the panels truth, model and difference
    still: index of the frame that stands for the video
    folder: for a temporary file

    Raises:
        DataError: one of them is no video.
    """
    clips = {model: [frame.image for frame in VideoFile(path)] for model, path in videos.items()}
    if len({clip[0].shape for clip in clips.values()}) > 1:
        return None  # of other versions, with other panels
    panels = {"truth": [_panel(frame, 0) for frame in next(iter(clips.values()))]}
    panels |= {model: [_panel(frame, 1) for frame in clip] for model, clip in clips.items()}
    length = min(map(len, panels.values()))
    frames = [_sheet([clip[t] for clip in panels.values()], list(panels)) for t in range(length)]
    with scratch_path(folder / "joined.mp4") as path:
        write_video(path, frames)
        return video_file(path, name, still)


def _panel(frame: UInt8[np.ndarray, "h w 3"], number: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return one of the three panels of a comparison, without the titles above it."""
    width = (frame.shape[1] - 2 * GAP) // 3
    left = number * (width + GAP)
    return frame[CAPTION:, left : left + width]


def _sheet(panels: Sequence[np.ndarray], names: Sequence[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Lay out panels in rows, each under its name."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    height, width, _ = panels[0].shape
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + CAPTION)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (panel, name) in enumerate(zip(panels, names, strict=True)):
        row, column = divmod(number, columns)
        left, top = column * (width + GAP), row * (height + CAPTION)
        sheet.paste(Image.fromarray(np.ascontiguousarray(panel)), (left, top + CAPTION))
        pen.text((left + 3, top + 2), name[: width // 7], fill=INK, font=font())
    return np.asarray(sheet)
