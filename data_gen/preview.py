"""`python -m data_gen preview`: a video, a contact sheet and plots of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_gen.card import Statistics, statistics
from data_gen.cli import quoted, read_options, run, yaml_of
from data_gen.errors import require_number, require_words
from data_gen.io import whole
from data_gen.media.overlays import contact_sheet, draw_trails, paint_masks, upscale, zoom
from data_gen.media.writing import write_png, write_video
from data_gen.schema import DatasetInfo, open_dataset, read_info

_TRAIL = 12  # frames that a trail goes back
_VIDEO_HEIGHT, _SHEET_HEIGHT = 192, 64  # pixels of a frame, at most, once enlarged
_GAP, _GREY = 2, 96  # between two pictures of the video


@dataclass(frozen=True)
class PreviewOptions:
    """configs/data_preview.yaml, composed and checked."""

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
    """A few sequences as pictures: their frames, and below them what the dataset knows.

    frames "n t h w 3"; masks "n t h w" or None; positions "n t k 2" in half-widths, not finite where an
    object is not seen, or None.
    """

    frames: np.ndarray
    masks: np.ndarray | None
    positions: np.ndarray | None

    def rows(self, n: int, t: int, factor: int) -> list[np.ndarray]:
        """Frame t of sequence n, enlarged; then, where anything is known, its masks with the objects' trails.

        Without masks the trails lie on the darkened frame.
        """
        frame = upscale(self.frames[n, t], factor)
        if self.masks is None and self.positions is None:
            return [frame]
        if self.masks is None:
            known = frame // 3
        else:
            known = upscale(paint_masks(self.masks[n, t]), factor)
        if self.positions is not None:
            path = self.positions[n, max(0, t - _TRAIL) : t + 1]
            known = draw_trails(known if self.masks is None else known // 2, path)
        return [frame, known]


class Film(Sequence):
    """Frames of a video, drawn on demand: all sequences side by side."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes, self.factor = scenes, zoom(scenes.frames.shape[2], _VIDEO_HEIGHT)

    def __len__(self) -> int:
        return self.scenes.frames.shape[1]

    def __getitem__(self, t: int) -> np.ndarray:
        if not 0 <= t < len(self):
            raise IndexError(t)
        columns = [self.scenes.rows(n, t, self.factor) for n in range(len(self.scenes.frames))]
        return np.concatenate([np.concatenate(list(map(_framed, rows))) for rows in columns], axis=1)


def _framed(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((_GAP, _GAP), (_GAP, _GAP), (0, 0)), constant_values=_GREY)


def preview(options: PreviewOptions) -> list[Path]:
    """Write preview.mp4, sheet.png and, where the dataset has any truth, statistics.png; say where.

    Raises DataError for a file that cannot be read, or a folder that cannot be written.
    """
    data = Path(options.data)
    info = read_info(data)
    out = data.with_name(f"{data.stem}_preview") if options.out is None else Path(options.out)
    scenes = read_scenes(info, options.sequences)
    paths = [out / "preview.mp4", out / "sheet.png"]
    write_video(paths[0], Film(scenes), options.fps)
    write_png(paths[1], sheet(scenes, options.frames))
    found = statistics(info)
    if any(value is not None for value in vars(found).values()):
        paths.append(out / "statistics.png")
        plot(paths[-1], found, info)
    else:
        print(f"{data}: holds frames alone, so there are no statistics to plot")
    print(*paths, sep="\n")
    return paths


def read_scenes(info: DatasetInfo, sequences: int) -> Scenes:
    """The first so many sequences of a dataset."""
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
    """Time to the right; a row, or two where anything is known, for each sequence."""
    n, length, height, _, _ = scenes.frames.shape
    factor = zoom(height, _SHEET_HEIGHT)
    times = np.unique(np.linspace(0, length - 1, frames).round().astype(int))
    cells = [[scenes.rows(i, t, factor) for t in times] for i in range(n)]
    clips = np.array(cells).swapaxes(1, 2)  # "n rows t h w 3"
    return contact_sheet(clips.reshape(-1, *clips.shape[2:]))


def plot(path: Path, found: Statistics, info: DatasetInfo) -> None:
    """Draw what is known: a histogram of speeds, and over time energy, collisions and the visible share."""
    from matplotlib.figure import Figure  # takes a while to import

    curves = {
        "kinetic energy, mean over sequences": found.kinetic_energy,
        "collisions a frame": found.collisions_over_time,
        "visible share of the objects": found.visible_over_time,
    }
    curves = {title: curve for title, curve in curves.items() if curve is not None}
    panels = len(curves) + (found.speeds is not None)
    figure = Figure(figsize=(4 * panels, 3), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, panels)))
    if found.speeds is not None:
        histogram = axes.pop(0)
        histogram.hist(found.speeds, bins=50, density=True)
        histogram.set(title=f"speed, mean {found.speed:.3g}", xlabel="units a frame", ylabel="density")
    for panel, (title, curve) in zip(axes, curves.items(), strict=True):
        panel.plot(np.arange(1, len(curve) + 1), curve)
        panel.set(title=title, xlabel="frame", ylim=(0, 1.1 * max(curve.max(), 1e-9)))
    figure.suptitle(f"{info.simulator}: {info.path.name}")
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=120)


def main(arguments: list[str]) -> int:
    """The command line of preview; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(yaml_of("preview").read_text(), end="")
        return 0
    return run(lambda stop: preview(read_options(PreviewOptions, "preview", quoted(arguments))))
