"""Streams of random numbers: every purpose draws from a stream of its own.

Training, validation, evaluation and data may all be given the same seed. No stream then repeats numbers of
another one, and no stream of this package those of a simulator.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What the numbers of a stream are for; in parentheses the numbers that tell its parts apart.

    The constants start at 2^31. A block of data is seeded by (seed, split, block): after its seed comes a
    split, which is less than 3. A seed above 32 bits counts as two words, and the second of them is less than
    2^31. So no data seed can give a key that holds one of these constants in its second place.
    """

    WEIGHTS = 2**31  # initial weights and random structure of a model
    TRAINING = 2**31 + 1  # samples and noise of training updates (stage, rank)
    VALIDATION = 2**31 + 2  # samples during a validation
    EVALUATION = 2**31 + 3  # samples of the commands that use a trained model
    ORDER = 2**31 + 4  # order of the sequences in an epoch (epoch)
    STARTS = 2**31 + 5  # first frames of the clips of a batch (step)
    ROUNDS = 2**31 + 6  # clips of a round of fresh sequences (round)
    VALIDATION_CLIPS = 2**31 + 7  # stands for the seed of the clips on which a validation takes the objective


def seed_sequence(stream: Stream, seed: int, *numbers: int) -> np.random.SeedSequence:
    """The seeds of one stream. A stream always takes the same count of numbers."""
    return np.random.SeedSequence((seed, int(stream), *numbers))
