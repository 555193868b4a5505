"""`python -m seqvae inspect PATH`: facts on a dataset, checkpoint, run or video, and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.cli.command import Job
from data_gen.cli.configs import flatten
from data_gen.media.videos import VIDEOS
from data_gen.numpy_files import NUMPY
from data_gen.schema import read_info
from data_gen.shards import datasets_in, is_dataset
from seqvae import checkpoint, weights
from seqvae.cli.data import make_folder, read_config
from seqvae.cli.export import defined_scores
from seqvae.data.sequences import DATASETS, Sequences, read_sequences
from seqvae.errors import UserError, require_at_least
from seqvae.rollout import roll_out
from seqvae.shipped import pretrained_folder, suggestion
from seqvae.train.origin import Origin
from seqvae.video import (
    Sheet,
    as_rgb,
    frame_labels,
    latent_sheets,
    numbered,
    paint_masks,
    write_png,
)

CHECKPOINTS = (checkpoint.BEST, checkpoint.LAST, weights.FILE)
SHEET = "sheet.png"


@dataclass(frozen=True)
class InspectConfig:
    """The keys of configs/inspect.yaml."""

    path: str
    out: str | None
    sequences: int
    frames: int
    latents: bool
    plugins: tuple = ()

    def __post_init__(self):
        require_at_least(vars(self), sequences=1, frames=1)
        if not (self.place.exists() or is_dataset(self.place)):
            raise UserError(f"{self.path}: no such file or folder{suggestion(self.path)}")
        if self.out and Path(self.out).suffix != ".png":
            raise UserError(f"out={self.out}: expected a name ending in .png")

    @property
    def place(self) -> Path:
        """File or folder to look at; that of a pretrained model if its name is given."""
        return pretrained_folder(self.path) or Path(self.path)


def run(config: Mapping[str, Any], job: Job) -> None:
    """Print facts on a file or folder, and write a contact sheet."""
    options = read_config(InspectConfig, config, job, out=SHEET)
    path = options.place
    found, shown = _look_at(path, options)
    _print(list(found))
    sheet, made = Path(options.out) if options.out else _sheet(path), []
    if shown is not None:
        make_folder(sheet.parent)
        write_png(sheet, shown.draw())
        made.append(("sheet", sheet))
    if options.latents:
        made += _latents(path, options, sheet.parent)
    _print(made)


def _print(lines: list[tuple[str, Any]]) -> None:
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")


Lines = Iterator[tuple[str, Any]]


def _sheet(path: Path) -> Path:
    """Return the default place of the sheet: nothing is written beside what is only looked at."""
    path = path.resolve()
    name = path.name if path.is_dir() else f"{path.parent.name}_{path.stem}"
    return Path("runs") / "inspect" / name / SHEET


def _look_at(path: Path, options: InspectConfig) -> tuple[Lines, Sheet | None]:
    """Return lines to print, and frames to show or None."""
    if path.is_dir():
        if any((path / name).is_file() for name in CHECKPOINTS):
            found = checkpoint.find(path)
            return _run(path, found), _futures(found, options)
        inside = datasets_in(path)
        if not inside:
            raise UserError(f"{path}: holds no checkpoint ({', '.join(CHECKPOINTS)}) and no dataset (.h5)")
        if path / "test.h5" not in inside:
            return _folder(inside), None
        files, test = list(_folder(inside)), path / "test.h5"
        found, shown = _look_at(test, options)
        return iter([*files, *found]), shown
    if path.suffix in DATASETS:
        return _dataset(path), _truth(path, options)
    if path.suffix.lower() in NUMPY or path.suffix.lower() in VIDEOS:
        sequences = read_sequences(path)
        clips = sequences.frames[: options.sequences]
        return _frames(path, sequences), _spread(clips, options, numbered("sequence", len(clips)))
    return _checkpoint(path), _futures(path, options)


def _truth(path: Path, options: InspectConfig) -> Sheet:
    """Return frames of a dataset's first sequences, with the masks of each below it if there are any."""
    clips, names = [], []
    for i in range(min(options.sequences, read_info(path).sequences)):
        sequence = read_sequences(path, i)
        clips.append(sequence.frames)
        names.append(f"sequence {i}")
        if sequence.masks is not None:
            clips.append(paint_masks(sequence.masks))
            names.append("masks")
    return _spread(np.concatenate(clips), options, tuple(names))


def _dataset(path: Path) -> Lines:
    info = read_info(path)
    yield "dataset", path
    if len(info.files) > 1:
        yield "files", f"{info.files[0].name} to {info.files[-1].name}"
    yield "sequences", f"{info.sequences} of {info.length} frames, {info.width}x{info.height}"
    yield "simulator", f"{info.simulator}, seed {info.seed}, package version {info.package_version}"
    if info.num_objects is not None:
        yield "objects", f"{info.num_objects}, positions in 0 to {info.coord_limit:g}"
    yield "actions", info.num_actions or "none"
    if info.action_numbers:
        yield "continuous actions", f"{info.action_numbers} numbers each"
    yield "keys", " ".join(info.keys)
    for key, value in flatten(info.config).items():
        yield f"  {key}", value


