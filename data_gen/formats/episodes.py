"""Episodes one after the other in one long array: where each begins and ends.

Known are `ep_offset` and `ep_len` (stable-worldmodel), `episode_ends` (the replay buffers of diffusion
policies, often in a group `meta`), and a number of the episode per step (`episode_index` of LeRobot, and
`episode_idx` or `ep_idx`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.formats.containers import Container

_ENDS, _LENGTHS, _OFFSETS = ("episode_ends",), ("ep_len",), ("ep_offset",)
_NUMBERS = ("episode_index", "episode_idx", "ep_idx")
EPISODE_KEYS = {*_ENDS, *_LENGTHS, *_OFFSETS, *_NUMBERS}


def find_episodes(container: Container, key: str, steps: int) -> list[tuple[int, int]] | None:
    """Return first frame, and last + 1, of each episode in an array of `steps` frames; None without episodes.

    Raises:
        DataError: what the file says of its episodes does not fit the array.
    """
    lengths, offsets = _find(container, key, _LENGTHS), _find(container, key, _OFFSETS)
    ends, numbers = _find(container, key, _ENDS), _find(container, key, _NUMBERS)
    if lengths is not None:
        stop = np.cumsum(lengths) if offsets is None else offsets + lengths
        start = stop - lengths
    elif ends is not None:
        start, stop = np.concatenate([[0], ends[:-1]]), ends
    elif numbers is not None and numbers.shape == (steps,):
        stop = np.append(np.flatnonzero(np.diff(numbers)) + 1, steps)
        start = np.concatenate([[0], stop[:-1]])
        if len(np.unique(numbers)) < len(stop):
            raise DataError(f"{container.path}: the steps of an episode do not follow each other; sort them")
    else:
        return None
    if start.min() < 0 or stop.max() > steps or (stop < start).any():
        raise DataError(
            f"{container.name(key)}: has {steps} frames, and episodes from {start.min()} to {stop.max()}; "
            "is the file whole?"
        )
    return [(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True) if b > a]


def _find(container: Container, key: str, names: tuple[str, ...]) -> np.ndarray | None:
    """Return an array of whole numbers with such a name, in any group."""
    found: list[Any] = [
        array
        for other, array in container.arrays.items()
        if other.rpartition("/")[2] in names and array.ndim == 1
    ]
    if len(found) != 1 or found[0].dtype.kind not in "iu" or not found[0].shape[0]:
        return None
    return np.asarray(found[0][:]).astype(np.int64)
