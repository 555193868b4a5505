"""Actions and rewards of other programs, under the convention of a dataset.

Entry t of a file acts between frames t and t + 1, as in a loop that takes an action after each observation;
a sequence of T frames has T of them, or T - 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError
from data_gen.lazy import LazyArray


@dataclass(frozen=True)
class Actions:
    """Actions of all sequences.

    field: actions (whole numbers) or actions_continuous
    array: of the field's axes
    count: number of different actions; 0 if continuous
    notes: lines on what was done to them
    """

    field: str
    array: LazyArray
    count: int
    notes: tuple[str, ...]


def read_actions(name: str, array: LazyArray, numbers: int | None) -> Actions:
    """Return actions from numbers, one-hot vectors, or vectors of any numbers.

    array: "n t a", where a has size 1 if there is no such axis
    numbers: number of different actions, if an option says it

    Raises:
        DataError: they are no numbers, or more than an option says.
    """
    a = array.sizes["a"]
    low, high, whole, one_hot = np.inf, -np.inf, True, a > 1
    for block in array.blocks():
        if block.dtype.kind not in "biuf":
            raise DataError(f"{name}: has type {block.dtype}, must hold numbers")
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        whole = whole and (block.dtype.kind != "f" or bool((np.trunc(block) == block).all()))
        one_hot = one_hot and bool(((block == 0) | (block == 1)).all() and (block.sum(-1) == 1).all())
    if one_hot:
        chosen = array.with_convert(lambda block: block.argmax(-1))
        return Actions("actions", chosen, _checked_count(name, a, numbers), (f"{name}: one-hot actions",))
    if a == 1 and whole and low >= 0:
        chosen = array.with_convert(lambda block: block[..., 0].astype(np.int64))
        count = _checked_count(name, int(high) + 1, numbers)
        notes = () if numbers else (f"{name}: actions up to {high:g}, so num_actions={count}",)
        return Actions("actions", chosen, count, notes)
    plural = "number" if a == 1 else "numbers"
    note = f"{name}: actions of {a} {plural} each, stored as actions_continuous, which no model follows yet"
    return Actions("actions_continuous", array.with_convert(lambda b: b.astype(np.float32)), 0, (note,))


def _checked_count(name: str, found: int, given: int | None) -> int:
    if given is not None and given < found:
        raise DataError(f"{name}: holds {found} different actions, more than num_actions={given}")
    return given or found


@dataclass(frozen=True)
class Timed:
    """Values of one sequence, sliced by frames, that are completed or moved as a whole sequence first.

    read: function that returns them for the whole sequence, "t ..."
    frames: length of the sequence
    """

    read: Callable[[], np.ndarray]
    frames: int

    def _whole(self, before: bool) -> np.ndarray:
        values = self.read()
        missing = self.frames - len(values)
        if missing:
            zeros = np.zeros((missing, *values.shape[1:]), values.dtype)
            values = np.concatenate([zeros, values] if before else [values, zeros])
        return values


class ActionView(Timed):
    """Actions of a sequence; the last entry of a slice is the action that led to its first frame."""

    def __getitem__(self, time: slice) -> np.ndarray:
        led_to = np.roll(self._whole(before=False), 1, axis=0)[time]
        return np.roll(led_to, -1, axis=0)


class RewardView(Timed):
    """Rewards of a sequence; T - 1 of them begin at its second frame."""

    def __getitem__(self, time: slice) -> np.ndarray:
        return self._whole(before=True)[time]
