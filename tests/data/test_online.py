"""Clips made while the training runs: the sequences of a dataset without end, each frame shown once."""

from __future__ import annotations

from multiprocessing import active_children

import numpy as np
import pytest
import torch

from data_gen.sims.avoidance import Avoidance
from data_gen.sims.billiards import Billiards
from data_gen.splits import BLOCK, Split, make_sequences
from seqvae.data import online
from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.online import ENDLESS, OnlineClips, round_positions, simulate
from seqvae.errors import UserError
from tests.data.conftest import assert_same_clips

LENGTH, SIZE = 11, 8


def split(world=None, sequences=ENDLESS, name="train"):
    return Split(world or Avoidance(substeps=2), name, sequences, LENGTH, SIZE, seed=3)


@pytest.fixture(autouse=True)
def small_rounds(monkeypatch):
    """Make rounds of one block."""
    monkeypatch.setattr(online, "_ROUND_BLOCKS", 1)


@pytest.fixture(scope="module")
def finite():
    """Clips of a dataset file of the first four blocks."""
    return InMemoryClips(make_sequences(split(sequences=4 * BLOCK), 0, 4 * BLOCK))


def test_clips_are_those_of_the_dataset_of_the_same_seed(finite):
    clips = OnlineClips(split(), workers=0)
    for step in (0, 1, 7):  # the fifth batch has clips of two rounds
        batch = clips.batch(ClipRequest(step, 30, 5, seed=1))
        assert_same_clips(batch, finite.cut(batch.sequences.numpy(), batch.starts.numpy(), 5))


def test_a_round_shows_every_clip_once():
    """Clips of 5 in 11 frames: two per sequence, without overlap, one in each half of the round."""
    sequence, start = round_positions(4, 0, sequences=9, length=11, clip_length=5)
    for half in (slice(9), slice(9, 18)):
        assert sorted(sequence[half]) == list(range(9))
    for i in range(9):
        first, second = sorted(start[sequence == i])
        assert second - first == 5 and 0 <= first <= 1
    other = round_positions(5, 0, sequences=9, length=11, clip_length=5)
    assert (other[0] != sequence).any()
    again = round_positions(4, 0, sequences=9, length=11, clip_length=5)
    np.testing.assert_array_equal(again, (sequence, start))
    assert len(set(start[start < 5])) == 2  # where the clips begin is drawn


def test_nothing_comes_twice():
    clips = OnlineClips(split(), workers=0)
    batches = [clips.batch(ClipRequest(step, 32, 5, seed=0)) for step in range(8)]  # two rounds of 128 clips
    frames = {
        (int(n), int(s) + i)
        for b in batches
        for n, s in zip(b.sequences, b.starts, strict=True)
        for i in range(5)
    }
    assert len(frames) == 8 * 32 * 5
    assert {n for n, _ in frames} == set(range(2 * BLOCK))


def test_a_step_is_the_same_in_succession_after_a_jump_and_from_workers():
    here, workers = OnlineClips(split(), workers=0), OnlineClips(split(), workers=2)
    try:
        for step in (2, 3, 4, 5):
            request = ClipRequest(step, 32, 5, seed=0)
            assert_same_clips(workers.batch(request), here.batch(request))
        jumped = OnlineClips(split(), workers=0).batch(ClipRequest(5, 32, 5, seed=0))
        assert_same_clips(jumped, here.batch(ClipRequest(5, 32, 5, seed=0)))
        assert not torch.equal(here.batch(ClipRequest(5, 32, 5, seed=1)).sequences, jumped.sequences)
    finally:
        workers.close()


def test_ranks_see_disjoint_sequences():
    seen = []
    for rank in range(2):
        clips = OnlineClips(split(), workers=0)
        batches = [clips.batch(ClipRequest(step, 64, 5, 0, rank, world_size=2)) for step in range(6)]
        assert all(len(b.sequences) == 32 for b in batches)
        seen.append({int(n) for b in batches for n in b.sequences})
    assert not seen[0] & seen[1] and seen[0] | seen[1] == set(range(4 * BLOCK))
    with pytest.raises(UserError, match="batch_size=33: must be a multiple of the 2 processes"):
        clips.batch(ClipRequest(0, 33, 5, 0, 0, world_size=2))


def test_the_first_sequences_in_full(finite):
    clips = OnlineClips(split(), workers=0, sequences=BLOCK + 7)
    first, video, given = zip(*clips.full_sequences(16), strict=True)
    assert torch.equal(torch.cat(video), torch.cat([v for _, v, _ in finite.full_sequences(50)])[: BLOCK + 7])
    for name in ("prev_actions", "rewards", "ends"):
        whole = getattr(finite.interaction, name)[: BLOCK + 7]
        assert torch.equal(torch.cat([getattr(part, name) for part in given]), whole)


def test_rounds_that_need_too_much_memory_are_smaller(monkeypatch):
    monkeypatch.setattr(online, "_ROUND_BYTES", 10 * LENGTH * SIZE**2 * 3)
    few = OnlineClips(split(), workers=0)
    assert few.size == 10
    monkeypatch.setattr(online, "_ROUND_BYTES", 1)
    assert OnlineClips(split(), workers=0).size == 1
    batch = few.batch(ClipRequest(1, 12, 5, seed=0))
    assert batch.sequences.min() >= 0 and batch.sequences.max() < 20


def test_validation_sequences_are_whole_and_others_than_those_trained_on(finite):
    made = simulate(split(sequences=5, name="val"), "avoidance")
    assert made.frames.shape == (5, LENGTH, SIZE, SIZE, 3) and made.positions.shape == (5, LENGTH, 3, 2)
    assert made.coord_limit == 10.0 and made.num_actions == 9 and made.prev_actions.shape == (5, LENGTH)
    assert not (finite.frames.numpy()[:5] == made.frames).all()


def test_validation_sequences_tell_what_led_to_each_frame(finite):
    made = simulate(split(sequences=5), "avoidance")
    assert torch.equal(torch.as_tensor(made.frames), finite.frames[:5])
    assert torch.equal(torch.as_tensor(made.prev_actions), finite.interaction.prev_actions[:5])


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_is_told_in_one_line(workers):
    clips = OnlineClips(split(), workers=workers)
    with pytest.raises(UserError, match="online: sequences of 11 frames hold no clip of clip_length=12"):
        clips.batch(ClipRequest(0, 4, 12, 0))
    crowded = OnlineClips(split(Billiards(num_balls=30, radius=1.2)), workers=workers)
    before = active_children()
    with pytest.raises(UserError, match="^sim.num_balls=30: [^\n]*$") as caught:
        crowded.batch(ClipRequest(0, 4, 5, 0))
    crowded.close()
    # though the exception, which is still held, holds on to all that was there when it was raised
    assert caught.traceback and active_children() == before
