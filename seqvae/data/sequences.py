"""Whole sequences for rollouts and scores: from datasets, NumPy files and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from data_gen.errors import DataError
from data_gen.io import unreadable
from data_gen.media.reading import fit
from data_gen.media.videos import VIDEOS, VideoFile
from data_gen.numpy_files import NUMPY, open_frames
from data_gen.schema import DatasetFile, dataset_file, open_dataset, read_info
from data_gen.shards import is_dataset
from data_gen.simulator import wall_rule
from seqvae.data.conversion import prev_actions, to_coordinates, to_half_widths, to_video
from seqvae.errors import UserError
from seqvae.metrics.objects import count_visible
from seqvae.tree import short_repr

DATASETS = (".h5", ".hdf5")
KEYS = {  # of a dataset -> field of Sequences
    "imgs": "frames",
    "positions": "positions",
    "velocities": "velocities",
    "sizes": "radii",
    "present": "present",
    "masks": "masks",
    "layers": "layers",
    "ids": "ids",
    "rewards": "rewards",
    "dones": "ends",
    "sources": "sources",
}
UNTIMED = ("sources",)  # fields that hold for a whole sequence
ARRAYS = (*KEYS.values(), "prev_actions", "walls")  # fields of Sequences that hold an array
INPUTS = ("frames", "prev_actions")  # fields that a model reads
DIGITS = "data_gen.sims.digits.Digits"  # the simulator whose sequences share images


@dataclass(frozen=True)
class Sequences:
    """Sequences of frames with what is known of them, in the units of a model.

    Positions are coordinates of the picture, x to the right in half-widths and y down in half-heights. Every
    array but the frames is None where the data does not have it.

    name: file or simulator, for messages
    frames: n t h w c, uint8
    positions: n t k 2, half-widths and half-heights from the middle of the picture
    velocities: n t k 2, half-widths and half-heights per frame
    radii: n t k, half-widths
    present: n t k, whether an object exists; the states of others mean nothing. None: all do
    masks: n t h w, 0 background, k + 1 the object seen at a pixel
    layers: n t k, drawing order, higher is nearer
    ids: n t k, a number that stays with an object while it is visible, 0 while it is not
    prev_actions: n t, the action that led to each frame
    rewards: n t, received on arriving at a frame
    ends: n t, whether the episode has ended at a frame
    sources: n s, images or videos that a sequence is made from, -1 for none; sequences that share one are
        not independent samples
    walls: n t k, an object's centre bounces at -wall and wall in both coordinates; worlds with walls are
        square
    coord_limit: width of the picture in simulator units, as files of rollouts have them
    num_actions: number of different actions, 0 without actions
    simulator: name of the world
    notes: lines that say what was done to the frames, for the user to read
    """

    __repr__ = short_repr

    name: str
    frames: UInt8[np.ndarray, "n t h w c"]
    positions: Float[np.ndarray, "n t k 2"] | None = None
    velocities: Float[np.ndarray, "n t k 2"] | None = None
    radii: Float[np.ndarray, "n t k"] | None = None
    present: Bool[np.ndarray, "n t k"] | None = None
    masks: UInt8[np.ndarray, "n t h w"] | None = None
    layers: Int[np.ndarray, "n t k"] | None = None
    ids: Int[np.ndarray, "n t k"] | None = None
    prev_actions: Int[np.ndarray, "n t"] | None = None
    rewards: Float[np.ndarray, "n t"] | None = None
    ends: Bool[np.ndarray, "n t"] | None = None
    sources: Int[np.ndarray, "n s"] | None = None
    walls: Float[np.ndarray, "n t k"] | None = None
    coord_limit: float | None = None
    num_actions: int = 0
    simulator: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def aspect(self) -> float:
        """Height of the picture over its width."""
        height, width = self.frames.shape[2:4]
        return height / width

    def video(self) -> Float[Tensor, "n t c h w"]:
        """Return the frames as a model takes them: float32 in [0, 1], of four times the memory."""
        return to_video(self.frames)

    def interaction(self) -> dict[str, np.ndarray]:
        """Return the arrays of Interaction that are known, by name."""
        names = ("prev_actions", "rewards", "ends")
        return {name: x for name in names if (x := getattr(self, name)) is not None}

    def first(self, n: int) -> Sequences:
        """Return the first n sequences with all that is known of them."""
        return self.select(slice(n))

    def select(self, where: slice, frames: slice = slice(None)) -> Sequences:
        """Return some sequences, and some of their frames, with all that is known of them."""
        arrays = {name: x for name in ARRAYS if (x := getattr(self, name)) is not None}
        return replace(self, **{n: x[where] if n in UNTIMED else x[where, frames] for n, x in arrays.items()})

    def without_truth(self) -> Sequences:
        """Return only what a model reads, and the sources, which standard errors need."""
        return replace(self, **dict.fromkeys(set(ARRAYS) - {*INPUTS, "sources"}))

    def count_visible(self) -> Int[np.ndarray, "n t"] | None:
        """Return the number of objects that each frame shows, by masks, presence, or states; else None."""
        if self.masks is not None:
            return count_visible(self.masks)
        if self.present is not None:
            return self.present.sum(2)
        return None if self.positions is None else np.full(self.frames.shape[:2], self.positions.shape[2])


def read_sequences(
    path: str | Path,
    index: int | None = None,
    image_size: tuple[int, int] | None = None,
    max_frames: int | None = None,
    first: int | None = None,
) -> Sequences:
    """Read a dataset (.h5, .hdf5), frames in an .npz or .npy, or a video file.

    A folder stands for the test.h5 in it. Frames of NumPy have any layout, type and channels that have a
    single meaning (data_gen.numpy_files.open_frames).

    index: number of the one sequence to read; None: all.
    image_size: height and width that the frames must have. Videos are cropped to the middle and resized
        to it; of the others, any other size is an error.
    max_frames: number of frames after which each sequence is cut off.
    first: number of sequences after which the data is cut off.

    Raises:
        UserError: the file cannot be read, holds no such sequence, or has frames of another size.
    """
    with reading(path):
        path = dataset_file(path)
    if not is_dataset(path):
        raise UserError(f"{path}: no such file; make a dataset with python -m data_gen")
    time = slice(0, max_frames)
    if path.suffix in DATASETS:
        sequences = _read_dataset(path, index, first, time)
    elif path.suffix.lower() in NUMPY:
        sequences = _read_numpy(path, index, first, time)
    elif path.suffix.lower() in VIDEOS:
        _select(path, 1, index)
        sequences = _read_video(path, image_size, max_frames)
    else:
        raise UserError(
            f"{path}: unknown kind of file; give a dataset .h5, .npz, .npy or a video ({' '.join(VIDEOS)})"
        )
    size = sequences.frames.shape[2:4]
    if image_size is not None and size != tuple(image_size):
        raise UserError(
            f"{path}: frames are {_format_size(size)}, the model takes {_format_size(image_size)}; "
            "give data of that size or another model"
        )
    return sequences


def fields_of(
    arrays: Mapping[str, Any],
    limit: float,
    reach: Callable[..., np.ndarray] | None = None,
    shape_names: tuple[str, ...] = (),
    chosen: slice = slice(None),
    time: slice = slice(None),
    num_actions: int = 0,
    name: str = "data",
) -> dict[str, Any]:
    """Convert the arrays of a dataset to fields of Sequences: of the chosen sequences, the frames in `time`.

    arrays: arrays on disk or in memory, by the keys of a dataset.
    limit: width of the picture in simulator units.
    reach: distance from a wall at which objects bounce, of radii "n t k" in simulator units, indices of
        shapes "n t k" or None, and the names of shapes (data_gen.simulator); None: there are no known walls.
    num_actions: number of different actions, 0 where it is not known.
    name: of the data, for messages.

    Raises:
        UserError: an action, or the index of a shape, is out of range.
    """

    def read(key: str) -> np.ndarray:
        return arrays[key][chosen, time]

    fields: dict[str, Any] = {
        name: arrays[key][chosen] if name in UNTIMED else read(key)
        for key, name in KEYS.items()
        if key in arrays
    }
    if reach is not None and "radii" in fields:
        shapes = read("shapes") if "shapes" in arrays else None
        if shapes is not None and shapes.size and not 0 <= shapes.min() <= shapes.max() < len(shape_names):
            raise UserError(f"{name}: has shapes beyond its {len(shape_names)} names; make the data again")
        from_wall = reach(fields["radii"], shapes, shape_names)
        fields["walls"] = 1 - to_half_widths(from_wall, limit)
    if "positions" in fields:
        fields["positions"] = to_coordinates(fields["positions"], limit)
    for length in {"velocities", "radii"} & fields.keys():
        fields[length] = to_half_widths(fields[length], limit)
    if "actions" in arrays:  # converted before they are cut, since the last one on disk led to frame 0
        fields["prev_actions"] = prev_actions(arrays["actions"][chosen], num_actions, name)[:, time].numpy()
    return fields


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong with a dataset file inside the block into a UserError that names it."""
    try:
        yield
    except DataError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(str(unreadable(Path(error.filename or path), error))) from None


