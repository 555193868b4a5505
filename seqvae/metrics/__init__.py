"""Metrics: pure functions of arrays, usable without a model.

Frames are counted from 1 in names and texts and from 0 in arrays; `frames(3, 8)` converts. Functions
return one number a sequence (and frame); `estimate` turns those into a mean with its standard error.
"""

from __future__ import annotations

from seqvae.metrics.images import (
    adjusted_rand_index,
    foreground_ari,
    grey,
    mean_iou,
    moved_shapes,
    pixel_mse,
    whole_shapes,
    without_repeats,
)
from seqvae.metrics.objects import (
    bouncing,
    confusion,
    context_swap,
    count_accuracy,
    distinct_objects,
    euclidean_error,
    found,
    frames,
    in_box,
    kinetic_energy,
    last_seen,
    linear,
    mask_centroids,
    object_order,
    reorder,
    static,
    visible,
)
from seqvae.metrics.statistics import (
    Estimate,
    best_of,
    coverage,
    defined,
    estimate,
    estimate_ratio,
    source_count,
)

__all__ = [
    "Estimate",
    "adjusted_rand_index",
    "best_of",
    "bouncing",
    "confusion",
    "context_swap",
    "count_accuracy",
    "coverage",
    "defined",
    "distinct_objects",
    "estimate",
    "estimate_ratio",
    "euclidean_error",
    "foreground_ari",
    "found",
    "frames",
    "grey",
    "in_box",
    "kinetic_energy",
    "last_seen",
    "linear",
    "mask_centroids",
    "mean_iou",
    "moved_shapes",
    "object_order",
    "pixel_mse",
    "reorder",
    "source_count",
    "static",
    "visible",
    "whole_shapes",
    "without_repeats",
]
