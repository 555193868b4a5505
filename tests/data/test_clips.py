"""Clips show the frames they say they show, from memory and from disk alike."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.conversion import prev_actions
from seqvae.data.streamed import ClipDataset, StreamedClips, open_clips, stack_clips
from seqvae.errors import UserError
from tests.data.conftest import assert_same_clips
from tests.refusals import refusal


def test_clips_are_what_they_say(dataset, arrays):
    batch = InMemoryClips(dataset).batch(ClipRequest(step=3, batch_size=12, clip_length=5, seed=0))
    assert batch.video.shape == (12, 5, 3, 8, 8) and batch.video.dtype == torch.float32
    led_to = prev_actions(arrays["actions"])
    for i, (sequence, start) in enumerate(zip(batch.sequences, batch.starts, strict=True)):
        corner = (batch.video[i, :, :2, 0, 0] * 255).round().int()
        assert corner[:, 0].tolist() == [sequence] * 5
        assert corner[:, 1].tolist() == list(range(start, start + 5))
        assert torch.equal(batch.prev_actions[i], led_to[sequence, start : start + 5])
        if start > 0:
            assert batch.prev_actions[i, 0] == arrays["actions"][sequence, start - 1]
        for name, key in (("rewards", "rewards"), ("ends", "dones")):
            seen = getattr(batch, name)[i].numpy()
            np.testing.assert_array_equal(seen, arrays[key][sequence, start : start + 5])
    assert batch.starts.min() >= 0 and batch.starts.max() <= 15


def test_clips_without_actions(without_actions):
    for clips in (InMemoryClips(without_actions), StreamedClips(without_actions, workers=0)):
        batch = clips.batch(ClipRequest(0, 4, 5, 0))
        assert batch.prev_actions is None and batch.rewards is None and batch.ends is None


def test_arrays_serve_as_well_as_a_file(dataset, arrays):
    request = ClipRequest(2, 4, 5, 1)
    assert_same_clips(InMemoryClips(dataset).batch(request), InMemoryClips(arrays).batch(request))


@pytest.mark.parametrize("workers", [0, 2])
def test_disk_gives_the_clips_of_memory(dataset, workers):
    """In succession, after a jump, for another clip length and for a rank."""
    memory, disk = InMemoryClips(dataset), StreamedClips(dataset, workers=workers)
    for arguments in [
        (0, 6, 5, 0),
        (1, 6, 5, 0),
        (2, 6, 5, 0),
        (9, 6, 5, 0),
        (10, 6, 7, 0),
        (11, 6, 7, 0, 1, 2),
    ]:
        request = ClipRequest(*arguments)
        assert_same_clips(memory.batch(request), disk.batch(request))
    disk.close()


def test_reading_ahead_draws_nothing_from_the_training(dataset):
    """Else a resumed training, which starts a new loader, would go on with other noise."""
    before = torch.get_rng_state()
    StreamedClips(dataset, workers=0).batch(ClipRequest(0, 2, 5, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_ranks_together_see_the_batch_of_one_process(dataset):
    clips = InMemoryClips(dataset)
    whole = clips.batch(ClipRequest(4, 6, 5, 0)).video
    shares = [clips.batch(ClipRequest(4, 6, 5, 0, rank, 3)).video for rank in range(3)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)


def test_a_dataset_counts_its_clips(dataset):
    clips = ClipDataset(dataset, 5)
    assert len(clips) == 7 * 16
    frames, sequence, start = clips[2 * 16 + 3]
    assert (sequence, start) == (2, 3) and frames.shape == (5, 8, 8, 3)
    assert frames[:, 0, 0, 1].tolist() == [3, 4, 5, 6, 7]
    for outside in (-1, len(clips)):
        with pytest.raises(IndexError):
            clips[outside]


def test_an_open_dataset_is_pickled_closed(dataset):
    clips = ClipDataset(dataset, 5)
    before = clips[0][0]
    copy = pickle.loads(pickle.dumps(clips))
    assert copy._file is None
    np.testing.assert_array_equal(copy[0][0], before)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_open_the_file_themselves(dataset, method):
    clips = ClipDataset(dataset, 5)
    expected = clips[0][0]  # open in this process
    loader = DataLoader(
        clips, 4, num_workers=1, collate_fn=stack_clips, multiprocessing_context=method, sampler=[0, 1, 2, 3]
    )
    frames, *_ = next(iter(loader))
    np.testing.assert_array_equal(frames[0], expected)


def test_memory_decides_how_clips_are_read(dataset):
    assert isinstance(open_clips(dataset), InMemoryClips)
    assert isinstance(open_clips(dataset, memory=7 * 20 * 8 * 8 * 3 - 1), StreamedClips)


@pytest.mark.parametrize("clip_length", [0, 21])
def test_clips_longer_than_sequences_are_refused(dataset, clip_length):
    for batch in (
        lambda: InMemoryClips(dataset).batch(ClipRequest(0, 2, clip_length, 0)),
        lambda: StreamedClips(dataset, workers=0).batch(ClipRequest(0, 2, clip_length, 0)),
    ):
        with pytest.raises(UserError, match=f"20 frames hold no clip of clip_length={clip_length}"):
            batch()


@pytest.mark.parametrize("reader", [InMemoryClips, StreamedClips, lambda p: ClipDataset(p, 5), open_clips])
def test_bad_files_are_named_in_one_line(tmp_path, dataset, reader):
    truncated, foreign = tmp_path / "truncated.h5", tmp_path / "foreign.h5"
    truncated.write_bytes(dataset.read_bytes()[:-50])
    foreign.write_bytes(b"no HDF5")
    for path, problem in [
        (truncated, "truncated"),
        (foreign, "not a readable"),
        (tmp_path / "no.h5", "no such"),
    ]:
        message = refusal(reader, path)
        assert str(path) in message and problem in message


def test_damage_within_a_file_is_named_when_it_is_read(tmp_path, dataset):
    """Bytes of compressed frames overwritten: the file opens, but a chunk does not unpack."""
    path, content = tmp_path / "a.h5", bytearray(dataset.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.h5: is damaged"):
        InMemoryClips(path)
