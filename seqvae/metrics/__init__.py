"""Metrics: pure functions of arrays, usable without a model.

Frames are counted from 1 in names and texts and from 0 in arrays; `frame_slice(3, 8)` converts. Functions
return one number per sequence (and frame); `estimate` turns those into a mean with its standard error.
"""

from __future__ import annotations

from seqvae.metrics.baselines import bouncing, complete_shapes, linear, move_shapes, static
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
from seqvae.metrics.statistics import (
    Estimate,
    best_of,
    coverage,
    drop_undefined,
    estimate,
    estimate_ratio,
    source_count,
)

__all__ = [
    "Estimate",
    "adjusted_rand_index",
    "all_detected",
    "best_of",
    "bouncing",
    "complete_shapes",
    "confusion_matrix",
    "count_accuracy",
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
    "hold_last_position",
    "identity_switch",
    "in_box",
    "kinetic_energy",
    "linear",
    "mask_centroids",
    "match_slots",
    "mean_iou",
    "move_shapes",
    "pixel_mse",
    "reorder",
    "source_count",
    "static",
    "to_grey",
]
