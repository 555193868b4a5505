"""Random numbers by counter: the same for the same key and counter, so that a step can be pure and random."""

from __future__ import annotations

import numpy as np


def counted_uniforms(keys: np.ndarray, counters: np.ndarray, draws: int) -> np.ndarray:
    """Return numbers uniform in [0, 1), float64 "... draws", for each key and counter.

    keys: uint64 "...", random.
    counters: int64 "...", not negative; one key has 2^64 / draws different ones.

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
    """
    number = counters.astype(np.uint64)[..., None] * np.uint64(draws) + np.arange(
        1, draws + 1, dtype=np.uint64
    )
    z = keys[..., None] + number * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * 2.0**-53
