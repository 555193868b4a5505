"""Two models' bounds on the same sequences: python benchmarks/paired.py runs/a/evaluation runs/b/evaluation

What the second has over the first, in nats a frame, and its standard error over sequences, or over the
images that sequences share, from the bounds.csv that `python -m seqvae evaluate` wrote for both. Several
trainings of each, under commas (runs/a-0/evaluation,runs/a-1/evaluation ...), are paired in their order: then
also the mean over them and its standard error over trainings.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from seqvae.metrics import Estimate, estimate, source_count


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = (argument.split(",") for argument in sys.argv[1:])
    if len(first) != len(second):
        sys.exit(f"{len(first)} and {len(second)} trainings: give as many of each")
    gains = []
    for one, other in zip(first, second, strict=True):
        (a, sources), (b, again) = read(one), read(other)
        if len(a) != len(b) or not np.array_equal(sources, again):
            sys.exit(f"{one}, {other}: {len(a)} and {len(b)} sequences; evaluate both on the same data")
        for name, nats in ((one, a), (other, b), ("difference", b - a)):
            value = estimate(nats, sources)
            print(f"{name}: {told(value)}, {value.n} sequences{of(sources)}")
        gains.append((b - a).mean())
    if len(gains) > 1:
        print(f"difference over trainings: {told(estimate(np.array(gains)))}, {len(gains)} of each")


def read(evaluation: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Nats a frame of each sequence, and the sources of each, "n s", where the file has them."""
    with open(Path(evaluation) / "bounds.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    nats = np.array([float(row["nats_a_frame"]) for row in rows])
    if not rows or "sources" not in rows[0]:
        return nats, None
    return nats, np.array([[int(source) for source in row["sources"].split()] for row in rows])


def told(value: Estimate) -> str:
    return f"{value.mean:.3f} ± {value.se:.3f} nats a frame"


def of(sources: np.ndarray | None) -> str:
    return "" if sources is None else f" made from {source_count(sources)} sources"


if __name__ == "__main__":
    main()
