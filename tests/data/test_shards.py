"""Data in shards are read like one file by every command, and a million sequences are known but not held."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from data_gen.card import write_card
from data_gen.shards import shard_path
from seqvae import checkpoint
from seqvae.cli.main import main
from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.sequences import read_sequences
from seqvae.data.streamed import StreamedClips
from tests.cli.tiny import TINY
from tests.data.conftest import assert_same_clips, make_arrays, write_dataset
from tests.refusals import refusal
from tests.worlds import make_data

CUTS = [2, 3]  # of the seven sequences


def divide(path: Path, cuts: list[int]) -> None:
    """Divide a dataset file into shards that begin at the sequences 0 and `cuts`, and remove it."""
    with h5py.File(path) as file:
        sequences = len(file["imgs"])
        parts = list(zip([0, *cuts], [*cuts, sequences], strict=True))
        for number, (start, stop) in enumerate(parts):
            with h5py.File(shard_path(path, number, len(parts)), "w") as part:
                part.attrs.update(file.attrs)
                for key in file:
                    part[key] = file[key][start:stop]
    path.unlink()


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """The dataset of tests/data/conftest.py in three shards."""
    path = write_dataset(tmp_path_factory.mktemp("shards") / "train.h5", make_arrays())
    divide(path, CUTS)
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_of_shards_are_those_of_one_file(dataset, shards, workers):
    memory, disk = InMemoryClips(shards), StreamedClips(shards, workers=workers)
    for step in (0, 1, 2, 9):
        request = ClipRequest(step, 6, 5, 0)
        expected = InMemoryClips(dataset).batch(request)
        assert_same_clips(memory.batch(request), expected)
        assert_same_clips(disk.batch(request), expected)
    for one, other in zip(disk.full_sequences(2), InMemoryClips(dataset).full_sequences(2), strict=True):
        assert one[0] == other[0] and torch.equal(one[1], other[1])
        assert torch.equal(one[2].prev_actions, other[2].prev_actions)
    disk.close()


def test_sequences_of_shards_are_those_of_one_file(dataset, shards):
    for arguments in ({}, {"index": 3}, {"first": 3}, {"max_frames": 4}):
        one, other = read_sequences(dataset, **arguments), read_sequences(shards, **arguments)
        for name in ("frames", "positions", "prev_actions", "rewards"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert len(read_sequences(shards, first=3)) == 3 and len(read_sequences(shards.parent / "train.h5")) == 7


def test_readers_name_a_missing_shard(shards, tmp_path):
    path = tmp_path / "train.h5"
    for number in (0, 2):
        shutil.copy(shard_path(shards, number, 3), shard_path(path, number, 3))
    for reader in (InMemoryClips, StreamedClips, read_sequences):
        assert "train.h5: lacks 1 of its 3 shards (train-00001-of-00003.h5)" in refusal(reader, path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Two folders with the same billiards: one with a file per split, one with shards."""
    one, many = (tmp_path_factory.mktemp("billiards") / name for name in ("one", "many"))
    make_data(one, "billiards", "train=7", "val=3", "test=3", "length=12", "image_size=16")
    shutil.copytree(one, many)
    (many / "README.md").unlink()
    for split, cuts in (("train", [2, 5]), ("val", [1]), ("test", [1])):
        divide(many / f"{split}.h5", cuts)
    write_card(many)
    return one, many


def words_of(folder: Path, run: Path) -> list[str]:
    return ["train", *TINY, f"data={folder}", f"run={run}", "trainer.tracker=null", "trainer.steps=4"]


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "many"
    assert main(words_of(folders[1], run)) == 0
    return run


def test_a_training_on_shards_is_that_on_one_file(folders, run, tmp_path):
    assert main(words_of(folders[0], tmp_path / "one")) == 0
    assert main([*words_of(folders[1], tmp_path / "disk"), "memory=0", "workers=0"]) == 0
    one, many, disk = (
        checkpoint.load(r / checkpoint.LAST) for r in (tmp_path / "one", run, tmp_path / "disk")
    )
    for name, value in one.model.items():
        assert torch.equal(many.model[name], value) and torch.equal(disk.model[name], value)
    assert one.scores == many.scores == disk.scores
    card = (folders[1] / "README.md").read_text()
    for split in ("train", "val"):
        assert f"    {many.data[str(folders[1] / f'{split}.h5')]}  {split}.h5\n" in card


