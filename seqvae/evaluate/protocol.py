"""The protocol on a model and some sequences, cheap enough to run during training."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.evaluate.foretold import expected_rewards, foretold
from seqvae.evaluate.image_scores import (
    MaskScores,
    PixelErrors,
    segmentation,
    shape_baselines,
    straight_frames,
)
from seqvae.evaluate.metric import Metric, MetricValues, measure
from seqvae.evaluate.scores import FIRST, Curve, Scores
from seqvae.evaluate.state_scores import Check, object_checks, object_curves, share_estimates
from seqvae.evaluate.tracks import Tracks, track_slots
from seqvae.evaluate.truth import Truth, require_slots, slot_order
from seqvae.metrics import Estimate, estimate
from seqvae.rollout import Rollout, roll_out_blocks
from seqvae.sequence import SequenceModel
from seqvae.tree import join_records

HORIZON = 92  # the paper's: 100 frames, 8 of them given
# Where the linear baseline stops, in half-widths, by simulator: the values of STOVE's paper, for its worlds.
# In those of G-SWM and SpMOT nothing stops a straight line.
CLAMP = 0.8
CLAMPS = {"gravity": 0.9} | dict.fromkeys(
    ("balls_interaction", "balls_occlusion", "balls_two_layer", "balls_two_layer_dense", "spmot"), np.inf
)

Value = TypeVar("Value")


def score(
    model: SequenceModel,
    sequences: Sequences,
    context: int = 8,
    horizon: int | None = None,
    decode: bool = False,
    pixels: str = "auto",
    baselines: bool = True,
    own: Sequence[Metric] = (),
) -> Scores:
    """Filter the context, imagine the horizon from the posterior's mean, and compare.

    Without decode only latents are computed: position and velocity errors, found, context_swap (100
    sequences: about a second). Of models that count, instead, the share of context frames with the right
    count: from frame to frame their slots stand for whatever comes first. With decode also pixel errors
    (linear and bouncing: the model's own states of the last context frame, left to themselves), for models of
    masks the errors of their centroids and, where the data has masks, segmentation scores. Where model and
    data have masks or boxes there are tracking scores of the context.

    horizon: by default 92, or what the data has; 0 filters only. Single images are only reconstructed.
    pixels: auto, grey or rgb, see PixelErrors.
    baselines: without them there is no row but the model's, and no MED, PSNR and SSIM.
    own: metrics of the user.

    Raises:
        UserError: sequences too short, actions missing, or fewer slots than objects in a model of objects.
    """
    context, horizon = usable_lengths(sequences, context, horizon)
    truth = Truth.of(sequences, context + horizon) if context >= FIRST else None
    errors = None
    if decode:
        frames = sequences.frames[:, : context + horizon]
        opaque = sequences.masks is not None
        errors = PixelErrors(frames, pixels, context, first=min(FIRST, context), opaque=opaque)
    protocol = _Protocol(model, sequences, context, horizon, truth, errors, baselines, own)
    blocks = roll_out_blocks(model, sequences.frames, sequences.prev_actions, context, horizon, decode=decode)
    measured: _Measured = join_records(
        np.concatenate, [protocol.measure(where, rollout) for where, rollout in blocks]
    )
    masks = protocol.mask_scores(measured)
    mask_means = {row: protocol.means(scores) for row, scores in masks.items()}
    confusion, accuracy = protocol.count_scores(measured)
    checks = protocol.object_checks(measured)
    by_sequence = {name: check.by_sequence() for name, check in checks.items()} | accuracy
    sources = sequences.sources
    shares = share_estimates(checks, sources)
    shares |= {name: estimate(values, sources) for name, values in accuracy.items()}
    shares |= mask_means.get("model", {})
    shares |= {} if measured.tracks is None else measured.tracks.estimates(sources)
    shares |= foretold(measured.rewards, sequences, context)
    return Scores(
        n=len(sequences),
        context=context,
        horizon=horizon,
        curves=protocol.curves(measured),
        shares=shares | protocol.own_shares(measured, shares),
        counts=confusion,
        segmentation=mask_means,
        sources=None if sources is None else metrics.source_count(sources),
        measured=masks | {"model": masks.get("model", {}) | by_sequence},
        source_names=sources,
        tracked=None if measured.tracks is None else measured.tracks.by,
    )


def usable_lengths(sequences: Sequences, context: int, horizon: int | None) -> tuple[int, int]:
    """Return the frames given and the frames to predict: as asked for, or 92, or what the data has.

    Of single images the one frame is given, and there is nothing to predict.

    Raises:
        UserError: the sequences are too short for the context and one frame more, or for the horizon asked.
            A horizon of 0 needs no frame more.
    """
    length = sequences.frames.shape[1]
    if length == 1:
        return 1, 0
    if context < FIRST:
        raise UserError(f"context={context}: at least {FIRST} frames, as velocities take two to see")
    if length <= context and not (horizon == 0 and length == context):
        raise UserError(
            f"{sequences.name}: has {length} frames per sequence; context={context} needs at least one more, "
            "or horizon=0"
        )
    if horizon is None:
        return context, min(HORIZON, length - context)
    if not 0 <= horizon <= length - context:
        raise UserError(
            f"horizon={horizon}: {sequences.name} has {length - context} frames after context={context}"
        )
    return context, horizon


@dataclass(frozen=True)
class _Measured:
    """Numbers taken from the rollouts of some sequences; None, or empty, where model or data have none.

    positions: n t s 2, places of slots, half-widths and half-heights
    velocities: n t s 2, half-widths and half-heights per frame
    counts: n context, inferred numbers of objects
    pixels: row -> n _, errors of frames
    ssim: row -> n _, likeness of frames
    masks: row -> score -> n
    own: metric of the user -> n or n t
    tracks: counts of the tracks of slots
    rewards: n _, expected rewards of predicted frames
    """

    positions: Float[np.ndarray, "n t s 2"] | None
    velocities: Float[np.ndarray, "n t s 2"] | None
    counts: Int[np.ndarray, "n context"] | None
    pixels: dict[str, Float[np.ndarray, "n _"]] = field(default_factory=dict)
    ssim: dict[str, Float[np.ndarray, "n _"]] = field(default_factory=dict)
    masks: dict[str, MaskScores] = field(default_factory=dict)
    own: dict[str, MetricValues] = field(default_factory=dict)
    tracks: Tracks | None = None
    rewards: Float[np.ndarray, "n _"] | None = None


@dataclass(frozen=True)
class _Protocol:
    """One evaluation: what is measured on each rollout, and the scores of all that was measured.

    truth: true states, None where there are none or nothing is predicted
    errors: of pixels, None where frames are not decoded
    baselines: whether rows beside the model's are wanted
    own: metrics of the user
    """

    model: SequenceModel
    sequences: Sequences
    context: int
    horizon: int
    truth: Truth | None
    errors: PixelErrors | None
    baselines: bool
    own: Sequence[Metric]

    @property
    def clamp(self) -> float:
        """Coordinate where the linear baseline stops."""
        return CLAMPS.get(self.sequences.simulator or "", CLAMP)

    def measure(self, where: slice, rollout: Rollout) -> _Measured:
        """Take what is scored from the rollout of some sequences, so that its frames can be forgotten."""
        positions = _slot_positions(rollout, self.model.background_slots)
        if self.truth is not None and positions is not None:
            require_slots(self.model.frame.slots - self.model.background_slots, self.truth)
        data = self.sequences.select(where, slice(self.context + self.horizon))
        masks = {} if data.masks is None else segmentation(rollout, data.masks)
        pixels, ssim = self._pixel_scores(rollout, data)
        return _Measured(
            positions=_as_double(positions),
            velocities=_as_double(rollout.velocities),
            counts=None if rollout.presence is None else rollout.presence[:, : self.context].sum(2),
            pixels=pixels,
            ssim=ssim,
            masks=masks,
            own=measure(self.own, rollout, data) if self.own else {},
            tracks=track_slots(rollout, data, self.model.background_slots) if self.baselines else None,
            rewards=expected_rewards(self.model, rollout, data),
        )

    def curves(self, measured: _Measured) -> dict[str, dict[str, Curve]]:
        """Return row -> quantity -> error curve: of states first, then of pixels."""
        curves: dict[str, dict[str, Curve]] = {"model": {}}
        if self.truth is not None and measured.positions is not None:
            states = measured.positions, measured.velocities
            curves |= object_curves(*states, self.truth, self.context, self.clamp, self.baselines)
        for row, errors in self._wanted(measured.pixels).items():
            first = min(FIRST, self.context) if row == "model" else self.context + 1
            quantities = {"pixel_mse": errors}
            if self.baselines:
                quantities |= {"psnr": metrics.psnr_of_error(errors)}
            if row in measured.ssim:
                quantities |= {"ssim": measured.ssim[row]}
            sources = self.sequences.sources
            found = {name: Curve(x, first, sources) for name, x in quantities.items()}
            curves[row] = curves.get(row, {}) | found
        own = {name: x for name, x in measured.own.items() if x.values.ndim == 2}
        _require_new_names(own, {quantity for row in curves.values() for quantity in row})
        for name, x in own.items():
            curves["model"][name] = Curve(x.values, 1, self.sequences.sources, x.defined)
        return curves

    def own_shares(self, measured: _Measured, taken: Mapping[str, Any]) -> dict[str, Estimate]:
        """Return the metrics of the user that have one value per sequence; `taken` are names of others."""
        own = {name: x for name, x in measured.own.items() if x.values.ndim == 1}
        _require_new_names(own, taken)
        sources = self.sequences.sources
        return {name: estimate(x.values, sources, x.defined) for name, x in own.items()}

    def object_checks(self, measured: _Measured) -> dict[str, Check]:
        """Return found and context_swap, empty without positions or true ones."""
        if self.truth is None or measured.positions is None:
            return {}
        return object_checks(measured.positions, self.truth, self.context)

    def count_scores(self, measured: _Measured) -> tuple[Int[np.ndarray, "count count"] | None, MaskScores]:
        """Return the confusion matrix, and each sequence's accuracy of counts, of a model that counts."""
        truth = None if measured.counts is None else self.sequences.count_visible()
        if measured.counts is None or truth is None:
            return None, {}
        truth = truth[:, : self.context]
        accuracy = metrics.count_accuracy(measured.counts, truth)
        confusion = metrics.confusion_matrix(measured.counts, truth)
        return confusion, {"count_accuracy": accuracy}

    def mask_scores(self, measured: _Measured) -> dict[str, MaskScores]:
        """Return row -> scores of masks: the model, its last masks copied, and true shapes that move."""
        if not measured.masks:
            return {}
        rows = self._wanted(measured.masks)
        if self.baselines and self.truth is not None:
            rows |= shape_baselines(self.sequences, self.truth, self.context, self.horizon, self.clamp)
        return rows

    def _pixel_scores(
        self, rollout: Rollout, data: Sequences
    ) -> tuple[dict[str, Float[np.ndarray, "n _"]], dict[str, Float[np.ndarray, "n _"]]]:
        """Return row -> errors of frames, and row -> their SSIM, which only a full evaluation takes."""
        if self.errors is None or rollout.frames is None:
            return {}, {}
        straight = {}
        if self.baselines:
            truth = Truth.of(data, self.context + self.horizon) if self.truth is not None else None
            wall = None if truth is None else _slot_walls(rollout, truth)
            straight = straight_frames(self.model, rollout, self.clamp, wall)
        errors = self.errors.rows(rollout.frames, data.frames, straight)
        if not self.baselines:
            return errors, {}
        return errors, self.errors.likeness(rollout.frames, data.frames, straight)

    def _wanted(self, rows: dict[str, Value]) -> dict[str, Value]:
        """Return the rows, without baselines the model's alone."""
        return {row: x for row, x in rows.items() if self.baselines or row == "model"}

    def means(self, scores: MaskScores) -> dict[str, Estimate]:
        """Return means over the sequences in which a score is defined: those with objects, and a frame."""
        kept = {name: metrics.drop_undefined(x, self.sequences.sources) for name, x in scores.items()}
        return {name: estimate(*values) for name, values in kept.items() if len(values[0])}


def _require_new_names(own: Iterable[str], taken: Container[str]) -> None:
    for name in own:
        if name in taken:
            raise UserError(f"metric {name}: the evaluation has a number of this name; give it another")


def _slot_positions(rollout: Rollout, background: int) -> Float[np.ndarray, "n t k 2"] | None:
    """Return the places of slots, or the centres of their masks; not a number for the background.

    A slot whose mask is empty is where it last was. A mask that is not finite is not empty. None for models
    that count.
    """
    if rollout.presence is not None:
        return None
    if rollout.positions is None and rollout.masks is not None:
        visible = np.any(rollout.masks, axis=(-2, -1))
        centres = metrics.hold_last_position(metrics.mask_centroids(rollout.masks), visible)
        centres[:, :, :background] = np.nan
        return centres
    return rollout.positions


def _slot_walls(rollout: Rollout, truth: Truth) -> Float[np.ndarray, "n s"] | None:
    """Return where each slot bounces: at its object's wall; slots without one at the nearest wall of all."""
    if truth.walls is None or rollout.positions is None or rollout.presence is not None:
        return None
    at_objects, positions = truth.walls[:, rollout.context - 1], rollout.positions.astype(np.float64)
    at_slots = np.full(positions.shape[::2], at_objects.min())
    np.put_along_axis(at_slots, slot_order(positions, truth, rollout.context), at_objects, axis=1)
    return at_slots


def _as_double(x: np.ndarray | None) -> np.ndarray | None:
    return None if x is None else x.astype(np.float64)
