"""Metrics: pure functions of arrays, usable without a model.

Frames are counted from 1 in names and texts and from 0 in arrays; `frame_slice(3, 8)` converts. Functions
return one number per sequence (and frame); `estimate` turns those into a mean with its standard error.
"""

from __future__ import annotations

from seqvae.metrics.baselines import bouncing, complete_shapes, linear, move_shapes, static
from seqvae.metrics.events import auc
from seqvae.metrics.images import (
    adjusted_rand_index,
    drop_equal_channels,
    foreground_ari,
    mean_iou,
    pixel_mse,
    to_grey,
)
from seqvae.metrics.objects import (
    all_detected,
    confusion_matrix,
    count_accuracy,
    count_visible,
    distinct_objects,
    euclidean_error,
    frame_slice,
    hold_last_position,
    identity_switch,
    in_box,
    kinetic_energy,
    mask_centroids,
    match_slots,
    reorder,
)
from seqvae.metrics.paths import mean_euclidean_distance, pair_once
from seqvae.metrics.quality import has_windows, psnr, psnr_of_error, ssim
from seqvae.metrics.statistics import (
    Estimate,
    best_of,
    coverage,
    drop_undefined,
    estimate,
    estimate_ratio,
    source_count,
)
from seqvae.metrics.tracking import TrackCounts, box_overlaps, count_tracks, mask_overlaps

__all__ = [
    "Estimate",
    "TrackCounts",
    "adjusted_rand_index",
    "all_detected",
    "auc",
    "best_of",
    "bouncing",
    "box_overlaps",
    "complete_shapes",
    "confusion_matrix",
    "count_accuracy",
    "count_tracks",
    "count_visible",
    "coverage",
    "distinct_objects",
    "drop_equal_channels",
    "drop_undefined",
    "estimate",
    "estimate_ratio",
    "euclidean_error",
    "foreground_ari",
    "frame_slice",
    "has_windows",
    "hold_last_position",
    "identity_switch",
    "in_box",
    "kinetic_energy",
    "linear",
    "mask_centroids",
    "mask_overlaps",
    "match_slots",
    "mean_euclidean_distance",
    "mean_iou",
    "move_shapes",
    "pair_once",
    "pixel_mse",
    "psnr",
    "psnr_of_error",
    "reorder",
    "source_count",
    "ssim",
    "static",
    "to_grey",
]
