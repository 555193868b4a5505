"""True states of the sequences that are scored, and the slots that stand for true objects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.scores import FIRST, ORDER
from seqvae.metrics import frame_slice


@dataclass(frozen=True)
class Truth:
    """True states, in the units of Sequences; None where the data does not have them.

    positions: n t k 2, half-widths and half-heights
    velocities: n t k 2, half-widths and half-heights per frame
    radii: n t k, half-widths
    present: n t k, whether an object exists, None where all always do
    walls: n t k, an object's centre bounces at -wall and wall in both coordinates
    sources: n s, see Sequences
    aspect: height of the picture over its width
    """

    positions: Float[np.ndarray, "n t k 2"]
    velocities: Float[np.ndarray, "n t k 2"] | None = None
    radii: Float[np.ndarray, "n t k"] | None = None
    present: Bool[np.ndarray, "n t k"] | None = None
    walls: Float[np.ndarray, "n t k"] | None = None
    sources: Int[np.ndarray, "n s"] | None = None
    aspect: float = 1.0

    @classmethod
    def of(cls, sequences: Sequences, length: int) -> Truth | None:
        """Return the true states of the first `length` frames, None without positions."""
        if sequences.positions is None:
            return None
        timed = ("velocities", "radii", "present", "walls")
        arrays = {name: x[:, :length] for name in timed if (x := getattr(sequences, name)) is not None}
        return cls(
            sequences.positions[:, :length], sources=sequences.sources, aspect=sequences.aspect, **arrays
        )

    def select(self, sequences: slice) -> Truth:
        """Return the truth of some sequences."""
        arrays = {f.name: x for f in fields(self) if isinstance(x := getattr(self, f.name), np.ndarray)}
        return replace(self, **{name: x[sequences] for name, x in arrays.items()})

    def lengths(self, x: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Convert coordinates to half-widths on both axes, so that distances between them are Euclidean."""
        return x if self.aspect == 1 else x * np.array([1.0, self.aspect])

    def present_in(self, window: slice) -> Bool[np.ndarray, "n t k"] | None:
        """Return which objects are present in these frames; None where all always are."""
        return None if self.present is None else self.present[:, window]

    def defined_in(self, window: slice) -> Bool[np.ndarray, "n t"] | None:
        """Return which of these frames have an object, so that an error is defined; None where all have."""
        return None if self.present is None else np.any(self.present[:, window], axis=-1)

    def has_objects_in(self, window: slice) -> Bool[np.ndarray, "n"] | None:
        """Return which sequences have an object in one of these frames; None where all have."""
        return None if self.present is None else np.any(self.present[:, window], axis=(1, 2))


def require_slots(slots: int, truth: Truth) -> None:
    """Raise UserError where there are fewer slots than objects."""
    objects = truth.positions.shape[2]
    if slots < objects:
        raise UserError(f"the model has {slots} slots, too few for the {objects} objects of the data")


def slot_order(
    positions: Float[np.ndarray, "n t s 2"], truth: Truth, context: int, background: int = 0
) -> Int[np.ndarray, "n k"]:
    """Return the slot of each object, by the positions in frames 3-7 (or as many as there are).

    background: number of slots that stand for no object.

    Raises:
        UserError: there are fewer slots than objects.
    """
    require_slots(positions.shape[2] - background, truth)
    window = frame_slice(min(FIRST, context), min(ORDER[1], context))
    slots, objects = truth.lengths(positions[:, window]), truth.lengths(truth.positions[:, window])
    return metrics.match_slots(slots, objects, truth.present_in(window))
