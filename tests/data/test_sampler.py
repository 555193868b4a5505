"""The clips of a step follow from seed and step, and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae.data.clips import ClipRequest
from seqvae.data.streamed import ClipDataset
from seqvae.errors import UserError

SEQUENCES, STARTS = 10, 4


def positions(step, batch_size, seed, rank=0, world_size=1):
    """Sequences and first frames of a batch."""
    return ClipRequest(step, batch_size, 5, seed, rank, world_size).positions(SEQUENCES, STARTS)


def test_a_step_gives_the_same_clips_whenever_it_is_asked():
    once = [positions(step, 6, 3) for step in range(9)]
    for step in (8, 0, 5):
        np.testing.assert_array_equal(positions(step, 6, 3), once[step])
    other_seed = np.array([positions(step, 6, 4) for step in range(9)])
    assert (np.array(once) != other_seed).any()


@pytest.mark.parametrize("batch_size", [4, 10, 25])
def test_every_sequence_comes_once_an_epoch(batch_size):
    drawn = np.concatenate([positions(s, batch_size, 0)[0] for s in range(20)])
    epochs = drawn[: len(drawn) // 10 * 10].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(10), (len(epochs), 1)))
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_starts_are_uniform():
    counts = np.bincount(np.concatenate([positions(s, 100, 0)[1] for s in range(100)]), minlength=4)
    assert len(counts) == 4
    assert abs(counts - 2500).max() < 5 * np.sqrt(10000 * 0.25 * 0.75)  # five standard errors


@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_ranks_share_the_batch_of_one_process(world_size):
    whole = np.array(positions(7, 12, 0))
    shares = [np.array(positions(7, 12, 0, rank, world_size)) for rank in range(world_size)]
    joined = np.stack(shares, axis=-1).reshape(2, 12)
    np.testing.assert_array_equal(joined, whole)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="batch_size=10"):
        ClipRequest(0, 10, 5, 0, world_size=4)


def test_batches_go_on_from_any_step(dataset):
    clips = ClipDataset(dataset, 5)
    from_zero, from_five = (clips.batches(ClipRequest(step, 6, 5, 0)) for step in (0, 5))
    for _ in range(5):
        next(from_zero)
    assert [next(from_zero) for _ in range(4)] == [next(from_five) for _ in range(4)]
