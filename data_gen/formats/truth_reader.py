"""The fields of a dataset in arrays beside foreign frames, by shape and units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.formats import ImportOptions, as_field
from data_gen.formats.actions import ActionView, RewardView, read_actions
from data_gen.formats.containers import Container
from data_gen.formats.coordinates import Coordinates, check_coordinates
from data_gen.formats.labels import read_masks, to_uint8
from data_gen.formats.resizing import Resizing
from data_gen.lazy import LazyArray, View
from data_gen.schema import FIELDS

# Field of a dataset -> its usual names in files.
NAMES = {
    "masks": ("masks", "mask", "segmentation", "segmentations", "instance_mask", "instance_masks"),
    "positions": ("positions",),
    "velocities": ("velocities",),
    "sizes": ("sizes",),
    "masses": ("masses",),
    "colors": ("colors",),
    "present": ("present",),
    "in_camera": ("in_camera",),
    "ids": ("ids",),
    "layers": ("layers",),
    "charges": ("charges",),
    "edges": ("edges",),
    "collisions": ("collisions",),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "dones": ("dones", "done", "terminals", "terminated"),
}


def _field_axes(key: str) -> tuple[str, ...]:
    """Return the axes of a field, each under a name of its own: edges are n k k'."""
    axes = FIELDS[key].axes.split()
    return tuple(f"{axis}'" if axis in axes[:i] else axis for i, axis in enumerate(axes))


