"""Whole sequences for rollouts and scores: from datasets, NumPy files and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from data_gen.errors import DataError
from data_gen.media.reading import VIDEOS, fit, read_npz, read_video
from data_gen.schema import open_dataset, read_info
from data_gen.simulator import wall_rule
from seqvae.errors import UserError
from seqvae.metrics.objects import visible
from seqvae.tree import short_repr

# Faults of files, told as the user's.


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong with a dataset file inside the block into a UserError that names it."""
    try:
        yield
    except DataError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        problem = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read ({problem}); copy it or make it again") from None


# The one place where frames and actions on disk become what a model takes, and back.


def to_video(
    frames: UInt8[Tensor, "b t h w c"] | UInt8[np.ndarray, "b t h w c"],
) -> Float[Tensor, "b t c h w"]:
    """uint8 frames as float32 in [0, 1], on the device of the input."""
    # Moving bytes and widening them afterwards is faster than both at once.
    planes = rearrange(torch.as_tensor(frames), "b t h w c -> b t c h w").contiguous()
    return planes.to(torch.float32).div_(255)


def to_frames(video: Float[Tensor, "b t c h w"]) -> UInt8[Tensor, "b t h w c"]:
    """floor(255 x + 0.5) of a video in [0, 1], which is clipped first; the inverse of to_video."""
    levels = (video.detach().float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return rearrange(levels, "b t c h w -> b t h w c").contiguous()


def prev_actions(actions: Int[Tensor, "b t"] | Int[np.ndarray, "b t"]) -> Int[Tensor, "b t"]:
    """From actions on disk, where [:, t] acts between frame t and t + 1, to what led to frame t.

    The last entry on disk is the action that led to frame 0, so this is a rotation.
    """
    return torch.as_tensor(actions).roll(1, dims=1)


KEYS = {  # of a dataset -> field of Sequences
    "imgs": "frames",
    "positions": "positions",
    "velocities": "velocities",
    "sizes": "radii",
    "present": "present",
    "masks": "masks",
    "layers": "layers",
    "rewards": "rewards",
    "sources": "sources",
}
DIGITS = "data_gen.sims.digits.Digits"  # the simulator whose sequences share images
UNTIMED = ("sources",)  # of KEYS, those that hold for a whole sequence
ARRAYS = (*KEYS.values(), "prev_actions", "reach")  # fields of Sequences


@dataclass(frozen=True)
class Sequences:
    """Sequences of frames with whatever is known of them; positions in [0, coord_limit], x right, y down.

    velocities are per frame, radii in the units of positions; present: which objects exist, as the states
    of others mean nothing; layers: the order of drawing, higher is nearer; prev_actions[:, t] is the action
    that led to frame t, as a model takes it. sources: the images or videos that a sequence is made from (-1:
    none); sequences that share one are not independent samples. reach: the distance from a wall of the box
    [0, coord_limit]^2 at which an object's centre bounces, None where no walls are known. Each of them is
    None where the source has none. notes: one line for each thing that was done to the frames, for the user
    to read.
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
    prev_actions: Int[np.ndarray, "n t"] | None = None
    rewards: Float[np.ndarray, "n t"] | None = None
    sources: Int[np.ndarray, "n s"] | None = None
    reach: Float[np.ndarray, "n t k"] | None = None
    coord_limit: float | None = None
    num_actions: int = 0
    simulator: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def video(self) -> Float[Tensor, "n t c h w"]:
        """The frames as a model takes them: float32 in [0, 1], of four times the memory."""
        return to_video(self.frames)

    def first(self, n: int) -> "Sequences":
        """The first n sequences, with all that is known of them."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        return replace(self, **{name: x[:n] for name, x in arrays.items() if x is not None})

    def visible(self) -> Int[np.ndarray, "n t"] | None:
        """How many objects each frame shows, as far as that is known: by masks, presence, or states."""
        if self.masks is not None:
            return visible(self.masks)
        if self.present is not None:
            return self.present.sum(2)
        return None if self.positions is None else np.full(self.frames.shape[:2], self.positions.shape[2])

    def untold(self) -> "Sequences":
        """The same without the true states: frames, actions, and what standard errors need."""
        told = set(ARRAYS) - {"frames", "prev_actions", "sources"}
        return replace(self, **dict.fromkeys(told))


def read_sequences(
    path: str | Path,
    index: int | None = None,
    image_size: tuple[int, int] | None = None,
    max_frames: int | None = None,
) -> Sequences:
    """Read a dataset (.h5, .hdf5), `frames` in an .npz ("n t h w 3" or "t h w 3", uint8), or a video file.

    index: the one sequence to read, by default all.
    image_size: height and width that the frames must have. Videos are cropped to the middle and resized
        to it; of the others, any other size is an error.
    max_frames: read no more than the first so many frames.

    Raises UserError, in one line with a remedy, for whatever cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; make a dataset with python -m data_gen")
    time = slice(0, max_frames)
    if path.suffix in (".h5", ".hdf5"):
        found = _from_dataset(path, index, time)
    elif path.suffix == ".npz":
        found = _from_npz(path, index, time)
    elif path.suffix.lower() in VIDEOS:
        _select(path, 1, index)
        found = _from_video(path, image_size, max_frames)
    else:
        raise UserError(
            f"{path}: unknown kind of file; give a dataset .h5, an .npz or a video ({' '.join(VIDEOS)})"
        )
    size = found.frames.shape[2:4]
    if image_size is not None and size != tuple(image_size):
        raise UserError(
            f"{path}: frames are {_size(size)}, the model takes {_size(image_size)}; "
            "give data of that size or another model"
        )
    return found


def fields_of(
    arrays: Mapping[str, Any], chosen: slice = slice(None), time: slice = slice(None)
) -> dict[str, np.ndarray]:
    """The arrays of a dataset as fields of Sequences: of the chosen sequences, the frames in `time`.

    Actions are converted before they are cut, since the last one on disk led to frame 0.
    """
    fields = {
        name: arrays[key][chosen] if name in UNTIMED else arrays[key][chosen, time]
        for key, name in KEYS.items()
        if key in arrays
    }
    if "actions" in arrays:
        fields["prev_actions"] = prev_actions(arrays["actions"][chosen])[:, time].numpy()
    return fields


def _from_dataset(path: Path, index: int | None, time: slice) -> Sequences:
    with reading(path):
        info = read_info(path)
        chosen = _select(path, info.sequences, index)
        with open_dataset(path) as file:
            arrays = fields_of(file, chosen, time)
            shapes = file["shapes"][chosen, time] if "shapes" in file else None
    notes = ()
    if "sources" not in arrays and info.config.get("simulator", {}).get("_target_") == DIGITS:
        notes = (f"{path}: tells no sources, so its sequences count as independent; make it anew",)
    return Sequences(
        name=str(path),
        notes=notes,
        reach=reach_of(wall_rule(info), arrays.get("radii"), shapes, info.shape_names),
        coord_limit=info.coord_limit,
        num_actions=info.num_actions,
        simulator=info.simulator,
        **arrays,
    )


def reach_of(
    rule: Callable | None, radii: np.ndarray | None, shapes: np.ndarray | None, names: tuple[str, ...]
) -> Float[np.ndarray, "n t k"] | None:
    """The distance from a wall at which each object bounces, by its world's rule (data_gen.simulator)."""
    if rule is None or radii is None:
        return None
    return rule(radii, shapes, names)


def _from_npz(path: Path, index: int | None, time: slice) -> Sequences:
    with reading(path):
        frames = read_npz(path)
    return Sequences(name=str(path), frames=frames[_select(path, len(frames), index), time])


def _from_video(path: Path, image_size: tuple[int, int] | None, max_frames: int | None) -> Sequences:
    with reading(path):
        found = read_video(path)
        first = next(found)
        frames = [
            frame if image_size is None else fit(frame, image_size)
            for frame in islice(chain([first], found), max_frames)
        ]
    size, notes = first.shape[:2], ()
    if image_size is not None and size != tuple(image_size):
        notes = (f"{path}: frames of {_size(size)} cropped to the middle and resized to {_size(image_size)}",)
    return Sequences(name=str(path), frames=np.stack(frames)[None], notes=notes)


def _select(path: Path, sequences: int, index: int | None) -> slice:
    if index is None:
        return slice(None)
    if not 0 <= index < sequences:
        raise UserError(f"{path}: index={index}, but it holds sequences 0 to {sequences - 1}")
    return slice(index, index + 1)


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
