"""A block of sequences depends on seed, split and its number alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.sims.billiards import Billiards
from data_gen.splits import BLOCK, Split, make_sequences


def split(world=None, name="train", sequences=3 * BLOCK, length=4, seed=0):
    return Split(world or Billiards(), name, sequences, length, 8, seed)


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_blocks_are_the_same_alone_and_together():
    together = make_sequences(split(), 0, 3 * BLOCK)
    for block in range(3):
        alone = make_sequences(split(), block * BLOCK, (block + 1) * BLOCK)
        assert_equal(alone, {key: array[block * BLOCK :][:BLOCK] for key, array in together.items()})


def test_a_smaller_dataset_is_the_beginning_of_a_larger_one():
    larger = make_sequences(split(), 0, 3 * BLOCK)
    assert_equal(
        make_sequences(split(sequences=70), 0, 70), {key: array[:70] for key, array in larger.items()}
    )


def test_seeds_and_splits_differ():
    splits = [split(), split(seed=1), split(name="val"), split(name="test")]
    starts = [make_sequences(s, 0, BLOCK)["positions"][0, 0, 0, 0] for s in splits]
    assert len(set(starts)) == len(starts)


@dataclass(frozen=True, kw_only=True)
class Picky(Billiards):
    """Billiards that accept only sequences whose first ball starts to the right of a line."""

    line: float = 5.0

    def accept(self, trajectory):
        return trajectory.states.positions[:, 0, 0, 0] > self.line


def test_rejected_sequences_are_sampled_again_block_by_block():
    world = split(Picky())
    together = make_sequences(world, 0, 3 * BLOCK)
    assert (together["positions"][:, 0, 0, 0] > 5).all()
    assert len(np.unique(together["positions"][:, 0, 0, 0])) == 3 * BLOCK
    alone = make_sequences(world, BLOCK, 2 * BLOCK)
    assert_equal(alone, {key: array[BLOCK : 2 * BLOCK] for key, array in together.items()})


def test_a_simulator_that_rejects_everything_is_refused():
    with pytest.raises(DataError, match="rejects"):
        make_sequences(split(Picky(line=100.0), length=1), 0, BLOCK)
