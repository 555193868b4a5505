"""The dataset file: one HDF5 file per split, with the keys of the G-SWM balls data (Lin et al. 2020).

    n sequence, t frame, k object, h w image, c channel, a number of an action, s source

data_gen.writer writes it. `train.h5` may also name a dataset in several files (data_gen.shards), which
open_dataset and read_info take for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_gen.errors import DataError
from data_gen.hdf5 import ArrayFile, as_texts, is_number, is_text, open_hdf5
from data_gen.io import parse_json
from data_gen.shards import ShardedFile, datasets_in, find_shards

FORMAT, FORMAT_VERSION = "seqvae-dataset", 1
ACTION_CONVENTION = "actions[:, t] acts between frame t and t + 1; the last entry led to frame 0"

_REMEDY = "make it with python -m data_gen"
_AGAIN = "make it again with python -m data_gen overwrite=true"


class Field(NamedTuple):
    """One key of the file.

    axes: letters of the module's docstring, or numbers for axes of fixed length
    dtype: type on disk; a file may have another width of the same kind
    required: whether every file has the key
    """

    axes: str
    dtype: type
    required: bool = False


FIELDS = {
    "imgs": Field("n t h w c", np.uint8, required=True),  # frames, RGB
    "positions": Field("n t k 2", np.float64),  # x right, y down, simulator units
    "velocities": Field("n t k 2", np.float64),  # simulator units per frame
    "sizes": Field("n t k", np.float32),  # radius in the units of positions
    "masses": Field("n t k", np.float32),
    "colors": Field("n t k 3", np.float32),  # RGB in [0, 1]
    "present": Field("n t k", np.bool_),  # exists
    "in_camera": Field("n t k", np.bool_),  # is visible in the frame
    "ids": Field("n t k", np.int64),  # 0: not visible; else a number that stays while it is visible
    "layers": Field("n t k", np.int64),  # drawing order, higher is nearer
    "shapes": Field("n t k", np.int64),  # index into the attribute shape_names
    "charges": Field("n k", np.float32),
    "edges": Field("n k k", np.int64),  # 1 spring or repulsion, -1 attraction, 0 nothing
    "masks": Field("n t h w", np.uint8),  # 0 background, k + 1 the object seen at that pixel
    "times": Field("n t", np.float64),  # seconds since the first frame of the video that it comes from
    "actions": Field("n t", np.int64),  # see ACTION_CONVENTION
    "actions_continuous": Field("n t a", np.float32),  # of a numbers each, under the same convention
    "rewards": Field("n t", np.float32),  # received on arriving at frame t
    "dones": Field("n t", np.bool_),
    "collisions": Field("n t", np.int64),  # contacts within the frame
    "sources": Field("n s", np.int64),  # images or videos that a sequence is made from; -1: none
}

_LARGEST = 1e12  # of lengths in a simulator's units, and of seconds between frames


def _config(text: Any) -> dict[str, Any]:
    value = parse_json(text)
    if not isinstance(value, dict) or not isinstance(value.get("simulator", {}), dict):
        raise ValueError("no config")
    return value


def _text(value: Any) -> str:
    return str(_checked(value, is_text(value)))


def _whole(minimum: int, maximum: int) -> Callable[[Any], int]:
    return lambda value: int(_checked(value, is_number(value, minimum, maximum, whole=True)))


def _positive(value: Any) -> float:
    return float(_checked(value, is_number(value, 1 / _LARGEST, _LARGEST)))


def _checked(value: Any, is_sound: bool) -> Any:
    if not is_sound:
        raise ValueError("out of range, or of another type")
    return value


# Root attributes with the conversion of each, which raises ValueError or TypeError.
_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "simulator": _text,
    "config": _config,
    "seed": _whole(0, 2**64 - 1),
    "dt": _positive,
    "coord_limit": _positive,
    "num_actions": _whole(0, 10**6),
    "shape_names": as_texts,
    "package_version": _text,
}
# Those that only files with continuous actions have, and even these need not.
_OPTIONAL_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "action_low": lambda numbers: tuple(float(x) for x in numbers),
    "action_high": lambda numbers: tuple(float(x) for x in numbers),
}


_OF_A_FILE = ("path", "files", "sequences", "config", "package_version")  # in which shards may differ
SHARD = "shard"  # of a config: number of the shard; without it, the config of the whole dataset


@dataclass(frozen=True)
class DatasetInfo:
    """Shape and root attributes of a dataset.

    num_objects: None without positions
    num_actions: 0 without actions
    action_numbers: numbers per continuous action; 0 without
    action_low, action_high: limits of each number of a continuous action; infinite where the file has none
    coord_limit: positions lie in [0, coord_limit]
    dt: time between two frames, in frames
    config: everything that determines the arrays, or the options of the import
    files: files that hold it: one, or its shards in order
    """

    path: Path
    sequences: int
    length: int
    height: int
    width: int
    num_objects: int | None
    num_actions: int
    coord_limit: float
    dt: float
    simulator: str
    config: dict[str, Any]
    seed: int
    shape_names: tuple[str, ...]
    keys: tuple[str, ...]
    package_version: str
    action_numbers: int = 0
    files: tuple[Path, ...] = ()
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()


DatasetFile = ArrayFile | ShardedFile  # what open_dataset returns


def dataset_file(path: str | Path, split: str = "test") -> Path:
    """Return the dataset that a path stands for: itself, or that of a split in a folder.

    A folder with one dataset, of whatever name, stands for that.

    Raises:
        DataError: the folder holds no such dataset.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    named, datasets = path / f"{split}.h5", datasets_in(path, (".h5",))
    if named in datasets or len(datasets) == 1:
        return named if named in datasets else datasets[0]
    found = ", ".join(file.name for file in datasets) or "no dataset"
    raise DataError(f"{path}: a folder without {split}.h5, holds {found}; name a file")


