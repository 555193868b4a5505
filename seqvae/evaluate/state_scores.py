"""Position and velocity errors of a model's slots, and of the baselines, against true objects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.scores import FIRST, ORDER, Curve
from seqvae.metrics import Estimate, estimate, frames


@dataclass(frozen=True)
class Truth:
    """True states; velocities and radii may be unknown. present: None where all always are.

    positions and velocities are coordinates, x in half-widths of the picture and y in half-heights; radii are
    in half-widths. walls: where each object's centre bounces, at -wall and wall in both coordinates, None
    without walls; worlds with walls are square. sources: see Sequences. aspect: height over width.
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
        """The first `length` frames of what the data knows, from simulator units; None without positions."""
        if sequences.positions is None:
            return None
        unit = sequences.coord_limit / 2
        velocities, radii, reach = sequences.velocities, sequences.radii, sequences.reach
        height, width = sequences.frames.shape[2:4]
        return cls(
            sequences.positions[:, :length] / unit - 1,
            None if velocities is None else velocities[:, :length] / unit,
            None if radii is None else radii[:, :length] / unit,
            None if sequences.present is None else sequences.present[:, :length],
            None if reach is None else 1 - reach[:, :length] / unit,
            sequences.sources,
            height / width,
        )

    def part(self, where: slice) -> Truth:
        """The truth of some sequences."""
        known = {f.name: x for f in fields(self) if isinstance(x := getattr(self, f.name), np.ndarray)}
        return replace(self, **{name: x[where] for name, x in known.items()})

    def lengths(self, x: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Coordinates in one unit, half-widths, so that distances between them are Euclidean."""
        return x if self.aspect == 1 else x * np.array([1.0, self.aspect])

    def present_in(self, window: slice) -> Bool[np.ndarray, "n t k"] | None:
        """Which objects are present in these frames; None where all always are."""
        return None if self.present is None else self.present[:, window]

    def defined_in(self, window: slice) -> Bool[np.ndarray, "n t"] | None:
        """Which of these frames have an object, so that an error is defined; None where all always have."""
        return None if self.present is None else self.present[:, window].any(-1)


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
    slots, objects = (truth.lengths(x[:, window]) for x in (positions, truth.positions))
    return metrics.object_order(slots, objects, truth.present_in(window))


def object_curves(
    positions: Float[np.ndarray, "n t s 2"],
    velocities: Float[np.ndarray, "n t s 2"] | None,
    truth: Truth,
    context: int,
    clamp: float,
    baselines: bool = True,
) -> dict[str, dict[str, Curve]]:
    """Rows of position and velocity errors: the model and, if asked for, the baselines.

    static, linear and bouncing start from the model's own state at the last context frame, so they tell what
    the dynamics adds; "from true states" tells what would be gained by seeing perfectly. bouncing is there
    where the walls are known, and reflects at the true ones. clamp: the coordinate where linear motion stops.
    Errors are in half-widths.
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
    if horizon == 0 or not baselines:
        return rows
    wall = None if truth.walls is None else truth.walls[:, last]
    paths = straight_paths(positions[:, last], velocity, horizon, clamp, wall)
    start, speed = truth.positions[:, last], truth.velocities
    speed = None if speed is None else speed[:, last]
    of_truth = straight_paths(start, speed, horizon, clamp, wall)
    paths |= {f"{name}, from true states": path for name, path in of_truth.items()}
    if speed is not None and wall is not None:
        path = metrics.linear(start, speed, horizon, wall)
        paths["linear, from true states, to the wall"] = path, metrics.static(speed, horizon)
    if len(positions) > 1:
        paths["another sequence"] = np.roll(truth.positions, 1, axis=0)[:, context:], None
    later = (_errors(path, speeds, truth, context + 1, offset=context) for path, speeds in paths.values())
    return rows | dict(zip(paths, later, strict=True))


def straight_paths(
    start: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"] | None,
    horizon: int,
    clamp: float,
    wall: Float[np.ndarray, "n k"] | None,
) -> dict[str, tuple[Float[np.ndarray, "n t k 2"], Float[np.ndarray, "n t k 2"] | None]]:
    """Name -> positions and velocities of objects left to themselves: static, linear, bouncing off walls."""
    still = metrics.static(start, horizon)
    paths = {"static": (still, np.zeros_like(still))}
    if velocity is not None:
        path = metrics.linear(start, velocity, horizon, clamp)
        paths["linear"] = path, metrics.static(velocity, horizon)
        if wall is not None:
            paths["bouncing"] = metrics.bouncing(start, velocity, horizon, wall)
    return paths


def object_shares(positions: Float[np.ndarray, "n t s 2"], truth: Truth, context: int) -> dict[str, Estimate]:
    """found: every object has a slot of its own within a radius in frames 3-8; context_swap: see metrics.

    Over the sequences that have an object in these frames; there is no share without any.
    """
    shares = {}
    slots, objects = truth.lengths(positions), truth.lengths(truth.positions)
    seen = frames(FIRST, min(context, 8))
    if truth.radii is not None and context >= FIRST:
        found = metrics.found(slots[:, seen], objects[:, seen], truth.radii[:, seen], truth.present_in(seen))
        there = truth.defined_in(seen)
        shares["found"] = estimate(found, truth.sources, None if there is None else there.any(1))
    if context >= 8:
        seen = frames(1, 8)
        swapped = metrics.context_swap(slots[:, seen], objects[:, seen], truth.present_in(seen))
        there = None
        if truth.present is not None:
            early, late = (truth.present[:, window].any(1) for window in (frames(3, 5), frames(6, 8)))
            there = (early & late).any(1)
        shares["context_swap"] = estimate(swapped, truth.sources, there)
    return {name: share for name, share in shares.items() if share.n}


def _errors(
    positions: np.ndarray, velocities: np.ndarray | None, truth: Truth, first: int, offset: int = 0
) -> dict[str, Curve]:
    """Curves from frame number `first` on; the arrays' own first frame is number offset + 1."""
    span = slice(first - 1, offset + positions.shape[1])
    own = slice(first - 1 - offset, None)
    present = truth.present_in(span)

    def error(of_slots: np.ndarray, of_objects: np.ndarray) -> np.ndarray:
        slots, objects = truth.lengths(of_slots[:, own]), truth.lengths(of_objects[:, span])
        return metrics.euclidean_error(slots, objects, present)

    curves = {"position_error": error(positions, truth.positions)}
    if velocities is not None and truth.velocities is not None:
        curves["velocity_error"] = error(velocities, truth.velocities)
    defined = truth.defined_in(span)
    return {name: Curve(errors, first, truth.sources, defined) for name, errors in curves.items()}
