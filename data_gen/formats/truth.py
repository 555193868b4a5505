"""Truth beside the frames in a file: masks, positions, actions, rewards and more, found by name and shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data_gen.formats import AUTO, ImportOptions, check_shapes
from data_gen.formats.containers import Container
from data_gen.formats.resizing import Resizing
from data_gen.formats.truth_reader import NAMES, TruthReader
from data_gen.lazy import LazyArray

CHOSEN = ("masks", "positions", "actions", "rewards")  # options give their keys or files


@dataclass(frozen=True)
class Truth:
    """Truth of the sequences in one array of frames.

    views: by field, function of row, first and last frame + 1 that returns what Video.truth holds
    attributes: coord_limit and num_actions, where they are known
    used: keys of the container that were read
    notes: lines on what was done to them
    """

    views: Mapping[str, Callable[[int, int, int], Any]]
    attributes: Mapping[str, Any]
    used: frozenset[str]
    notes: tuple[str, ...]


def find_truth(
    container: Container,
    frames_key: str,
    frames: LazyArray,
    options: ImportOptions,
    resizing: Resizing,
    others: Mapping[str, Container],
) -> Truth:
    """Return the truth that belongs to an array of frames.

    others: containers of the files that options name, by field

    Raises:
        DataError: what options name does not exist or does not fit, masks are none, or the units of
            positions are not known.
    """
    lead = tuple(axis for axis in frames.axes if axis in "nt")
    reader = TruthReader(container, frames, lead, options, resizing)
    for key in NAMES:
        choice = getattr(options, key) if key in CHOSEN else AUTO
        if choice is None or (key in ("velocities", "sizes") and "positions" not in reader.views):
            continue
        if key in others:
            reader.read_only(key, others[key])
        elif choice != AUTO:
            reader.read(key, container.require(choice, key), explicit=True)
        else:
            name = _near(container, frames_key, NAMES[key])
            if name is not None:
                reader.read(key, name, explicit=False)
    check_shapes(container.path, reader.shapes)
    return Truth(reader.views, reader.attributes, frozenset(reader.used), tuple(reader.notes))


def _near(container: Container, frames_key: str, names: tuple[str, ...]) -> str | None:
    """Return the key of an array of such a name in the group of the frames, or in one that it lies in.

    Beside frames_3 a name has the same ending, masks_3.
    """
    group, _, base = frames_key.rpartition("/")
    ending = re.search(r"[_-]?\d*$", base)
    endings = ["", ending.group()] if ending else [""]
    while True:
        for name in names:
            for end in endings:
                key = f"{group}/{name}{end}" if group else f"{name}{end}"
                if key in container.arrays:
                    return key
        if not group:
            return None
        group = group.rpartition("/")[0]
