"""Metrics: pure functions of arrays, usable without a model.

Frames are counted from 1 in names and texts and from 0 in arrays; `frames(3, 8)` converts. Functions
return one number a sequence (and frame); `estimate` turns those into a mean with its standard error.
"""

from __future__ import annotations

from seqvae.metrics.baselines import bouncing, linear, static
from seqvae.metrics.counts import confusion, count_accuracy, visible
from seqvae.metrics.longrun import distinct_objects, in_box, kinetic_energy
from seqvae.metrics.objects import (
    context_swap,
    euclidean_error,
    found,
    frames,
    last_seen,
    mask_centroids,
    object_order,
    reorder,
)
from seqvae.metrics.pixels import grey, pixel_mse, without_repeats
from seqvae.metrics.segmentation import adjusted_rand_index, foreground_ari, mean_iou
from seqvae.metrics.shapes import moved_shapes, whole_shapes
from seqvae.metrics.statistics import Estimate, defined, estimate, estimate_ratio, source_count
from seqvae.metrics.uncertainty import best_of, coverage

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
