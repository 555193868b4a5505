"""Position and velocity errors of a model's slots, and of baselines, against true objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from seqvae import metrics
from seqvae.evaluate.scores import FIRST, Curve
from seqvae.evaluate.truth import Truth, slot_order
from seqvae.metrics import Estimate, estimate, frame_slice
from seqvae.metrics.statistics import Sources

States = Float[np.ndarray, "n _ k 2"]
Path = tuple[States, States | None]  # positions, velocities
DETECTION = (FIRST, 8)  # frames in which objects have to be detected
SWITCH = ((3, 5), (6, 8))  # frames whose assignments are compared


def object_curves(
    positions: Float[np.ndarray, "n t s 2"],
    velocities: Float[np.ndarray, "n t s 2"] | None,
    truth: Truth,
    context: int,
    clamp: float,
    baselines: bool = True,
) -> dict[str, dict[str, Curve]]:
    """Return row -> position and velocity errors in half-widths: the model and, if asked for, baselines.

    With baselines, also MED of the predicted frames, in picture widths.

    positions: of slots, in the frames of the context and the predicted ones.
    clamp: coordinate where linear motion stops.
    """
    slots, order = positions, slot_order(positions, truth, context)
    positions = metrics.reorder(positions, order)
    velocities = None if velocities is None else metrics.reorder(velocities, order)
    rows = {"model": _error_curves((positions, velocities), truth, FIRST)}
    if positions.shape[1] == context or not baselines:
        return rows
    rows["model"]["med"] = _med_curve(slots[:, context:], truth, context)
    for name, path in _baseline_paths(positions, velocities, truth, context, clamp).items():
        rows[name] = _error_curves(path, truth, context + 1)
        rows[name]["med"] = _med_curve(path[0], truth, context)
    for name, places in _observed_paths(truth, context, clamp).items():
        rows[name] = {"med": _med_curve(places, truth, context)}
    return rows


def _baseline_paths(
    positions: Float[np.ndarray, "n t k 2"],
    velocities: Float[np.ndarray, "n t k 2"] | None,
    truth: Truth,
    context: int,
    clamp: float,
) -> dict[str, Path]:
    """Return row -> path over the predicted frames.

    static, linear and bouncing start from the model's own state at the last context frame, so they show
    the gain by the dynamics; "from true states" shows the gain by perfect perception. bouncing is there
    where the walls are known, and reflects at the true ones.
    """
    last, horizon = context - 1, positions.shape[1] - context
    wall = None if truth.walls is None else truth.walls[:, last]
    # models of masks only have the difference of the last two frames for a velocity
    velocity = positions[:, last] - positions[:, last - 1] if velocities is None else velocities[:, last]
    paths: dict[str, Path] = {**straight_paths(positions[:, last], velocity, horizon, clamp, wall)}

    start = truth.positions[:, last]
    speed = None if truth.velocities is None else truth.velocities[:, last]
    from_truth = straight_paths(start, speed, horizon, clamp, wall)
    paths |= {f"{name}, from true states": path for name, path in from_truth.items()}
    if speed is not None and wall is not None:
        path = metrics.linear(start, speed, horizon, wall)
        paths["linear, from true states, to the wall"] = path, metrics.static(speed, horizon)
    if len(positions) > 1:
        paths["another sequence"] = np.roll(truth.positions, 1, axis=0)[:, context:], None
    return paths


def _observed_paths(truth: Truth, context: int, clamp: float) -> dict[str, States]:
    """Return row -> predicted places of straight lines through the last two true ones of the context.

    They stand beside MED: a velocity that is read off two frames is wrong if something happened between.
    """
    if context < 2:
        return {}
    last, horizon = context - 1, truth.positions.shape[1] - context
    speed = truth.positions[:, last] - truth.positions[:, last - 1]
    wall = None if truth.walls is None else truth.walls[:, last]
    paths = straight_paths(truth.positions[:, last], speed, horizon, clamp, wall)
    return {f"{name}, from two true states": path for name, (path, _) in paths.items() if name != "static"}


def straight_paths(
    start: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"] | None,
    horizon: int,
    clamp: float,
    wall: Float[np.ndarray, "n k"] | None,
) -> Mapping[str, tuple[States, States]]:
    """Return name -> positions and velocities of objects left to themselves: static, linear, bouncing.

    velocity: without it objects can only be static.
    clamp: coordinate where linear motion stops.
    wall: coordinate where each object bounces; without it none does.
    """
    still = metrics.static(start, horizon)
    paths = {"static": (still, np.zeros_like(still))}
    if velocity is not None:
        path = metrics.linear(start, velocity, horizon, clamp)
        paths["linear"] = path, metrics.static(velocity, horizon)
        if wall is not None:
            paths["bouncing"] = metrics.bouncing(start, velocity, horizon, wall)
    return paths


@dataclass(frozen=True)
class Check:
    """One yes or no per sequence.

    passed: n
    defined: n, sequences that can be checked, None for all
    """

    passed: Bool[np.ndarray, "n"]
    defined: Bool[np.ndarray, "n"] | None = None

    def by_sequence(self) -> Float[np.ndarray, "n"]:
        """Return 1 or 0 per sequence, NaN where there is nothing to check."""
        values = self.passed.astype(np.float64)
        return values if self.defined is None else np.where(self.defined, values, np.nan)


def object_checks(positions: Float[np.ndarray, "n t s 2"], truth: Truth, context: int) -> dict[str, Check]:
    """Return which sequences show a detection of all objects, and which an identity switch.

    found: every object has a slot of its own within a radius in frames 3-8. context_swap: the best assignment
    over frames 6-8 is not the one over frames 3-5. Both over the sequences that have an object in these
    frames; there is no check without any.
    """
    checks = {}
    slots, objects = truth.lengths(positions), truth.lengths(truth.positions)
    if truth.radii is not None and context >= DETECTION[0]:
        window = frame_slice(DETECTION[0], min(context, DETECTION[1]))
        radii, present = truth.radii[:, window], truth.present_in(window)
        detected = metrics.all_detected(slots[:, window], objects[:, window], radii, present)
        checks["found"] = Check(detected, truth.has_objects_in(window))
    if context >= SWITCH[1][1]:
        window = frame_slice(1, SWITCH[1][1])
        switched = metrics.identity_switch(slots[:, window], objects[:, window], truth.present_in(window))
        in_both = None
        if truth.present is not None:
            early, late = (np.any(truth.present[:, frame_slice(*span)], axis=1) for span in SWITCH)
            in_both = np.any(early & late, axis=1)
        checks["context_swap"] = Check(switched, in_both)
    return {name: check for name, check in checks.items() if check.defined is None or check.defined.any()}


def share_estimates(checks: Mapping[str, Check], sources: Sources) -> dict[str, Estimate]:
    """Return the share of sequences that pass each check."""
    return {name: estimate(check.passed, sources, check.defined) for name, check in checks.items()}


def _med_curve(slots: States, truth: Truth, context: int) -> Curve:
    """Return MED over the predicted frames. Objects that are absent at the first of them count nowhere."""
    present = truth.present_in(slice(context, None))
    defined = None if present is None else np.any(present & present[:, :1], axis=-1)
    slots, objects = truth.lengths(slots), truth.lengths(truth.positions[:, context:])
    return Curve(
        metrics.mean_euclidean_distance(slots, objects, present), context + 1, truth.sources, defined
    )


def _error_curves(path: Path, truth: Truth, first: int) -> dict[str, Curve]:
    """Return the error curves from frame number `first` on of a path that ends with the last true frame."""
    positions, velocities = path
    last = truth.positions.shape[1]
    window = slice(first - 1, last)
    of_path = slice(positions.shape[1] - (last - first + 1), None)
    present, defined = truth.present_in(window), truth.defined_in(window)

    def curve(of_slots: States, of_objects: States) -> Curve:
        slots, objects = truth.lengths(of_slots[:, of_path]), truth.lengths(of_objects[:, window])
        return Curve(metrics.euclidean_error(slots, objects, present), first, truth.sources, defined)

    curves = {"position_error": curve(positions, truth.positions)}
    if velocities is not None and truth.velocities is not None:
        curves["velocity_error"] = curve(velocities, truth.velocities)
    return curves