def test_every_command_reads_shards(folders, run, tmp_path, capsys):
    pytest.importorskip("bokeh")
    context = ["context=4", "horizon=8"]
    for folder in folders:
        words = [f"run={run}", f"data={folder}", *context, f"out={tmp_path / folder.name}"]
        assert main(["evaluate", *words, "videos=0", "iwae=2"]) == 0
        assert main(["rollout", *words, "index=2"]) == 0
    scores = [json.loads((tmp_path / folder.name / "metrics.json").read_text()) for folder in folders]
    for key in ("sequences", "table", "shares", "bound"):
        assert scores[0][key] == scores[1][key]
    assert scores[0]["data_sha256"] != scores[1]["data_sha256"]
    one, many = (np.load(tmp_path / folder.name / "rollout.npz")["frames"] for folder in folders)
    np.testing.assert_array_equal(one, many)
    capsys.readouterr()
    # the test set of the run's data is found too
    assert main(["rollout", f"run={run}", *context, f"out={tmp_path / 'found'}"]) == 0
    assert f"data={folders[1] / 'test.h5'}, the test set of the run's data" in capsys.readouterr().out
    for place in (folders[1], folders[1] / "train.h5", run):
        assert main(["inspect", str(place), f"out={tmp_path / 'sheet.png'}"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "train.h5 7 sequences of 12 frames, 16x16, in 3 files" in said
    assert "train-00000-of-00003.h5 to train-00002-of-00003.h5" in said
    words = [f"run={run}", f"evaluation={tmp_path / 'many'}", f"out={tmp_path / 'page.html'}"]
    assert main(["report", *words]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "7 sequences of 12 frames, 16x16, billiards" in page


MILLION = """
import re, sys
from seqvae.cli.inspect import _dataset
from seqvae.data.clips import ClipRequest
from seqvae.data.sequences import read_sequences
from seqvae.data.streamed import open_clips
from pathlib import Path

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

path = Path(sys.argv[1])
read_sequences(path, index=0)  # everything is imported
before = peak()
clips = open_clips(path, workers=0)
assert clips.info.sequences == 1_000_000
seen = set()
for step in (0, 1, 2, 999_999):  # the last one in another epoch
    batch = clips.batch(ClipRequest(step, 64, 8, seed=0))
    seen |= {int(n) // 15_625 for n in batch.sequences}
_, video, given = next(clips.full_sequences(16))
assert video.shape == (16, 100, 3, 32, 32) and given.prev_actions.shape == (16, 100)
assert len(read_sequences(path, index=999_999)) == 1
assert len(read_sequences(path, first=100)) == 100
list(_dataset(path))
print(len(seen), (peak() - before) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak")
def test_a_million_sequences_are_described_and_not_held(tmp_path):
    """64 files that declare 15,625 sequences each, 307 GB of frames and 0.8 GB of actions, and hold none.

    100 sequences are 31 MB, an order of a million numbers 8 MB, and two epochs are known at a time.
    """
    path, sequences = tmp_path / "train.h5", 15_625
    write_dataset(tmp_path / "one.h5", make_arrays())
    with h5py.File(tmp_path / "one.h5") as one:
        for number in range(64):
            with h5py.File(shard_path(path, number, 64), "w") as file:
                file.attrs.update(one.attrs)
                file.create_dataset("imgs", (sequences, 100, 32, 32, 3), np.uint8, chunks=(1, 16, 32, 32, 3))
                file.create_dataset("actions", (sequences, 100), np.int64, chunks=(64, 100))
            os.truncate(shard_path(path, number, 64), 2**23)  # a file could hold so much, compressed
    assert sum(512 * file.stat().st_blocks for file in tmp_path.iterdir()) < 10 * 2**20
    command = [sys.executable, "-c", MILLION, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files, megabytes = done.stdout.split()
    assert int(files) > 50 and float(megabytes) < 160
