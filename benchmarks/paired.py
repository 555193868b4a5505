"""Two models' bounds on the same sequences: python benchmarks/paired.py runs/a/evaluation runs/b/evaluation

What the second has over the first, in nats a frame, and its standard error over sequences, from the
bounds.csv that `python -m seqvae evaluate` wrote for both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from seqvae.metrics import estimate


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = sys.argv[1:]
    a, b = (np.loadtxt(Path(run) / "bounds.csv", delimiter=",", skiprows=1)[:, 1] for run in (first, second))
    if len(a) != len(b):
        sys.exit(f"{len(a)} and {len(b)} sequences: evaluate both on the same data")
    for name, nats in ((first, a), (second, b), ("difference", b - a)):
        value = estimate(nats)
        print(f"{name}: {value.mean:.3f} ± {value.se:.3f} nats a frame, {value.n} sequences")


if __name__ == "__main__":
    main()
