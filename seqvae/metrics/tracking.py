"""Multi-object tracking: correspondences of true objects and tracks over time, and the scores of them.

CLEAR MOT (Bernardin and Stiefelhagen 2008, "Evaluating multiple object tracking performance"), as
py-motmetrics defines it. t frame, k object, s slot; an identity is a positive whole number, 0 for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int, Integer
from scipy.optimize import linear_sum_assignment

LEAST_OVERLAP = 0.5  # intersection over union of an object and a track that may correspond


@dataclass(frozen=True)
class TrackCounts:
    """Counts of each sequence, over its frames, int64 "n".

    objects: true objects
    matches: objects with a track, switches among them
    switches: objects whose track is another one than their last
    misses: objects without a track
    false_positives: tracks without an object
    overlap: "n" float, sum of the intersections over unions of all matches
    """

    objects: Int[np.ndarray, "n"]
    matches: Int[np.ndarray, "n"]
    switches: Int[np.ndarray, "n"]
    misses: Int[np.ndarray, "n"]
    false_positives: Int[np.ndarray, "n"]
    overlap: Float[np.ndarray, "n"]

    @property
    def errors(self) -> Int[np.ndarray, "n"]:
        """Misses, false positives and switches: MOTA is 1 - sum of errors / sum of objects."""
        return self.misses + self.false_positives + self.switches


def count_tracks(
    overlaps: Float[np.ndarray, "n t k s"],
    objects: Integer[np.ndarray, "n t k"],
    tracks: Integer[np.ndarray, "n t s"],
    least: float = LEAST_OVERLAP,
) -> TrackCounts:
    """Follow the objects of each sequence through its frames, and count what their tracks do.

    In each frame an object keeps its last track, if both are there and overlap enough. The others are
    assigned to the tracks that are left: as many as possible, with the largest total overlap. An object that
    gets another track than its last one is a switch, also if it was missed in between.

    overlaps: intersection over union.
    objects, tracks: identities; 0 for none in this frame.
    least: overlap that a correspondence needs.
    """
    per_sequence = [_count_sequence(*arrays, least) for arrays in zip(overlaps, objects, tracks, strict=True)]
    columns = np.array(per_sequence, dtype=np.float64).reshape(-1, len(fields(TrackCounts))).T
    present, matches, switches, misses, false_positives = columns[:-1].astype(np.int64)
    return TrackCounts(present, matches, switches, misses, false_positives, overlap=columns[-1])


def _count_sequence(
    overlaps: Float[np.ndarray, "t k s"],
    objects: Integer[np.ndarray, "t k"],
    tracks: Integer[np.ndarray, "t s"],
    least: float,
) -> tuple[float, ...]:
    """Return the counts of one sequence, in the order of TrackCounts."""
    last_track: dict[int, int] = {}  # object -> track
    matches = switches = 0
    total = 0.0
    for overlap, here, there in zip(overlaps, objects, tracks, strict=True):
        allowed = (overlap >= least) & (here > 0)[:, None] & (there > 0)  # k s
        # 1. Objects keep their tracks.
        pairs = []
        for k in np.flatnonzero(here):
            (kept,) = np.nonzero(allowed[k] & (there == last_track.get(int(here[k]), 0)))
            if kept.size:
                pairs.append((k, kept[0]))
                allowed[k], allowed[:, kept[0]] = False, False
        # 2. The others get what is left: a pair that is not allowed costs more than all that are.
        cost = np.where(allowed, -overlap, 2.0 * min(allowed.shape) + 1.0)
        pairs += [(k, s) for k, s in zip(*linear_sum_assignment(cost), strict=True) if allowed[k, s]]
        for k, s in pairs:
            switches += int(last_track.get(int(here[k]), int(there[s])) != there[s])
            last_track[int(here[k])] = int(there[s])
            matches, total = matches + 1, total + float(overlap[k, s])
    present, found = int((objects > 0).sum()), int((tracks > 0).sum())
    return present, matches, switches, present - matches, found - matches, total


# Overlaps of masks and of boxes.


def mask_overlaps(
    truth: Integer[np.ndarray, "n t h w"], labels: Integer[np.ndarray, "n t h w"], objects: int, slots: int
) -> tuple[Float[np.ndarray, "n t _ s"], Int[np.ndarray, "n t _"], Int[np.ndarray, "n t s"]]:
    """Return the intersection over union of true and predicted segments, and the areas of both in pixels.

    truth: 0 background, k + 1 object k; along the axis of true segments, the background is the first.
    labels: slot of each pixel; those from `slots` on are none.
    objects, slots: number of each.
    """
    n, t = truth.shape[:2]
    width = max(slots, int(labels.max(initial=0)) + 1)
    frame = np.arange(n * t).reshape(n, t, 1, 1)
    cell = (frame * (objects + 1) + truth) * width + labels
    table = np.bincount(cell.reshape(-1), minlength=n * t * (objects + 1) * width)
    table = table.reshape(n, t, objects + 1, width)
    true_area, area = table.sum(3), table.sum(2)
    union = true_area[..., None] + area[:, :, None] - table
    overlap = table / np.maximum(union, 1)
    return overlap[..., :slots], true_area, area[..., :slots]


def box_overlaps(
    truth: Float[np.ndarray, "n t k 4"], boxes: Float[np.ndarray, "n t s 4"]
) -> Float[np.ndarray, "n t k s"]:
    """Return the intersection over union of boxes: centre x, y and half the width and height.

    0 for a box that is not finite.
    """
    true_low, true_high = truth[..., :2] - truth[..., 2:], truth[..., :2] + truth[..., 2:]
    low, high = boxes[..., :2] - boxes[..., 2:], boxes[..., :2] + boxes[..., 2:]
    low = np.maximum(true_low[:, :, :, None], low[:, :, None])
    high = np.minimum(true_high[:, :, :, None], high[:, :, None])
    both = np.clip(high - low, 0, None).prod(-1)
    areas = [4 * x[..., 2] * x[..., 3] for x in (truth, boxes)]
    union = areas[0][..., None] + areas[1][:, :, None] - both
    return np.nan_to_num(both / np.where(union > 0, union, np.inf), nan=0.0)
