"""The evaluation protocol: numbers, with their standard errors, and the files that hold them."""

from __future__ import annotations

from seqvae.evaluate.bounds import Bound, bound, bounds, reported
from seqvae.evaluate.futures import long_rollouts, uncertainty
from seqvae.evaluate.metric import Metric, registered_metrics
from seqvae.evaluate.protocol import score, usable_lengths
from seqvae.evaluate.report import Report, write_report
from seqvae.evaluate.scores import Curve, Scores
from seqvae.evaluate.truth import Truth, slot_order

__all__ = [
    "Bound",
    "Curve",
    "Metric",
    "Report",
    "Scores",
    "Truth",
    "bound",
    "bounds",
    "long_rollouts",
    "registered_metrics",
    "reported",
    "score",
    "slot_order",
    "uncertainty",
    "usable_lengths",
    "write_report",
]
