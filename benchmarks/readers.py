"""Readers of files: for each kind a sound file, and the calls that read it, as the commands do."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import zarr
from hostile import DATASETS, GIFS, NUMPY_FILES, PICKLES, ZARRS
from hostile_runs import CHECKPOINTS, RECORDS, WEIGHTS
from isolated import command, isolated
from PIL import Image

from data_gen.__main__ import main as data_gen
from data_gen.card import compute_statistics
from data_gen.convert import ExportOptions, export_data, import_data
from data_gen.formats import ImportOptions
from data_gen.media.writing import write_video
from data_gen.preview import read_scenes
from data_gen.schema import read_info
from seqvae import checkpoint
from seqvae.__main__ import main as seqvae
from seqvae.data.clips import ClipRequest
from seqvae.data.excerpts import read_excerpt
from seqvae.data.sequences import read_sequences
from seqvae.data.streamed import StreamedClips
from seqvae.report.read import read_run

TRAIN = (
    "model=linear",
    "threads=1",
    "workers=0",
    *(f"trainer.{key}" for key in ("steps=2", "batch_size=2", "clip_length=5", "context=4", "log_every=1")),
    "trainer.validate_every=2",
    "trainer.tracker=null",
    "optim.ema=0.9",
)
Hostile = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file.

    file: sound file, in the folder of samples
    calls: functions of a path that read it
    hostile: name -> function that writes a hostile file, of the sound one and the new path
    has_threads: whether the library below starts threads, after which a process cannot be forked
    """

    file: str
    calls: tuple[Callable[[Path], Any], ...]
    hostile: Mapping[str, Hostile] = field(default_factory=dict)
    has_threads: bool = False


def make_samples(folder: Path) -> Path:
    """Write a sound file of each kind."""
    folder.mkdir(parents=True)
    sizes = ["train=4", "val=4", "test=4", "length=8", "image_size=16", "workers=1"]
    assert data_gen(["sim=avoidance", f"out={folder / 'data'}", *sizes]) == 0
    assert seqvae(["train", *TRAIN, f"data={folder / 'data'}", f"run={folder / 'run'}"]) == 0
    assert seqvae(["export", f"run={folder / 'run'}", f"out={folder / 'shared'}"]) == 0
    scored = ["context=4", "horizon=4", "iwae=0", "videos=0"]
    assert seqvae(["evaluate", f"run={folder / 'run'}", f"data={folder / 'data/test.h5'}", *scored]) == 0
    with h5py.File(folder / "data" / "train.h5") as file:
        arrays = {key: file[key][:] for key in ("imgs", "positions", "actions", "rewards")}
    with h5py.File(folder / "foreign.hdf5", "w") as file:
        for key, array in arrays.items():
            file.create_dataset(f"group/{key}", data=array, chunks=(1, *array.shape[1:]), compression="gzip")
    np.savez(folder / "stored.npz", frames=arrays["imgs"], actions=arrays["actions"])
    np.savez_compressed(folder / "packed.npz", frames=arrays["imgs"], positions=arrays["positions"])
    np.save(folder / "plain.npy", arrays["imgs"])
    states = np.concatenate([arrays["positions"]] * 2, -1)
    stove = {"X": arrays["imgs"] / 255.0, "y": states, "coord_lim": 10.0, "r": 1.2, "m": 1.0, "hw": 16}
    (folder / "stove.pkl").write_bytes(pickle.dumps(stove))
    assert isolated(lambda: _write_zarr(folder / "store.zarr", arrays), 60).kind == "done"
    frames = arrays["imgs"][0]
    images = [Image.fromarray(frame) for frame in frames]
    for suffix in (".gif", ".webp", ".apng"):
        kind = {".apng": "PNG"}.get(suffix, suffix[1:].upper())
        images[0].save(folder / f"film{suffix}", kind, save_all=True, append_images=images[1:], duration=100)
    assert isolated(lambda: write_video(folder / "film.mp4", frames, 10), 60).kind == "done"
    (folder / "pictures").mkdir()
    for number, image in enumerate(images):
        image.save(folder / "pictures" / f"{number}.png")
    return folder


