"""`python -m data_gen preview`: a video, a contact sheet and plots of a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.card import Statistics, compute_statistics
from data_gen.cli.command import Job
from data_gen.cli.configs import read_options
from data_gen.errors import require_number, require_words
from data_gen.io import output_path
from data_gen.locks import output_folder
from data_gen.media.overlays import contact_sheet, draw_trails, paint_masks, upscale, zoom
from data_gen.media.writing import write_png, write_video
from data_gen.progress import show_progress
from data_gen.schema import DatasetInfo, dataset_file, open_dataset, read_info

_TRAIL = 12  # frames
_VIDEO_HEIGHT, _SHEET_HEIGHT = 192, 64  # of an enlarged frame, at most, in pixels
_GAP, _GREY = 2, 96  # width and level of the frame around a picture of the video


@dataclass(frozen=True)
class PreviewOptions:
    """Options of configs/data_preview.yaml, composed and checked."""

    data: str
    out: str | None = None
    sequences: int = 4
    frames: int = 12
    fps: int = 10

    def __post_init__(self) -> None:
        require_words(self, "data", *([] if self.out is None else ["out"]))
        for key in ("sequences", "frames", "fps"):
            require_number(key, getattr(self, key), minimum=1, maximum=1000, integer=True)


@dataclass(frozen=True)
class Scenes:
    """A few sequences of a dataset, to be drawn: frames, and the truth below them.

    frames: "n t h w 3"
    masks: "n t h w", or None
    positions: "n t k 2" in half-widths, NaN where an object is not visible, or None
    """

    frames: np.ndarray
    masks: np.ndarray | None
    positions: np.ndarray | None

    def rows(self, n: int, t: int, factor: int) -> list[np.ndarray]:
        """Draw frame t of sequence n, enlarged, and below it the truth: masks with the trails of objects.

        Without masks the trails lie on the darkened frame; without truth there is one row.
        """
        frame = upscale(self.frames[n, t], factor)
        if self.masks is None and self.positions is None:
            return [frame]
        if self.masks is None:
            truth = frame // 3
        else:
            truth = upscale(paint_masks(self.masks[n, t]), factor)
        if self.positions is not None:
            path = self.positions[n, max(0, t - _TRAIL) : t + 1]
            truth = draw_trails(truth if self.masks is None else truth // 2, path)
        return [frame, truth]


class Film:
    """Frames of a video, drawn on demand, with all sequences side by side."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes, self.factor = scenes, zoom(scenes.frames.shape[2], _VIDEO_HEIGHT)

    def __len__(self) -> int:
        return self.scenes.frames.shape[1]

    def __getitem__(self, t: int) -> np.ndarray:
        """Return frame t, uint8 "h w 3"."""
        if not 0 <= t < len(self):
            raise IndexError(t)
        columns = [self.scenes.rows(n, t, self.factor) for n in range(len(self.scenes.frames))]
        return np.concatenate([np.concatenate(list(map(_add_border, rows))) for rows in columns], axis=1)


def _add_border(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((_GAP, _GAP), (_GAP, _GAP), (0, 0)), constant_values=_GREY)


def preview(options: PreviewOptions) -> list[Path]:
    """Write preview.mp4, sheet.png and, where the dataset has any truth, statistics.png; print their paths.

    Raises:
        DataError: the dataset cannot be read, or the folder cannot be written.
    """
    data = dataset_file(options.data)
    info = read_info(data)
    out = data.with_name(f"{data.stem}_preview") if options.out is None else Path(options.out)
    with output_folder(out):
        return _preview(info, options, out)


def _preview(info: DatasetInfo, options: PreviewOptions, out: Path) -> list[Path]:
    scenes = read_scenes(info, options.sequences)
    paths = [out / "preview.mp4", out / "sheet.png"]
    write_video(paths[0], Film(scenes), options.fps)
    write_png(paths[1], sheet(scenes, options.frames))
    values = compute_statistics(info)
    if any(value is not None for value in vars(values).values()):
        paths.append(out / "statistics.png")
        plot(paths[-1], values, info)
    else:
        print(f"{info.path}: holds frames alone, so there are no statistics to plot")
    print(*paths, sep="\n")
    return paths


def read_scenes(info: DatasetInfo, sequences: int) -> Scenes:
    """Read the first `sequences` sequences of a dataset."""
    with open_dataset(info.path) as file:
        arrays = {
            key: file[key][:sequences]
            for key in ("imgs", "masks", "positions", "in_camera", "present")
            if key in file
        }
    positions = arrays.get("positions")
    if positions is not None:
        positions = positions / (info.coord_limit / 2) - 1
        for key in ("in_camera", "present"):
            if key in arrays:
                positions[~arrays[key]] = np.nan
    return Scenes(arrays["imgs"], arrays.get("masks"), positions)


def sheet(scenes: Scenes, frames: int) -> np.ndarray:
    """Draw the contact sheet: time to the right; a row of frames, and one of truth if any, per sequence."""
    n, length, height, _, _ = scenes.frames.shape
    factor = zoom(height, _SHEET_HEIGHT)
    times = np.unique(np.linspace(0, length - 1, frames).round().astype(int))
    cells = [[scenes.rows(i, t, factor) for t in times] for i in range(n)]
    clips = np.array(cells).swapaxes(1, 2)  # "n rows t h w 3"
    rows = [f"{name} {i}" for i in range(n) for name in ("sequence", "truth")[: clips.shape[1]]]
    columns = [f"frame {t + 1}" for t in times]
    return contact_sheet(clips.reshape(-1, *clips.shape[2:]), rows=rows, columns=columns)


def plot(path: Path, values: Statistics, info: DatasetInfo) -> None:
    """Plot the statistics that exist: a histogram of speeds; energy, collisions and visibility over time."""
    from matplotlib.figure import Figure  # takes a while to import

    curves = {
        "kinetic energy, mean over sequences": values.kinetic_energy,
        "collisions per frame": values.collisions_over_time,
        "visible share of the objects": values.visible_over_time,
    }
    curves = {title: curve for title, curve in curves.items() if curve is not None}
    panels = len(curves) + (values.speeds is not None)
    figure = Figure(figsize=(4 * panels, 3), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, panels)))
    if values.speeds is not None:
        histogram = axes.pop(0)
        slack = 0.01 * float(np.mean(values.speeds)) + 1e-6  # where all speeds are equal
        limits = float(values.speeds.min() - slack), float(values.speeds.max() + slack)
        histogram.hist(values.speeds, bins=50, range=limits, density=True)
        histogram.set(title=f"speed, mean {values.speed:.3g}", xlabel="units per frame", ylabel="density")
    for panel, (title, curve) in zip(axes, curves.items(), strict=True):
        panel.plot(np.arange(1, len(curve) + 1), curve)
        panel.set(title=title, xlabel="frame", ylim=(0, 1.1 * max(curve.max(), 1e-9)))
    figure.suptitle(f"{info.simulator}: {info.path.name}", parse_math=False)  # a name may hold dollar signs
    with output_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks
        figure.savefig(temporary, dpi=120)


def run(config: Mapping[str, Any], job: Job) -> None:
    """Run the command with a composed config."""
    options = read_options(PreviewOptions, config, job)
    with show_progress():
        preview(options)