def open_dataset(path: str | Path) -> DatasetFile:
    """Open a dataset for reading: a file, or all of its shards as one.

    Raises:
        DataError: a file is missing, damaged or of another kind, or shards do not belong together.
    """
    path = Path(path)
    if shards := find_shards(path):
        sizes = [info.sequences for info in _describe_shards(path, shards)]
        return ShardedFile(shards, sizes, lambda shard: open_hdf5(shard, _AGAIN))
    return _open_file(path)


def read_info(path: str | Path) -> DatasetInfo:
    """Open, validate and describe a dataset; raise DataError as open_dataset does."""
    path = Path(path)
    shards = find_shards(path)
    if not shards:
        return _describe_file(path)
    infos = _describe_shards(path, shards)
    sequences = sum(info.sequences for info in infos)
    return replace(infos[0], path=path, sequences=sequences, config=_whole_config(infos[0]), files=shards)


def _open_file(path: Path) -> ArrayFile:
    if not path.is_file():
        raise DataError(f"{path}: no such file; make one with python -m data_gen")
    file = open_hdf5(path, _AGAIN)
    try:
        _validate(path, file)
    except DataError:
        file.close()
        raise
    return file


def _describe_file(path: Path) -> DatasetInfo:
    with _open_file(path) as file:
        n, t, h, w, _ = file["imgs"].shape
        numbers = file["actions_continuous"].shape[2] if "actions_continuous" in file else 0
        unlimited: dict[str, Any] = {"action_low": (-np.inf,) * numbers, "action_high": (np.inf,) * numbers}
        return DatasetInfo(
            path=path,
            sequences=n,
            length=t,
            height=h,
            width=w,
            num_objects=file["positions"].shape[2] if "positions" in file else None,
            keys=file.keys_of_arrays(),
            action_numbers=numbers,
            files=(path,),
            **unlimited | _read_attributes(path, file),
        )


# ---- shards


def _describe_shards(path: Path, shards: tuple[Path, ...]) -> tuple[DatasetInfo, ...]:
    """Describe all shards of a dataset, which is read once as long as their files stay as they are."""
    return _describe_versions(path, shards, tuple(shard.stat().st_mtime_ns for shard in shards))