@contextmanager
def open_arrays(path: str | Path) -> Iterator[DatasetFile]:
    """Open a dataset for the block, in which `reading` applies."""
    with reading(path), open_dataset(path) as file:
        yield file


def _read_dataset(path: Path, index: int | None, first: int | None, time: slice) -> Sequences:
    with open_arrays(path) as arrays:
        info = read_info(path)
        chosen = _select(path, info.sequences, index, first)
        fields = fields_of(
            arrays,
            info.coord_limit,
            wall_rule(info),
            info.shape_names,
            chosen,
            time,
            info.num_actions,
            str(path),
        )
    notes = ()
    if "sources" not in fields and info.config.get("simulator", {}).get("_target_") == DIGITS:
        notes = (f"{path}: tells no sources, so its sequences count as independent; make it anew",)
    return Sequences(
        name=str(path),
        notes=notes,
        coord_limit=info.coord_limit,
        num_actions=info.num_actions,
        simulator=info.simulator,
        **fields,
    )


def _read_numpy(path: Path, index: int | None, first: int | None, time: slice) -> Sequences:
    with reading(path):
        frames = open_frames(path)
        chosen = _select(path, frames.sizes["n"], index, first)
        return Sequences(name=str(path), frames=frames.read(chosen, time))


def _read_video(path: Path, image_size: tuple[int, int] | None, max_frames: int | None) -> Sequences:
    with reading(path):
        video = VideoFile(path, max_frames=max_frames)
        frames, size = [], (0, 0)
        for frame in video:
            size = frame.image.shape[:2]
            frames.append(frame.image if image_size is None else fit(frame.image, image_size))
    notes = tuple(f"{path}: {note}" for note in video.notes)
    if image_size is not None and size != tuple(image_size):
        change = f"{_format_size(size)} cropped to the middle and resized to {_format_size(image_size)}"
        notes += (f"{path}: frames of {change}",)
    return Sequences(name=str(path), frames=np.stack(frames)[None], notes=notes)


def _select(path: Path, sequences: int, index: int | None, first: int | None = None) -> slice:
    if index is None:
        return slice(first)
    if not 0 <= index < sequences:
        raise UserError(f"{path}: index={index}, but it holds sequences 0 to {sequences - 1}")
    return slice(index, index + 1)


def _format_size(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