class TruthReader:
    """Collects the truth of one array of frames, field by field."""

    def __init__(
        self,
        container: Container,
        frames: LazyArray,
        lead: tuple[str, ...],
        options: ImportOptions,
        resizing: Resizing,
    ) -> None:
        self.container, self.frames, self.lead = container, frames, lead
        self.options, self.resizing = options, resizing
        self.views: dict[str, Callable[[int, int, int], Any]] = {}
        self.attributes: dict[str, Any] = {}
        self.used: set[str] = set()
        self.notes: list[str] = []
        n, t = frames.sizes["n"], frames.sizes["t"]
        self.shapes: dict[str, tuple[int, ...]] = {"imgs": (n, t, *resizing.new, 3)}

    def read_only(self, key: str, other: Container) -> None:
        """Read a field from a file of its own: its only array, or the one with the usual name."""
        named = [name for name in other.arrays if name.rpartition("/")[2] in NAMES[key]]
        found = named if len(named) == 1 else list(other.arrays)
        if len(found) != 1:
            raise DataError(f"{key}={other.path}: must hold one array, holds {other.describe()}")
        self._read(key, other.name(found[0]), other.arrays[found[0]])

    def read(self, key: str, name: str, explicit: bool) -> None:
        """Read a field from an array of the container, which is left out if it does not fit, unless named."""
        source = self.container.arrays[name]
        if not explicit and key != "masks" and not self._fits(key, tuple(source.shape)):
            return
        self.used.add(name)
        self._read(key, self.container.name(name), source)

    def _axes(self, key: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Return the axes that an array of the field has."""
        axes = _field_axes(key)
        inner = tuple(axis for axis in axes if axis not in "nt")
        lead = tuple(axis for axis in self.lead if axis in axes)
        if key == "actions" and len(shape) == len(lead) + 1:
            inner = ("a",)
        if key in ("rewards", "dones", "collisions") and len(shape) == len(lead) + 1:
            inner = ("1",)
        return (*lead, *inner)

    def _fits(self, key: str, shape: tuple[int, ...]) -> bool:
        axes = self._axes(key, shape)
        if len(axes) != len(shape):
            return False
        sizes = {"n": self.frames.sizes["n"], "t": self.frames.sizes["t"]}
        for axis, size in zip(axes, shape, strict=True):
            expected = int(axis) if axis.isdigit() else sizes.get(axis, size)
            one_less = axis == "t" and key in ("actions", "rewards") and size == expected - 1
            if size != expected and not one_less:
                return False
        return True

    def _read(self, key: str, name: str, source: Any) -> None:
        if key == "masks":
            self._read_masks(name, source)
            return
        shape = tuple(source.shape)
        if not self._fits(key, shape):
            axes = " ".join(self._axes(key, shape))
            frames = tuple(self.frames.sizes[axis] for axis in self.lead)
            raise DataError(
                f"{name}: has shape {shape}, must be {axes} beside frames {' '.join(self.lead)} of {frames}"
            )
        axes = self._axes(key, shape)
        if key == "actions":
            self._read_actions(name, source, axes)
            return
        path = self.container.path
        target = (*_field_axes(key), "1") if axes[-1:] == ("1",) else _field_axes(key)
        if "t" not in target:  # a sequence is read as if it were one frame
            self._read_still(key, name, LazyArray(path, source, axes, ("n", "t", *target[1:])))
            return
        drop = (lambda x: x[..., 0]) if target[-1] == "1" else (lambda x: x)
        array = LazyArray(path, source, axes, target, drop)
        if key in ("positions", "velocities", "sizes"):
            array = self._converted(key, name, array)
        self._add(key, name, array)

    def _add(self, key: str, name: str, array: LazyArray) -> None:
        self.shapes[key] = tuple(array.sizes[axis] for axis in FIELDS[key].axes.split())
        path = self.container.path

        def finish(block: np.ndarray) -> np.ndarray:
            return as_field(path, key, block)

        if key != "rewards":
            self.views[key] = lambda row, start, stop: View(array, row, start, stop, finish)
            return
        self.shapes.pop(key)  # may be one frame shorter
        self.notes.append(f"{name}: entry t is taken as the reward on arriving at frame t")
        if array.sizes["t"] < self.frames.sizes["t"]:
            self.notes[-1] = (
                f"{name}: one less than frames, so entry t is the reward on arriving at frame t + 1"
            )
        self.views[key] = lambda row, start, stop: RewardView(
            lambda: finish(array.sequence(row, start, stop)), stop - start
        )

    def _read_still(self, key: str, name: str, array: LazyArray) -> None:
        """Read a field that holds for whole sequences."""
        self.shapes[key] = tuple(array.sizes[axis] for axis in FIELDS[key].axes.split())
        path = self.container.path
        self.views[key] = lambda row, start, stop: as_field(path, key, array.sequence(row, 0, 1)[0])

    def _read_masks(self, name: str, source: Any) -> None:
        lead = len(self.lead)
        expected = tuple(self.frames.sizes[axis] for axis in self.lead)
        if tuple(source.shape[:lead]) != expected:
            raise DataError(
                f"{name}: has shape {tuple(source.shape)}, must begin with {expected} as the frames do; "
                "masks=null leaves them out"
            )
        masks = read_masks(name, self.container.path, source, self.lead, self.resizing.old)
        self.notes += masks.notes
        n, t = self.frames.sizes["n"], self.frames.sizes["t"]
        self.shapes["masks"] = (n, t, *self.resizing.new)

        def finish(block: np.ndarray) -> np.ndarray:
            return self.resizing.labels(to_uint8(name, block))

        self.views["masks"] = lambda row, start, stop: View(masks.labels, row, start, stop, finish)

    def _read_actions(self, name: str, source: Any, axes: tuple[str, ...]) -> None:
        target = ("n", "t", "a")
        actions = read_actions(
            name, LazyArray(self.container.path, source, axes, target), self.options.num_actions
        )
        self.notes += actions.notes
        if actions.array.sizes["t"] < self.frames.sizes["t"]:
            self.notes.append(
                f"{name}: one less than frames; the action that led to frame 1 is not known, so 0"
            )
        if actions.count:
            self.attributes["num_actions"] = actions.count
        self.views[actions.field] = lambda row, start, stop: ActionView(
            lambda: actions.array.sequence(row, start, stop), stop - start
        )

    def _converted(self, key: str, name: str, array: LazyArray) -> LazyArray:
        kind = self.options.coordinates
        if kind is None:
            raise DataError(
                f"{name}: in which units? say coordinates=pixels, unit (0 to 1), signed (-1 to 1), or the "
                "number at the right edge; positions=null leaves them out"
            )
        coordinates = Coordinates(kind, self.resizing)
        self.attributes["coord_limit"] = coordinates.limit
        if key == "positions":
            check_coordinates(name, array, coordinates)
            self.notes.append(f"{name}: read as x, y in coordinates={kind}, x to the right, y down")
            return array.with_convert(coordinates.positions)
        convert = coordinates.vectors if key == "velocities" else coordinates.lengths
        return array.with_convert(convert)
