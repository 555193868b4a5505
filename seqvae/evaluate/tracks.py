"""Tracking scores of a model's slots, by their masks or boxes, on the frames that it filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.evaluate.image_scores import labels_of
from seqvae.evaluate.scores import FIRST
from seqvae.metrics import Estimate, TrackCounts, estimate_ratio
from seqvae.metrics.statistics import Sources
from seqvae.rollout import Rollout

LEAST_PIXELS = 5  # masks of no more pixels count for nothing
BACKGROUND = 0.2  # a mask with a larger overlap with the true background is background


@dataclass(frozen=True)
class Tracks:
    """Counts of the tracks of each sequence.

    by: what was compared, "masks" or "boxes"
    """

    counts: TrackCounts
    by: str

    def estimates(self, sources: Sources) -> dict[str, Estimate]:
        """Return MOTA, MOTP (the mean overlap of matches), and the faults per true object.

        They are ratios of sums over all sequences. Empty without a true object.
        """
        counts = self.counts
        if not counts.objects.any():
            return {}
        faults = {
            "track_misses": counts.misses,
            "track_false_positives": counts.false_positives,
            "track_switches": counts.switches,
        }
        errors = estimate_ratio(counts.errors, counts.objects, sources)
        found = {"mota": Estimate(1 - errors.mean, errors.se, errors.n)}
        if counts.matches.any():
            found["motp"] = estimate_ratio(counts.overlap, counts.matches, sources)
        return found | {name: estimate_ratio(x, counts.objects, sources) for name, x in faults.items()}


def track_slots(rollout: Rollout, sequences: Sequences, background: int) -> Tracks | None:
    """Count tracks in the frames 3 to the end of the context; a slot is a track.

    By masks where the model and the data have them, else by boxes: of the data, the squares around the
    objects. None where there is neither, or for single images.

    background: number of slots that stand for no object.
    """
    window = slice(FIRST - 1, rollout.context)
    if rollout.context < FIRST:
        return None
    if rollout.masks is not None and sequences.masks is not None:
        return Tracks(_by_masks(rollout, sequences, window), "masks")
    has_boxes = rollout.extents is not None and rollout.positions is not None
    if has_boxes and sequences.positions is not None and sequences.radii is not None:
        return Tracks(_by_boxes(rollout, sequences, window, background), "boxes")
    return None


def _by_masks(rollout: Rollout, sequences: Sequences, window: slice) -> TrackCounts:
    """Count the tracks of masks, of which each pixel belongs to one slot.

    Source: Weis et al. 2021, arXiv 2006.07034.
    """
    assert rollout.masks is not None and sequences.masks is not None
    truth, labels = sequences.masks[:, window], labels_of(rollout.masks[:, window])
    objects, slots = int(truth.max(initial=0)), rollout.masks.shape[2]
    if sequences.ids is not None:
        objects = max(objects, sequences.ids.shape[2])
    overlaps, true_areas, areas = metrics.mask_overlaps(truth.astype(np.int64), labels, objects, slots)
    visible = true_areas[..., 1:] > LEAST_PIXELS
    is_track = (areas > LEAST_PIXELS) & (overlaps[:, :, 0] <= BACKGROUND)
    identities = _identities(sequences, visible.shape, window)
    return metrics.count_tracks(overlaps[:, :, 1:], np.where(visible, identities, 0), _numbered(is_track))


def _by_boxes(rollout: Rollout, sequences: Sequences, window: slice, background: int) -> TrackCounts:
    """Count the tracks of boxes; an object that is present has one, hidden or not.

    Source: Lin et al. 2020, arXiv 2010.02054.
    """
    assert rollout.positions is not None and rollout.extents is not None
    assert sequences.positions is not None and sequences.radii is not None
    reach = sequences.radii[:, window, :, None] / np.array([1.0, sequences.aspect])  # of x and of y
    truth = np.concatenate([sequences.positions[:, window], reach], -1)
    boxes = np.concatenate([rollout.positions[:, window], rollout.extents[:, window]], -1)
    overlaps = metrics.box_overlaps(truth.astype(np.float64), boxes.astype(np.float64))
    present = np.ones(truth.shape[:-1], bool) if sequences.present is None else sequences.present[:, window]
    is_track = np.ones(boxes.shape[:-1], bool)
    if rollout.presence is not None:
        is_track = rollout.presence[:, window].copy()
    is_track[..., :background] = False
    identities = _identities(sequences, present.shape, window)
    return metrics.count_tracks(overlaps, np.where(present, identities, 0), _numbered(is_track))


def _identities(sequences: Sequences, shape: tuple[int, ...], window: slice) -> Int[np.ndarray, "n t k"]:
    """Return the identity of each object: the number that the data have for it, else its place."""
    identities = np.broadcast_to(np.arange(1, shape[-1] + 1), shape).copy()
    if sequences.ids is not None:
        ids = sequences.ids[:, window]
        named = identities[..., : ids.shape[2]]
        np.copyto(named, ids, where=ids > 0)
    return identities


def _numbered(is_track: Bool[np.ndarray, "n t s"]) -> Int[np.ndarray, "n t s"]:
    return np.where(is_track, np.arange(1, is_track.shape[-1] + 1), 0)