def _write_zarr(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    store = zarr.open_group(str(path), mode="w")
    for key in ("imgs", "positions"):
        store.create_array(key, data=arrays[key], chunks=(1, *arrays[key].shape[1:]))


def _imported(form: str, **options: Any) -> Callable[[Path], None]:
    def call(path: Path) -> None:
        with TemporaryDirectory() as out:
            import_data(ImportOptions(form, str(path), out, **options))

    return call


def _clips(path: Path) -> None:
    clips = StreamedClips(path, workers=0)
    clips.require_clips(5)
    clips.batch(ClipRequest(0, 4, 5, seed=0))
    for _ in clips.full_sequences(2):
        pass


def _preview(path: Path) -> None:
    info = read_info(path)
    read_scenes(info, 2)
    compute_statistics(info)


def _export(path: Path) -> None:
    for form in ("gswm", "stove"):
        with TemporaryDirectory() as out:
            export_data(ExportOptions(form, str(path), out))


def _resume(path: Path) -> None:
    """Continue the training of a checkpoint."""
    with TemporaryDirectory() as folder:
        shutil.copy(path, Path(folder) / checkpoint.LAST)
        command(seqvae, ["train", f"run={folder}", "resume=true", "trainer.steps=4", "data=data"])


def _record(name: str) -> Callable[[Path], None]:
    """Return the call that reads a run in which one file is replaced."""

    def call(path: Path) -> None:
        with TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            shutil.copytree("run", run)
            shutil.copy(path, run / name)
            if name == "config.yaml":
                (run / checkpoint.BEST).unlink()
                (run / checkpoint.LAST).unlink()
            read_run(run)

    return call


FRAMES = (lambda path: read_sequences(path), lambda path: read_excerpt(path, 2, 4), _imported("arrays"))
VIDEOS = (
    lambda path: read_sequences(path, image_size=(16, 16)),
    lambda path: read_excerpt(path, 1, 4),
    _imported("videos"),
)
READERS = {
    "dataset, HDF5": Reader(
        "data/train.h5",
        (lambda path: read_sequences(path), lambda path: read_excerpt(path, 2, 4), _clips, _preview, _export),
        DATASETS,
    ),
    "HDF5 of others, import": Reader("foreign.hdf5", (_imported("arrays", coordinates=10.0),)),
    "G-SWM, import": Reader("data/val.h5", (_imported("gswm"),)),
    "npz": Reader("stored.npz", FRAMES, NUMPY_FILES),
    "npz, compressed": Reader("packed.npz", (*FRAMES[:2], _imported("arrays", coordinates=10.0))),
    "npy": Reader("plain.npy", FRAMES),
    "Zarr, import": Reader("store.zarr", (_imported("arrays", coordinates=10.0),), ZARRS, has_threads=True),
    "pickle, import": Reader("stove.pkl", (_imported("stove"),), PICKLES),
    "GIF": Reader("film.gif", VIDEOS, GIFS),
    "WebP": Reader("film.webp", VIDEOS),
    "APNG": Reader("film.apng", VIDEOS),
    "MP4": Reader("film.mp4", VIDEOS),
    "pictures, import": Reader("pictures", (_imported("pictures", length=4),)),
    "checkpoint": Reader("run/best.pt", (lambda path: checkpoint.load_model(path), read_run), CHECKPOINTS),
    "checkpoint, resumed": Reader("run/last.pt", (_resume,), CHECKPOINTS),
    "weights": Reader("shared/model.safetensors", (lambda path: checkpoint.load_model(path),), WEIGHTS),
    "config of a run": Reader("run/config.yaml", (_record("config.yaml"),), RECORDS),
    "log of a run": Reader("run/log.jsonl", (_record("log.jsonl"),), RECORDS),
    "evaluation": Reader("run/evaluation/metrics.json", (_record("evaluation/metrics.json"),), RECORDS),
}
