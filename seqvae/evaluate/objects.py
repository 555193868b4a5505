"""Position and velocity errors of a model's slots, and of the baselines, against true objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from seqvae import metrics
from seqvae.data.sources import Sequences
from seqvae.evaluate.scores import FIRST, ORDER, Curve
from seqvae.metrics import Estimate, estimate, frames
from seqvae.types import UserError


@dataclass(frozen=True)
class Truth:
    """True states in half-widths; velocities and radii may be unknown. present: None where all always are."""

    positions: Float[np.ndarray, "n t k 2"]
    velocities: Float[np.ndarray, "n t k 2"] | None = None
    radii: Float[np.ndarray, "n t k"] | None = None
    present: Bool[np.ndarray, "n t k"] | None = None

    @classmethod
    def of(cls, sequences: Sequences, length: int) -> Truth | None:
        """The first `length` frames of what the data knows, from simulator units; None without positions."""
        if sequences.positions is None:
            return None
        unit = sequences.coord_limit / 2
        velocities, radii = sequences.velocities, sequences.radii
        return cls(
            sequences.positions[:, :length] / unit - 1,
            None if velocities is None else velocities[:, :length] / unit,
            None if radii is None else radii[:, :length] / unit,
            None if sequences.present is None else sequences.present[:, :length],
        )

    def present_in(self, window: slice) -> Bool[np.ndarray, "n t k"] | None:
        """Which objects are present in these frames; None where all always are."""
        return None if self.present is None else self.present[:, window]


def require_slots(slots: int, truth: Truth) -> None:
    """Raise UserError where there are fewer slots than objects."""
    objects = truth.positions.shape[2]
    if slots < objects:
        raise UserError(f"the model has {slots} slots, too few for the {objects} objects of the data")


def slot_order(
    positions: Float[np.ndarray, "n t s 2"], truth: Truth, context: int, background: int = 0
) -> Int[np.ndarray, "n k"]:
    """Which slot is which object, over frames 3-7 (or as many as there are).

    background: how many of the slots stand for no object.

    Raises:
        UserError: there are fewer slots than objects.
    """
    require_slots(positions.shape[2] - background, truth)
    window = frames(min(FIRST, context), min(ORDER[1], context))
    return metrics.object_order(positions[:, window], truth.positions[:, window], truth.present_in(window))


def object_curves(
    positions: Float[np.ndarray, "n t s 2"],
    velocities: Float[np.ndarray, "n t s 2"] | None,
    truth: Truth,
    context: int,
    clamp: float,
) -> dict[str, dict[str, Curve]]:
    """Rows of position and velocity errors: the model and the baselines.

    static and linear start from the model's own state at the last context frame, so they tell what the
    dynamics adds; "from true states" tells what would be gained by seeing perfectly. clamp: where linear
    motion stops, in half-widths.
    """
    horizon = positions.shape[1] - context
    order = slot_order(positions, truth, context)
    positions = metrics.reorder(positions, order)
    last = context - 1
    if velocities is not None:
        velocities = metrics.reorder(velocities, order)
        velocity = velocities[:, last]
    else:  # models of masks only: what the last two frames say
        velocity = positions[:, last] - positions[:, last - 1]
    rows = {"model": _errors(positions, velocities, truth, FIRST)}
    if horizon == 0:
        return rows

    def predicted(path: np.ndarray, speed: np.ndarray | None) -> dict[str, Curve]:
        later = None if speed is None else metrics.static(speed, horizon)
        return _errors(path, later, truth, context + 1, offset=context)

    still = np.zeros_like(velocity)
    rows["static"] = predicted(metrics.static(positions[:, last], horizon), still)
    rows["linear"] = predicted(metrics.linear(positions[:, last], velocity, horizon, clamp), velocity)
    start, speed = truth.positions[:, last], truth.velocities
    rows["static, from true states"] = predicted(metrics.static(start, horizon), None)
    if speed is not None:
        speed = speed[:, last]
        rows["linear, from true states"] = predicted(metrics.linear(start, speed, horizon, clamp), speed)
        if truth.radii is not None:
            path = metrics.linear(start, speed, horizon, 1 - truth.radii[:, last])
            rows["linear, from true states, to the wall"] = predicted(path, None)
    if len(positions) > 1:
        rows["another sequence"] = predicted(np.roll(truth.positions, 1, axis=0)[:, context:], None)
    return rows


def object_shares(
    positions: Float[np.ndarray, "n t s 2"], truth: Truth, context: int
) -> dict[str, Estimate]:
    """found: every object has a slot of its own within a radius in frames 3-8; context_swap: see metrics."""
    shares = {}
    seen = frames(FIRST, min(context, 8))
    if truth.radii is not None and context >= FIRST:
        found = metrics.found(
            positions[:, seen], truth.positions[:, seen], truth.radii[:, seen], truth.present_in(seen)
        )
        shares["found"] = estimate(found)
    if context >= 8:
        seen = frames(1, 8)
        swapped = metrics.context_swap(positions[:, seen], truth.positions[:, seen], truth.present_in(seen))
        shares["context_swap"] = estimate(swapped)
    return shares


def _errors(
    positions: np.ndarray, velocities: np.ndarray | None, truth: Truth, first: int, offset: int = 0
) -> dict[str, Curve]:
    """Curves from frame number `first` on; the arrays' own first frame is number offset + 1."""
    span = slice(first - 1, offset + positions.shape[1])
    own = slice(first - 1 - offset, None)
    present = truth.present_in(span)
    curves = {"position_error": metrics.euclidean_error(positions[:, own], truth.positions[:, span], present)}
    if velocities is not None and truth.velocities is not None:
        curves["velocity_error"] = metrics.euclidean_error(
            velocities[:, own], truth.velocities[:, span], present
        )
    return {name: Curve(errors, first) for name, errors in curves.items()}
