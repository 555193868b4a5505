"""The evaluation protocol: numbers, with their standard errors, and the files that hold them."""

from __future__ import annotations

from seqvae.evaluate.bounds import Bound, bound, bounds, reported
from seqvae.evaluate.by_sequence import SequenceScores, read_sequence_scores
from seqvae.evaluate.futures import (
    Futures,
    describe_futures,
    long_rollouts,
    sample_futures,
    uncertainty,
)
from seqvae.evaluate.metric import Metric, registered_metrics
from seqvae.evaluate.protocol import score, usable_lengths
from seqvae.evaluate.report import Report, remove_metrics, write_report
from seqvae.evaluate.scores import Curve, Scores
from seqvae.evaluate.truth import Truth, slot_order

__all__ = [
    "Bound",
    "Curve",
    "Futures",
    "Metric",
    "Report",
    "Scores",
    "SequenceScores",
    "Truth",
    "bound",
    "bounds",
    "describe_futures",
    "long_rollouts",
    "read_sequence_scores",
    "registered_metrics",
    "remove_metrics",
    "reported",
    "sample_futures",
    "score",
    "slot_order",
    "uncertainty",
    "usable_lengths",
    "write_report",
]
