"""The pickles of STOVE's authors (Kossen et al. 2020, arXiv:1910.02425): billiards_train.pkl and the like.

A dict with X "n t h w 3" float64 in [0, 1], y "n t k 4" = x, y, vx, vy, and the numbers r, m, hw, coord_lim.
With actions also action "n t a", one-hot, where [:, t] acts between frame t and t + 1, reward and done
"n t 1", and action_space.

What is lost on the way out: colours, collisions, visibility, and who has which mass where a ball is an agent.
On the way in nothing is, but masses are left out where there are actions: m is not the agent's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data_gen.errors import DataError
from data_gen.formats import Options, Source, as_bytes, as_field, check_shapes, files_in, slices
from data_gen.formats.pickles import PickleWriter, read_pickle
from data_gen.io import whole
from data_gen.schema import DatasetInfo

SUFFIX = ".pkl"


def read(path: Path, options: Options) -> Iterator[Source]:
    """The splits in a file or folder. A pickle is read whole; its frames become bytes block by block."""
    for file_path in files_in(path, (SUFFIX, ".pickle")):
        yield _source(file_path, read_pickle(file_path), options)


def _source(path: Path, found: Any, options: Options) -> Source:
    if not isinstance(found, dict) or not isinstance(found.get("X"), np.ndarray):
        raise DataError(f"{path}: holds no dict with an array X; is it another format=")
    arrays = _truth(path, found)
    frames = found["X"]
    check_shapes(path, {"imgs": frames.shape} | {key: array.shape for key, array in arrays.items()})
    attributes = {"num_actions": 0, "shape_names": ("disc",), "coord_limit": float(frames.shape[3])}
    if "y" in found:
        attributes["coord_limit"] = _number(path, found, "coord_lim", "hw")
    if "action" in found:
        attributes["num_actions"] = found["action"].shape[-1]
    blocks = _blocks(path, frames, {key: as_field(path, key, array) for key, array in arrays.items()})
    return Source(options.split_of(path), len(frames), blocks, attributes)


def _blocks(path: Path, frames: np.ndarray, truth: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for part in slices(len(frames), frames[0].nbytes):
        rest = {key: array[part] for key, array in truth.items()}
        yield {"imgs": as_bytes(path, "X", frames[part]), **rest}


def _truth(path: Path, found: dict[str, Any]) -> dict[str, np.ndarray]:
    """Everything but the frames, by its key in the dataset."""
    arrays: dict[str, np.ndarray] = {}
    if "y" in found:
        arrays |= _objects(path, found)
    if "action" in found:
        action = _array(path, found, "action", axes=3)
        if not ((action == 0) | (action == 1)).all() or (action.sum(-1) != 1).any():
            raise DataError(f"{path}: action must be one-hot, a single 1 along its last axis")
        arrays["actions"] = action.argmax(-1)
    for key, name in (("rewards", "reward"), ("dones", "done")):
        if name in found:
            array = _array(path, found, name)
            arrays[key] = array[..., 0] if array.ndim == 3 else array
    return arrays


def _objects(path: Path, found: dict[str, Any]) -> dict[str, np.ndarray]:
    states = _array(path, found, "y", axes=4)
    if states.shape[-1] != 4:
        raise DataError(f"{path}: y has shape {states.shape}, must end in 4: x, y, vx, vy")
    shape, limit = states.shape[:-1], _number(path, found, "coord_lim", "hw")
    arrays = {"positions": states[..., :2], "velocities": states[..., 2:], "present": np.ones(shape, bool)}
    if "m" in found and "action" not in found:
        arrays["masses"] = _each(path, found, "m", shape)
    if "r" in found:
        radii = arrays["sizes"] = _each(path, found, "r", shape)
        reach = radii[..., None]
        seen = ((states[..., :2] > -reach) & (states[..., :2] < limit + reach)).all(-1)
        arrays |= {"in_camera": seen, "ids": np.where(seen, np.arange(1, shape[-1] + 1), 0)}
    return arrays


def _array(path: Path, found: dict[str, Any], key: str, axes: int | None = None) -> np.ndarray:
    array = found[key]
    if not isinstance(array, np.ndarray) or (axes is not None and array.ndim != axes):
        raise DataError(f"{path}: {key} must be an array{f' with {axes} axes' if axes else ''}")
    return array


def _number(path: Path, found: dict[str, Any], *keys: str) -> float:
    """The first of the keys that is there, a number above 0."""
    value = next((found[key] for key in keys if key in found), None)
    if not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise DataError(f"{path}: {keys[0]} is {value!r}, must be a number above 0")
    return float(value)


def _each(path: Path, found: dict[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A number of all objects, or one of each, for every frame: "n t k"."""
    try:
        values = np.asarray(found[key], dtype=float)
        return np.broadcast_to(values.reshape(-1), shape)
    except (TypeError, ValueError):
        raise DataError(f"{path}: {key} must be one number, or one for each of {shape[-1]} objects") from None


def write(path: Path, file: h5py.File, info: DatasetInfo) -> None:
    """Write our dataset as such a pickle; raises DataError where objects differ in what it tells once."""
    missing = [key for key in ("positions", "velocities", "sizes", "masses") if key not in file]
    if missing:
        raise DataError(f"{info.path}: has no {', '.join(missing)}, which the pickle tells; take other data")
    if "present" in file and not file["present"][:].all():
        raise DataError(f"{info.path}: objects come and go, which the pickle cannot tell; export as gswm")
    acting = "actions" in file
    plain = {
        "r": _common(info, "sizes", file["sizes"][:]),
        "m": _common(info, "masses", file["masses"][:, :, int(acting) :]),  # ball 0 is then the agent
        "n": info.num_objects,
        "res": info.width,
        "hw": info.coord_limit,
        "coord_lim": info.coord_limit,
    }
    if acting:
        plain["action_space"] = info.num_actions
    n, t = info.sequences, info.length
    parts = list(slices(n, t * info.height * info.width * 3 * 8))
    with whole(path) as temporary, temporary.open("wb") as out:
        pickled = PickleWriter(out, plain)
        frames = (file["imgs"][part] / 255.0 for part in parts)
        pickled.array("X", (n, t, info.height, info.width, 3), frames)
        states = np.concatenate([file["positions"][:], file["velocities"][:]], axis=-1)
        pickled.array("y", states.shape, [states])
        if acting:
            actions = np.eye(info.num_actions)[file["actions"][:]]
            pickled.array("action", actions.shape, [actions])
        for key, name in (("rewards", "reward"), ("dones", "done")):
            if acting and key in file:
                pickled.array(name, (n, t, 1), [file[key][:]])
        pickled.close()


def _common(info: DatasetInfo, key: str, values: np.ndarray) -> float:
    """The one value that all have."""
    low, high = float(values.min()), float(values.max())
    if low != high:
        raise DataError(f"{info.path}: {key} differ, {low:g} to {high:g}, and the pickle tells one; use gswm")
    return float(str(values.flat[0]))  # 1.2 and not the nearest float32
