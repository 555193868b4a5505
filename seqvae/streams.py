"""Streams of random numbers, one per purpose.

Training, validation, evaluation and data may all be given the same seed: no stream repeats numbers of another
one, nor of a simulator.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Purposes of the streams; in parentheses, the numbers that tell streams of one purpose apart.

    The constants start at 2^31, so that no data seed can give the key of a stream. A block of data is seeded
    by (seed, split, block), where the split is less than 3, a recorded episode by (seed, 3, episode). A seed
    above 32 bits counts as two words, and the second of them is less than 2^31. The second place of such a
    key never holds one of these constants.
    """

    WEIGHTS = 2**31  # initial weights and random structure of a model
    TRAINING = 2**31 + 1  # samples and noise of training updates (stage, 0)
    VALIDATION = 2**31 + 2  # samples during a validation
    EVALUATION = 2**31 + 3  # samples of the commands that use a trained model
    ORDER = 2**31 + 4  # order of the sequences in an epoch (epoch)
    STARTS = 2**31 + 5  # first frames of the clips of a batch (step)
    ROUNDS = 2**31 + 6  # clips of a round of fresh sequences (round)
    VALIDATION_CLIPS = 2**31 + 7  # replaces the seed of the clips on which a validation takes the objective
    PLAY = 2**31 + 8  # sampled futures of a page (draw)
    PLANNING = 2**31 + 9  # starts of environments, and lines of planners in them (environment, which)


def seed_sequence(stream: Stream, seed: int, *numbers: int) -> np.random.SeedSequence:
    """Return the seeds of one stream. All calls for one purpose pass the same count of numbers."""
    return np.random.SeedSequence((seed, int(stream), *numbers))


def generator(stream: Stream, seed: int, *numbers: int) -> np.random.Generator:
    """Return the NumPy generator of one stream."""
    return np.random.default_rng(seed_sequence(stream, seed, *numbers))
