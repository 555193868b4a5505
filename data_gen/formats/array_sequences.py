"""The sequences in arrays of frames, made when they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from data_gen.formats import ImportOptions
from data_gen.formats.containers import Container
from data_gen.formats.cutting import Video
from data_gen.formats.resizing import Resizing
from data_gen.formats.truth import Truth, find_truth
from data_gen.frames import WHITE, find_white, join_levels, kind_of, measure, to_rgb
from data_gen.lazy import LazyArray, View


@dataclass(frozen=True)
class Part:
    """One array of frames: sequences, or one sequence, or episodes one after the other.

    name: file and key, for messages
    split: split that the name says, or None
    spans: first frame, and last + 1, of each episode of an array without sequences; None: all sequences whole
    """

    name: str
    split: str | None
    container: Container
    key: str
    frames: LazyArray
    spans: list[tuple[int, int]] | None


def find_whites(parts: list[Part], options: ImportOptions) -> tuple[list[float], tuple[str, ...]]:
    """Return the number that is white in each array, the same in all arrays of one kind of type."""
    kinds = [kind_of(part.frames.source.dtype) for part in parts]
    levels = join_levels(
        measure(part.frames.blocks(), kind)
        for part, kind in zip(parts, kinds, strict=True)
        if kind not in WHITE or options.scale is not None or part.frames.sizes["c"] == 4
    )
    whites = [
        find_white(part.name, levels[kind], options.scale) if kind in levels else WHITE[kind]
        for part, kind in zip(parts, kinds, strict=True)
    ]
    notes = []
    for part, kind, white in zip(parts, kinds, whites, strict=True):
        if kind not in WHITE:
            notes.append(f"{part.name}: {white:g} is white")
        if part.frames.sizes["c"] == 4 and not levels[kind].opaque:
            notes.append(f"{part.name}: pictures with alpha are laid on black")
    return whites, tuple(notes)


@dataclass(frozen=True)
class Sequences(Sequence[Video]):
    """Sequences of an array, made when they are asked for: there may be a million.

    rows: row, first frame, and last + 1, of each
    size: height and width of the frames
    """

    part: Part
    frames: LazyArray
    truth: Truth
    rows: Sequence[tuple[int, int, int]]
    size: tuple[int, int]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: Any) -> Video:
        row, start, stop = self.rows[number]
        name = self.part.name if len(self) == 1 else f"{self.part.name}[{number}]"
        frames = View(self.frames, row, start, stop, shape=(stop - start, *self.size, 3))
        return Video(name, frames, {key: view(row, start, stop) for key, view in self.truth.views.items()})


@dataclass(frozen=True)
class _Rows(Sequence[tuple[int, int, int]]):
    """Rows 0 ... n - 1 with all their frames."""

    n: int
    frames: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, number: Any) -> tuple[int, int, int]:
        if not 0 <= number < self.n:
            raise IndexError(number)
        return number, 0, self.frames


class Joined(Sequence[Video]):
    """Sequences of several arrays, one after the other."""

    def __init__(self, groups: list[Sequences]) -> None:
        self._groups = groups
        self._ends = list(accumulate(map(len, groups)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, number: Any) -> Video:
        if not 0 <= number < len(self):
            raise IndexError(number)
        group = bisect_right(self._ends, number)
        return self._groups[group][number - (self._ends[group - 1] if group else 0)]


def make_sequences(
    part: Part, white: float, options: ImportOptions, others: Mapping[str, Container]
) -> Sequences:
    sizes = part.frames.sizes
    resizing = Resizing.of((sizes["h"], sizes["w"]), options)
    frames = part.frames.with_convert(lambda block: resizing.frames(to_rgb(block, white)))
    truth = find_truth(part.container, part.key, part.frames, options, resizing, others)
    rows = _Rows(sizes["n"], sizes["t"]) if part.spans is None else [(0, *span) for span in part.spans]
    notes = (*resizing.note(part.name), *truth.notes)
    return Sequences(part, frames, truth, rows, resizing.new, notes)
