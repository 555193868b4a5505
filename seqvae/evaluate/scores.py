"""Numbers of the protocol: error curves of a model and of the baselines beside it, and their means.

After the evaluation of STOVE (Kossen et al. 2020, arXiv 1910.02425). Frames count from 1: after 8 frames of
context, predicted frame 1 is frame 9. All lengths are in half-widths.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from seqvae.evaluate.quantities import is_higher_better
from seqvae.metrics import Estimate, estimate, frame_slice

FIRST = 3  # the first frame with a full state: a velocity takes two frames to see
ORDER = (3, 7)  # the frames that decide which slot is which object
SHORT = 10  # the paper's horizon
MIDDLE = 50  # predicted frames, between the paper's horizon and the end


@dataclass(frozen=True)
class Curve:
    """One error per sequence and frame.

    errors: n t; a NaN in a defined frame is an error that is not finite, and stays one
    first: number of the first frame, from 1
    sources: n s, sources of the sequences (metrics.statistics), None where they are independent
    defined: n t, frames that have an error, such as frames with an object in them; None: all have
    """

    errors: Float[np.ndarray, "n t"]
    first: int
    sources: Int[np.ndarray, "n s"] | None = None
    defined: Bool[np.ndarray, "n t"] | None = None

    @property
    def last(self) -> int:
        """Number of the last frame."""
        return self.first + self.errors.shape[1] - 1

    def over(self, first: int, last: int) -> Estimate | None:
        """Return the mean over the frames first to last, None where the curve has no errors in them."""
        if last < first or first < self.first or last > self.last:
            return None
        value = self._mean(frame_slice(first - self.first + 1, last - self.first + 1))
        return value if value.n else None

    def by_frame(self) -> dict[int, Estimate]:
        """Return frame number -> mean over the sequences in which it is defined; n = 0 without any."""
        return {self.first + i: self._mean(slice(i, i + 1)) for i in range(self.errors.shape[1])}

    def by_sequence(self, first: int, last: int) -> Float[np.ndarray, "n"] | None:
        """Return the mean over the frames first to last of each sequence; NaN where it has no error."""
        if self.over(first, last) is None:
            return None
        window = frame_slice(first - self.first + 1, last - self.first + 1)
        errors = self.errors[:, window]
        if self.defined is None:
            return errors.mean(1, dtype=np.float64)
        where = self.defined[:, window]
        sums = errors.sum(1, dtype=np.float64, where=where)
        return np.where(where.any(1), sums / np.maximum(where.sum(1), 1), np.nan)

    @property
    def left_out(self) -> float:
        """Share of frames in which there is no error."""
        return 0.0 if self.defined is None else 1 - float(self.defined.mean())

    def _mean(self, window: slice) -> Estimate:
        defined = None if self.defined is None else self.defined[:, window]
        return estimate(self.errors[:, window], self.sources, defined)


@dataclass(frozen=True)
class Scores:
    """Results of an evaluation.

    n: number of sequences
    context: number of frames given
    horizon: number of frames predicted
    curves: row (the model, a baseline) -> quantity (of seqvae.evaluate.quantities, or a metric of the user)
        -> curve
    shares: found, context_swap, segmentation scores where there are masks, tracking scores where there are
        masks or boxes, count_accuracy of models that count, and metrics of the user that have one value per
        sequence
    counts: of these, confusion matrix of the frames given: rows true counts, columns inferred counts
    segmentation: row (the model, true shapes left to themselves) -> scores of its masks
    measured: row -> shares and scores of masks of each sequence, NaN where they are undefined
    sources: number of images or videos the sequences were made from, None where they are independent
    source_names: n s, sources of the sequences (metrics.statistics), None where they are independent
    tracked: what the tracking scores compare, "masks" or "boxes"; None without any
    """

    n: int
    context: int
    horizon: int
    curves: dict[str, dict[str, Curve]]
    shares: dict[str, Estimate] = field(default_factory=dict)
    counts: Int[np.ndarray, "count count"] | None = None
    segmentation: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    sources: int | None = None
    measured: dict[str, dict[str, Float[np.ndarray, "n"]]] = field(default_factory=dict)
    source_names: Int[np.ndarray, "n s"] | None = None
    tracked: str | None = None

    def table(self) -> dict[str, dict[str, Estimate]]:
        """Return row -> column -> value; baselines that only predict have no reconstruction."""
        return {
            row: {
                column: value
                for quantity, curve in by_quantity.items()
                for column, value in self._columns(quantity, curve).items()
            }
            for row, by_quantity in self.curves.items()
        }

    def numbers(self) -> dict[str, float]:
        """Return the model's own row and shares, as plain numbers."""
        return {name: value.mean for name, value in (self.table().get("model", {}) | self.shares).items()}

    def strongest(self, column: str) -> str | None:
        """Return the baseline that is best in a column of the table, None without a finite one."""
        errors = {row: x[column].mean for row, x in self.table().items() if row != "model" and column in x}
        finite = {row: error for row, error in errors.items() if np.isfinite(error)}
        best = max if is_higher_better(column) else min
        return best(finite, key=finite.__getitem__, default=None)

    def by_sequence(self) -> dict[str, dict[str, Float[np.ndarray, "n"]]]:
        """Return row -> column -> score of each sequence: those of the table, shares and scores of masks."""
        rows: dict[str, dict[str, Float[np.ndarray, "n"]]] = {}
        for row, by_quantity in self.curves.items():
            for quantity, curve in by_quantity.items():
                for span, frames in self._spans().items():
                    if (values := curve.by_sequence(*frames)) is not None:
                        rows.setdefault(row, {})[f"{quantity}_{span}"] = values
        for row, columns in self.measured.items():
            rows[row] = rows.get(row, {}) | columns
        return rows

    def _spans(self) -> dict[str, tuple[int, int]]:
        """Return the name of each span of frames in the table -> its first and last frame."""
        lengths = [length for length in (SHORT, MIDDLE) if self.horizon >= length]
        spans = {"reconstruction": (min(FIRST, self.context), self.context)}
        return spans | {
            f"1_{length}": (self.context + 1, self.context + length) for length in (*lengths, self.horizon)
        }

    def _columns(self, quantity: str, curve: Curve) -> dict[str, Estimate]:
        columns = {}
        for span, frames in self._spans().items():
            if (value := curve.over(*frames)) is not None:
                columns[f"{quantity}_{span}"] = value
                is_summed = not is_higher_better(f"{quantity}_{span}")
                if span == f"1_{SHORT}" and self.horizon >= SHORT and is_summed:
                    columns[f"{quantity}_{span}_sum"] = value * SHORT
        return columns