@lru_cache(maxsize=4)
def _describe_versions(
    path: Path, shards: tuple[Path, ...], versions: tuple[int, ...]
) -> tuple[DatasetInfo, ...]:
    infos = tuple(map(_describe_file, shards))
    for number, info in enumerate(infos):
        _require_part(path, infos[0], info, number)
    return infos


def _require_part(path: Path, first: DatasetInfo, other: DatasetInfo, number: int) -> None:
    """Raise DataError unless a shard belongs to the dataset of the first one, and is the one of its name."""
    if other.config.get(SHARD, number) != number:
        raise DataError(
            f"{other.path}: is shard {other.config[SHARD]} of {path.name}, renamed; make it again"
        )
    found, expected = _comparable(other), _comparable(first)
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            raise DataError(
                f"{path}: {other.path.name} has {key}={_short(found.get(key))}, {first.path.name} has "
                f"{key}={_short(expected.get(key))}; shards of one dataset differ in their sequences alone"
            )


def _comparable(info: DatasetInfo) -> dict[str, Any]:
    """Return everything that shards of one dataset have in common."""
    config = {f"config.{key}": value for key, value in _whole_config(info).items()}
    return config | {key: value for key, value in vars(info).items() if key not in _OF_A_FILE}


def _whole_config(info: DatasetInfo) -> dict[str, Any]:
    """Return the config of a shard's dataset."""
    return {key: value for key, value in info.config.items() if key != SHARD}


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _validate(path: Path, file: ArrayFile) -> None:
    """Raise DataError at the first thing that the format does not allow."""
    found_format = file.attribute("format")
    if not is_text(found_format) or found_format != FORMAT:
        raise DataError(f"{path}: an HDF5 file, but no {FORMAT} (root attribute format); {_REMEDY}")
    found_version = file.attribute("format_version")
    if not is_number(found_version, FORMAT_VERSION, FORMAT_VERSION, whole=True):
        raise DataError(
            f"{path}: has format version {str(found_version):.40}, this program reads {FORMAT_VERSION}; "
            f"{_REMEDY}".replace("\n", " ")
        )
    attributes = _read_attributes(path, file)
    sizes = {"2": 2, "3": 3, "c": 3}
    for key, field in FIELDS.items():
        if target := file.broken_link(key):
            raise DataError(f"{path}: {key} is a link to {target}, where nothing is; copy that as well")
        if key not in file:
            if field.required:
                raise DataError(f"{path}: lacks the key {key}; {_REMEDY}")
            continue
        axes = field.axes.split()
        if not file.has_array(key) or file[key].ndim != len(axes):
            raise DataError(f"{path}: {key} must have the axes {field.axes}; {_REMEDY}")
        array = file[key]
        if array.dtype.kind != np.dtype(field.dtype).kind:
            raise DataError(
                f"{path}: {key} has type {array.dtype}, must be {np.dtype(field.dtype)}; {_REMEDY}"
            )
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise DataError(
                    f"{path}: {key} has {size} along {axis} ({field.axes}), must be {sizes[axis]}; {_REMEDY}"
                )
    if 0 in file["imgs"].shape:
        raise DataError(f"{path}: holds no frames (imgs has shape {file['imgs'].shape}); {_REMEDY}")
    for key in _OPTIONAL_ATTRIBUTES.keys() & attributes.keys():
        if len(attributes[key]) != sizes.get("a", 0):
            raise DataError(
                f"{path}: {key} has {len(attributes[key])} numbers, must have one per number of an action, "
                f"{sizes.get('a', 0)}; {_REMEDY}"
            )


def _read_attributes(path: Path, file: ArrayFile) -> dict[str, Any]:
    values = {}
    for key, convert in _ATTRIBUTES.items():
        try:
            values[key] = convert(file.attribute(key))
        except (TypeError, ValueError):
            raise DataError(f"{path}: lacks a sound root attribute {key}; {_REMEDY}") from None
    for key, convert in _OPTIONAL_ATTRIBUTES.items():
        if (value := file.attribute(key)) is not None:
            try:
                values[key] = convert(value)
            except (TypeError, ValueError):
                raise DataError(f"{path}: has no sound root attribute {key}; {_REMEDY}") from None
    return values