def _folder(files: list[Path]) -> Lines:
    for file in files:
        info = read_info(file)
        size = f"{info.sequences} sequences of {info.length} frames, {info.width}x{info.height}"
        yield file.name, size + (f", in {len(info.files)} files" if len(info.files) > 1 else "")


def _frames(path: Path, sequences: Sequences) -> Lines:
    n, length, height, width, _ = sequences.frames.shape
    yield "frames", path
    yield "sequences", f"{n} of {length} frames, {width}x{height}, without true states"


def _run(path: Path, file: Path) -> Lines:
    yield "run", path
    yield "files", " ".join(sorted(f.name for f in path.iterdir() if not f.name.startswith(".")))
    yield from _checkpoint(file)


def _checkpoint(path: Path) -> Lines:
    """Yield the lines of a checkpoint; raise UserError for another file."""
    content = checkpoint.load(path)
    spec, origin = content.spec, Origin.of(content.config)
    yield "checkpoint", path
    yield "after", f"{content.step} updates" + ("" if content.training else "; to be used, not continued")
    yield from zip(("frame", "posterior", "dynamics"), origin.targets, strict=True)
    if content.plugins:
        yield "plugins", ", ".join(content.plugins)
    built = content.build(path)
    yield "parameters", f"{sum(p.numel() for p in built.parameters()):,}"
    actions = f", {spec.actions} actions" if spec.actions else ""
    actions += " that the dynamics ignores" if spec.actions and built.ignores_actions else ""
    objects = f", {spec.objects} objects" if spec.objects else ""
    for line in content.provenance.lines():
        yield "trained", line
    yield "data", f"{origin.data}: {spec.width}x{spec.height}{objects}{actions}"
    for name, value in defined_scores(content.scores).items():
        yield name, f"{value:.4g}"


def _futures(file: Path, options: InspectConfig) -> Sheet | None:
    """Return rows of true frames with the model's frames below each; None if the data is gone."""
    content = checkpoint.load(file)
    data = _fitting_data(content)
    if data is None:
        return None
    model, rows, names, context = content.build(file), [], [], 0
    for i in range(min(max(1, options.sequences // 2), read_info(data).sequences)):
        truth = read_sequences(data, i)
        length = truth.frames.shape[1]
        context = min(8, length)
        rollout = roll_out(model, truth.frames, truth.prev_actions, context, length - context, decode=True)
        rows += [truth.frames, as_rgb(rollout.pictures())]
        names += [f"truth {i}", f"model {i}"]
    return _spread(np.concatenate(rows), options, tuple(names), context)


def _latents(path: Path, options: InspectConfig, folder: Path) -> Lines:
    """Write a sheet per kind of picture of a model's latent states into a folder."""
    make_folder(folder)
    file = checkpoint.find(path) if path.is_dir() else path
    content = checkpoint.load(file)
    model, data = content.build(file), _fitting_data(content)
    rows, columns, images = options.sequences, options.frames, None
    if data is not None:
        count = min(max(rows + 1, columns), read_info(data).sequences)
        images = np.concatenate([read_sequences(data, i, max_frames=1).frames[:, 0] for i in range(count)])
    for name, sheet in latent_sheets(model, images, rows, columns).items():
        picture = folder / f"{name}.png"
        write_png(picture, sheet.draw())
        yield name, picture
    if model.dynamics.fixed_start:
        yield "", "p(z_1) is wide and not learned, so the objects in samples.png are not those of the data"


def _fitting_data(content: checkpoint.Checkpoint) -> Path | None:
    """Return the data that a model was validated or trained on, if it exists and has the model's size."""
    origin = Origin.of(content.config)
    data = Path(origin.data or "")
    candidates = [Path(origin.val or ""), data / "val.h5", data / "train.h5", data]
    file = next((path for path in candidates if is_dataset(path) and path.suffix in DATASETS), None)
    if file is None:
        return None
    info = read_info(file)
    return file if (info.height, info.width) == (content.spec.height, content.spec.width) else None


def _spread(
    clips: np.ndarray, options: InspectConfig, rows: tuple[str, ...], context: int | None = None
) -> Sheet:
    """Return some frames of each clip "n t h w c", evenly spaced from the first to the last."""
    times = np.unique(np.linspace(0, clips.shape[1] - 1, options.frames).round().astype(int))
    return Sheet(clips[:, times], rows, frame_labels(times, context))
