"""The evaluation protocol: numbers, with their standard errors, and the files that hold them."""

from __future__ import annotations

from seqvae.evaluate.bounds import Bound, bound, bounds, reported
from seqvae.evaluate.longrun import long_rollouts
from seqvae.evaluate.objects import Truth, slot_order
from seqvae.evaluate.protocol import score, usable_lengths
from seqvae.evaluate.report import Report, write_report
from seqvae.evaluate.samples import uncertainty
from seqvae.evaluate.scores import Curve, Scores

__all__ = [
    "Bound",
    "Curve",
    "Report",
    "Scores",
    "Truth",
    "bound",
    "bounds",
    "long_rollouts",
    "reported",
    "score",
    "slot_order",
    "uncertainty",
    "usable_lengths",
    "write_report",
]
