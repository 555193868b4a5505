"""python -m seqvae inspect PATH: what a dataset, checkpoint, run or video is, and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.media.reading import VIDEOS
from data_gen.schema import read_info
from seqvae import checkpoint, weights
from seqvae.cli.compose import PATHS, compose, flatten
from seqvae.cli.data import make_folder
from seqvae.cli.export import told
from seqvae.data.sequences import Sequences, read_sequences
from seqvae.errors import UserError, require, require_at_least
from seqvae.rollout import roll_out
from seqvae.video import as_rgb, contact_sheet, latents, paint_masks, write_png

DATASETS = (".h5", ".hdf5")
CHECKPOINTS = (checkpoint.BEST, checkpoint.LAST, weights.FILE)


def main(overrides: list[str]) -> None:
    """Run the command with configs/inspect.yaml and `overrides`, of which the first may be the path alone."""
    if overrides and ("=" not in overrides[0] or Path(overrides[0]).exists()):
        overrides = [f"path={overrides[0]}", *overrides[1:]]
    config = compose("inspect", overrides, paths=(*PATHS, "path"))
    require(config, path=(str,), latents=(bool,))
    require_at_least(config, sequences=1, frames=1)
    path = Path(config["path"])
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if config["out"] and Path(config["out"]).suffix != ".png":
        raise UserError(f"out={config['out']}: expected a name ending in .png")
    lines, clips, sheet = _looked_at(path, config)
    lines = list(lines)
    if clips is not None:
        sheet = Path(config["out"] or sheet)
        make_folder(sheet.parent)
        write_png(sheet, contact_sheet(clips))
        lines.append(("sheet", sheet))
    if config["latents"]:
        lines += _latents(path, config)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")


Lines = Iterator[tuple[str, Any]]


def _looked_at(path: Path, config: dict[str, Any]) -> tuple[Lines, np.ndarray | None, Path]:
    """What to print, the frames to show "n t h w 3" or None, and where to by default."""
    beside = path.with_name(f"{path.stem}_sheet.png")
    if path.is_dir():
        if any((path / name).is_file() for name in CHECKPOINTS):
            found = checkpoint.find(path)
            return _run(path, found), _futures(found, config), path / "sheet.png"
        inside = sorted(file for file in path.iterdir() if file.suffix in DATASETS)
        if not inside:
            raise UserError(f"{path}: holds no checkpoint ({', '.join(CHECKPOINTS)}) and no dataset (.h5)")
        return _folder(inside), None, path
    if path.suffix in DATASETS:
        count = min(config["sequences"], read_info(path).sequences)
        clips = np.concatenate([_rows(read_sequences(path, i)) for i in range(count)])
        return _dataset(path), _spread(clips, config["frames"]), beside
    if path.suffix == ".npz" or path.suffix.lower() in VIDEOS:
        sequences = read_sequences(path)
        clips = _spread(sequences.frames[: config["sequences"]], config["frames"])
        return _frames(path, sequences), clips, beside
    return _checkpoint(path), _futures(path, config), beside


def _rows(sequences: Sequences) -> np.ndarray:
    """The frames, and below each sequence its masks where there are any."""
    if sequences.masks is None:
        return sequences.frames
    rows = np.stack([sequences.frames, paint_masks(sequences.masks)], axis=1)
    return rows.reshape(-1, *sequences.frames.shape[1:])


def _dataset(path: Path) -> Lines:
    info = read_info(path)
    yield "dataset", path
    yield "sequences", f"{info.sequences} of {info.length} frames, {info.width}x{info.height}"
    yield "simulator", f"{info.simulator}, seed {info.seed}, package version {info.package_version}"
    if info.num_objects is not None:
        yield "objects", f"{info.num_objects}, positions in 0 to {info.coord_limit:g}"
    yield "actions", info.num_actions or "none"
    yield "keys", " ".join(info.keys)
    for key, value in flatten(info.config).items():
        yield f"  {key}", value


def _folder(files: list[Path]) -> Lines:
    for file in files:
        info = read_info(file)
        yield file.name, f"{info.sequences} sequences of {info.length} frames, {info.width}x{info.height}"


def _frames(path: Path, sequences: Sequences) -> Lines:
    n, length, height, width, _ = sequences.frames.shape
    yield "frames", path
    yield "sequences", f"{n} of {length} frames, {width}x{height}, without true states"


def _run(path: Path, file: Path) -> Lines:
    yield "run", path
    yield "files", " ".join(sorted(f.name for f in path.iterdir() if not f.name.startswith(".")))
    yield from _checkpoint(file)


def _checkpoint(path: Path) -> Lines:
    """Lines of a checkpoint; a file that is none raises UserError."""
    content = checkpoint.load(path)
    spec, model = content.spec, content.config["model"]
    yield "checkpoint", path
    yield "after", f"{content.step} updates" + ("" if content.training else "; to be used, not continued")
    for part in ("frame", "posterior", "dynamics"):
        yield part, model[part]["_target_"]
    built = content.build(path)
    yield "parameters", f"{sum(p.numel() for p in built.parameters()):,}"
    actions = f", {spec.actions} actions" if spec.actions else ""
    actions += " that the dynamics ignores" if spec.actions and built.ignores_actions else ""
    objects = f", {spec.objects} objects" if spec.objects else ""
    yield "data", f"{content.config.get('data')}: {spec.width}x{spec.height}{objects}{actions}"
    for name, value in told(content.scores).items():
        yield name, f"{value:.4g}"


def _futures(file: Path, config: dict[str, Any]) -> np.ndarray | None:
    """Rows of truth, and below each what the model makes of it; None where its data is not there any more."""
    content = checkpoint.load(file)
    data = _fitting_data(content)
    if data is None:
        return None
    model, rows = content.build(file), []
    for i in range(min(max(1, config["sequences"] // 2), read_info(data).sequences)):
        truth = read_sequences(data, i)
        length = truth.frames.shape[1]
        context = min(8, length)
        rollout = roll_out(model, truth.frames, truth.prev_actions, context, length - context, decode=True)
        rows += [truth.frames, as_rgb(rollout.pictures())]
    return _spread(np.concatenate(rows), config["frames"])


def _latents(path: Path, config: dict[str, Any]) -> Lines:
    """Write a sheet for each kind of picture of a model's latent states."""
    file = checkpoint.find(path) if path.is_dir() else path
    content = checkpoint.load(file)
    model, data = content.build(file), _fitting_data(content)
    rows, columns = config["sequences"], config["frames"]
    sheets = {"samples": latents.prior_samples(model, rows, columns)}
    if data is not None:
        count = min(max(rows + 1, columns), read_info(data).sequences)
        images = np.concatenate([read_sequences(data, i, max_frames=1).frames[:, 0] for i in range(count)])
        varied, names = latents.traversals(model, images, rows, columns)
        sheets |= {
            "reconstructions": latents.reconstructions(model, images[:columns]),
            "slots": latents.slots(model, images[: max(rows, columns)]),
            "interpolations": latents.interpolations(model, images[: rows + 1], columns),
            "traversals": varied,
        }
        yield "traversed", ", ".join(names)
    for name, frames in sheets.items():
        if frames is None:
            continue
        sheet = file.with_name(f"{name}.png")
        write_png(sheet, contact_sheet(as_rgb(frames)))
        yield name, sheet


def _fitting_data(content: checkpoint.Checkpoint) -> Path | None:
    """The data that a model was validated or trained on, if it is still there and of the model's size."""
    data = _data_of(content.config)
    if data is None:
        return None
    info = read_info(data)
    return data if (info.height, info.width) == (content.spec.height, content.spec.width) else None


def _data_of(config: dict[str, Any]) -> Path | None:
    """The data that a run was validated on, or trained on, if it is where it was."""
    data = Path(config.get("data") or "")
    candidates = [Path(config.get("val") or ""), data / "val.h5", data / "train.h5", data]
    return next((path for path in candidates if path.is_file() and path.suffix in DATASETS), None)


def _spread(clips: np.ndarray, count: int) -> np.ndarray:
    """`count` frames of each clip, evenly spaced from the first to the last."""
    times = np.unique(np.linspace(0, clips.shape[1] - 1, count).round().astype(int))
    return clips[:, times]
