"""The pickles of STOVE's authors (Kossen et al. 2020, arXiv:1910.02425): billiards_train.pkl and the like.

A dict with X "n t h w 3" float64 in [0, 1], y "n t k 4" = x, y, vx, vy, and the numbers r (radius), m (mass),
hw and coord_lim. With actions also action "n t a", one-hot, where [:, t] acts between frame t and t + 1,
reward and done "n t 1", and action_space.

An export loses colours, collisions, visibility, and where one ball is an agent, its mass. An import loses the
masses where there are actions, as m is not the mass of the agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import (
    ForeignSplit,
    ImportOptions,
    as_bytes,
    as_field,
    check_shapes,
    files_in,
    slices,
)
from data_gen.formats.pickles import PickleWriter, read_pickle
from data_gen.io import output_path
from data_gen.schema import DatasetFile, DatasetInfo

SUFFIX = ".pkl"


def read(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits in a file or folder: pickles at once, their frames become bytes block by block."""
    for file_path in files_in(path, (SUFFIX, ".pickle")):
        yield _read_file(file_path, read_pickle(file_path), options)


def _read_file(path: Path, content: Any, options: ImportOptions) -> ForeignSplit:
    if not isinstance(content, dict) or not isinstance(content.get("X"), np.ndarray):
        raise DataError(f"{path}: holds no dict with an array X; is it another format=")
    arrays = _truth(path, content)
    frames = content["X"]
    check_shapes(path, {"imgs": frames.shape} | {key: array.shape for key, array in arrays.items()})
    attributes = {"num_actions": 0, "shape_names": ("disc",), "coord_limit": float(frames.shape[3])}
    if "y" in content:
        attributes["coord_limit"] = _coord_limit(path, content)
    if "action" in content:
        attributes["num_actions"] = content["action"].shape[-1]
    truth = {key: as_field(path, key, array) for key, array in arrays.items()}
    return ForeignSplit(options.split_of(path), len(frames), _read_blocks(path, frames, truth), attributes)


def _read_blocks(
    path: Path, frames: np.ndarray, truth: dict[str, np.ndarray]
) -> Iterator[dict[str, np.ndarray]]:
    for block in slices(len(frames), frames[0].nbytes):
        arrays = {key: array[block] for key, array in truth.items()}
        yield {"imgs": as_bytes(path, "X", frames[block]), **arrays}


def _truth(path: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return every array but the frames, by its key in the dataset."""
    arrays: dict[str, np.ndarray] = {}
    if "y" in content:
        arrays |= _objects(path, content)
    if "action" in content:
        one_hot = _array(path, content, "action", axes=3)
        if not ((one_hot == 0) | (one_hot == 1)).all() or (one_hot.sum(-1) != 1).any():
            raise DataError(f"{path}: action must be one-hot, a single 1 along its last axis")
        arrays["actions"] = one_hot.argmax(-1)
    for key, name in (("rewards", "reward"), ("dones", "done")):
        if name in content:
            array = _array(path, content, name)
            arrays[key] = array[..., 0] if array.ndim == 3 else array
    return arrays


def _objects(path: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    states = _array(path, content, "y", axes=4)
    if states.shape[-1] != 4:
        raise DataError(f"{path}: y has shape {states.shape}, must end in 4: x, y, vx, vy")
    shape, limit = states.shape[:-1], _coord_limit(path, content)
    positions, velocities = states[..., :2], states[..., 2:]
    arrays = {"positions": positions, "velocities": velocities, "present": np.ones(shape, bool)}
    if "m" in content and "action" not in content:
        arrays["masses"] = _per_object(path, content, "m", shape)
    if "r" in content:
        radii = arrays["sizes"] = _per_object(path, content, "r", shape)
        reach = radii[..., None]
        visible = ((positions > -reach) & (positions < limit + reach)).all(-1)
        arrays |= {"in_camera": visible, "ids": np.where(visible, np.arange(1, shape[-1] + 1), 0)}
    return arrays


def _array(path: Path, content: dict[str, Any], key: str, axes: int | None = None) -> np.ndarray:
    array = content[key]
    if not isinstance(array, np.ndarray) or (axes is not None and array.ndim != axes):
        raise DataError(f"{path}: {key} must be an array{f' with {axes} axes' if axes else ''}")
    return array


def _coord_limit(path: Path, content: dict[str, Any]) -> float:
    """Return coord_lim, or hw in its absence."""
    value = content.get("coord_lim", content.get("hw"))
    if not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise DataError(f"{path}: coord_lim is {value!r}, must be a number above 0")
    return float(value)


def _per_object(path: Path, content: dict[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a number that all objects share, or one per object, for every frame: "n t k"."""
    try:
        values = np.asarray(content[key], dtype=float)
        return np.broadcast_to(values.reshape(-1), shape)
    except (TypeError, ValueError):
        raise DataError(f"{path}: {key} must be one number, or one for each of {shape[-1]} objects") from None


def _actions(file: DatasetFile, info: DatasetInfo) -> np.ndarray:
    """Return the actions of a dataset; raise DataError if one is out of range."""
    actions = file["actions"][:]
    if actions.size and not 0 <= actions.min() <= actions.max() < info.num_actions:
        found = f"{actions.min()} to {actions.max()}"
        raise DataError(f"{info.path}: has actions from {found}, must be 0 to {info.num_actions - 1}")
    return actions


def write(path: Path, file: DatasetFile, info: DatasetInfo) -> None:
    """Write a dataset as such a pickle.

    Raises:
        DataError: objects differ in a number that the pickle holds once, or come and go.
    """
    missing = [key for key in ("positions", "velocities", "sizes", "masses") if key not in file]
    if missing:
        raise DataError(f"{info.path}: has no {', '.join(missing)}, which the pickle needs; take other data")
    if "present" in file and not file["present"][:].all():
        raise DataError(f"{info.path}: objects come and go, which the pickle cannot say; export as gswm")
    has_actions = "actions" in file
    first_ball = 1 if has_actions else 0  # ball 0 is the agent, whose mass differs
    numbers = {
        "r": _common_value(info, "sizes", file["sizes"][:]),
        "m": _common_value(info, "masses", file["masses"][:, :, first_ball:]),
        "n": info.num_objects,
        "res": info.width,
        "hw": info.coord_limit,
        "coord_lim": info.coord_limit,
    }
    if has_actions:
        numbers["action_space"] = info.num_actions
    n, t = info.sequences, info.length
    blocks = list(slices(n, t * info.height * info.width * 3 * 8))
    with output_path(path) as temporary, temporary.open("wb") as out:
        pickled = PickleWriter(out, numbers)
        frames = (file["imgs"][block] / 255.0 for block in blocks)
        pickled.array("X", (n, t, info.height, info.width, 3), frames)
        states = np.concatenate([file["positions"][:], file["velocities"][:]], axis=-1)
        pickled.array("y", states.shape, [states])
        if has_actions:
            actions = np.eye(info.num_actions)[_actions(file, info)]
            pickled.array("action", actions.shape, [actions])
        for key, name in (("rewards", "reward"), ("dones", "done")):
            if has_actions and key in file:
                pickled.array(name, (n, t, 1), [file[key][:]])
        pickled.close()


def _common_value(info: DatasetInfo, key: str, values: np.ndarray) -> float:
    """Return the value that all objects share."""
    low, high = float(values.min()), float(values.max())
    if low != high:
        raise DataError(f"{info.path}: {key} differ, {low:g} to {high:g}, and the pickle holds one; use gswm")
    return float(str(values.flat[0]))  # 1.2 and not the nearest float32
