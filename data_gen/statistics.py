"""What a dataset holds, in numbers: how fast its objects are, how often they touch, how much is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from data_gen.schema import DatasetInfo, open_dataset

_AT_ONCE = 512  # sequences


@dataclass(frozen=True)
class Statistics:
    """Means over a file, and over its sequences at each frame; None where the file lacks what they need.

    Speeds are in units of the positions per frame, those of the first sequences in `speeds`, for a histogram.
    kinetic_energy "t": of all objects together, whose masses are 1 where the file has none.
    visible: the share of existing objects that is in the picture.
    """

    speed: float | None = None
    speeds: np.ndarray | None = None
    kinetic_energy: np.ndarray | None = None
    collisions: float | None = None
    collisions_over_time: np.ndarray | None = None
    visible: float | None = None
    visible_over_time: np.ndarray | None = None


def statistics(info: DatasetInfo) -> Statistics:
    """Statistics of a dataset file, which is read block by block."""
    with open_dataset(info.path) as file:
        return _statistics(file, info)


def _statistics(file: Mapping, info: DatasetInfo) -> Statistics:
    found = {}
    if "velocities" in file:
        found |= _motion(file, info)
    if "collisions" in file:
        counts = sum(file["collisions"][part].sum(0) for part in _parts(info))
        found["collisions_over_time"] = counts / info.sequences
        found["collisions"] = float(counts.mean() / info.sequences)
    if "in_camera" in file:
        seen, existing = 0, 0
        for part in _parts(info):
            present = _present(file, part, "in_camera")
            seen += (file["in_camera"][part] & present).sum((0, 2))
            existing += present.sum((0, 2))
        found["visible_over_time"] = seen / np.maximum(existing, 1)
        found["visible"] = float(seen.sum() / max(existing.sum(), 1))
    return Statistics(**found)


def _motion(file: Mapping, info: DatasetInfo) -> dict[str, float | np.ndarray]:
    energy, total, count, first = 0.0, 0.0, 0, None
    for part in _parts(info):
        squared = (file["velocities"][part] ** 2).sum(-1)
        present = _present(file, part, "velocities")
        masses = file["masses"][part] if "masses" in file else 1.0
        energy += (0.5 * masses * squared * present).sum((0, 2))
        speeds = np.sqrt(squared[present])
        total, count = total + speeds.sum(), count + speeds.size
        first = speeds if first is None else first
    return {"speed": float(total / max(count, 1)), "speeds": first, "kinetic_energy": energy / info.sequences}


def _present(file: Mapping, part: slice, like: str) -> np.ndarray:
    """Which objects exist, "n t k"; all where the file does not say."""
    if "present" in file:
        return file["present"][part]
    return np.ones((part.stop - part.start, *file[like].shape[1:3]), bool)


def _parts(info: DatasetInfo) -> Iterator[slice]:
    for start in range(0, info.sequences, _AT_ONCE):
        yield slice(start, min(start + _AT_ONCE, info.sequences))
