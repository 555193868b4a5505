"""Compare the bounds of two models: python benchmarks/paired.py runs/a/evaluation runs/b/evaluation

Print by how many nats per frame the second model exceeds the first on the same sequences, with the standard
error over sequences, or over the images that sequences share. The numbers come from the bounds.csv that
`python -m seqvae evaluate` writes. Several trainings of each model, separated by commas
(runs/a-0/evaluation,runs/a-1/evaluation ...), are paired in order; the mean over them follows, with its
standard error over trainings.
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
        (a, sources), (b, sources_b) = read(one), read(other)
        if len(a) != len(b) or not same(sources, sources_b):
            sys.exit(f"{one}, {other}: {len(a)} and {len(b)} sequences; evaluate both on the same data")
        for name, nats in ((one, a), (other, b), ("difference", b - a)):
            value = estimate(nats, sources)
            print(f"{name}: {shown(value)}, {value.n} sequences{shown_sources(sources)}")
        gains.append((b - a).mean())
    if len(gains) > 1:
        print(f"difference over trainings: {shown(estimate(np.array(gains)))}, {len(gains)} of each")


def read(evaluation: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return nats per frame of each sequence, and its sources "n s" if the file has them."""
    with open(Path(evaluation) / "bounds.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    nats = np.array([float(row["nats_a_frame"]) for row in rows])
    if not rows or "sources" not in rows[0]:
        return nats, None
    return nats, np.array([[int(source) for source in row["sources"].split()] for row in rows])


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def shown(value: Estimate) -> str:
    return f"{value.mean:.3f} ± {value.se:.3f} nats per frame"


def shown_sources(sources: np.ndarray | None) -> str:
    return "" if sources is None else f" made from {source_count(sources)} sources"


if __name__ == "__main__":
    main()
