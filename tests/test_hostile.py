"""Damaged and hostile files of every kind are read, or refused in one line, in bounded time and memory.

The mutations and the readers are those of benchmarks/mutated.py, of which each run takes a few.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from pathlib import Path

import pytest
import torch

from data_gen.errors import DataError
from data_gen.numpy_files import open_numpy
from data_gen.schema import read_info
from seqvae import checkpoint
from tests.refusals import refusal
from tests.train import tiny

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("isolated", "mutations", "hostile", "hostile_runs", "readers", "mutated")
READERS = (
    "dataset, HDF5", "HDF5 of others, import", "G-SWM, import", "npz", "npz, compressed", "npy",
    "Zarr, import", "pickle, import", "GIF", "WebP", "APNG", "MP4", "pictures, import", "checkpoint",
    "checkpoint, resumed", "weights", "config of a run", "log of a run", "evaluation",
)  # fmt: skip
MUTATIONS = 12


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(FOLDER))
    for name in MODULES:
        sys.modules.pop(name)


@pytest.fixture(scope="module")
def samples(scripts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples") / "samples"
    outcome = scripts["isolated"].isolated(lambda: scripts["readers"].make_samples(folder), 600)
    assert outcome.kind == "done", outcome.text + outcome.output
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def test_every_reader_is_tried(scripts):
    assert tuple(scripts["readers"].READERS) == READERS


MOMENTS = {
    "larger": lambda x: torch.zeros(x.numel() + 100),
    "smaller": lambda x: x.flatten()[:1].clone(),
    "empty": lambda x: torch.zeros(0),
    "of another type": lambda x: x.double(),
    "no tensor": lambda x: [0.0],
}


@pytest.mark.parametrize("change", MOMENTS)
def test_moments_of_another_size_never_reach_the_fused_step(tmp_path, change):
    trained = tiny.trainer(tmp_path / "a", steps=3)
    trained.fit()
    state = trained.learner.state()
    for values in state["optimiser"]["state"].values():
        values["exp_avg_sq"] = MOMENTS[change](values["exp_avg_sq"])
    again = tiny.trainer(tmp_path / "b").learner
    assert "does not fit" in refusal(again.restore, trained.learner.model_state(), state)


def test_moments_that_are_one_number_for_all_weights_get_memory_of_their_own(tmp_path):
    trained = tiny.trainer(tmp_path / "a", steps=3)
    trained.fit()
    state = trained.learner.state()
    for values in state["optimiser"]["state"].values():
        values["exp_avg"] = torch.zeros(()).expand(values["exp_avg"].shape)
    again = tiny.trainer(tmp_path / "b").learner
    again.restore(trained.learner.model_state(), state)
    assert all(x["exp_avg"].is_contiguous() for x in again.optimiser.state.values())


def test_a_refusal_of_the_system_is_told_in_its_words_and_not_as_damage(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    file = tmp_path / "a.h5"
    file.write_bytes(b"sound")
    monkeypatch.setattr("h5py.File.__init__", denied)
    monkeypatch.setattr("zipfile.ZipFile.__init__", denied)
    messages = [
        refusal(read_info, file, error=DataError),
        refusal(open_numpy, tmp_path / "a.npz", error=DataError),
        refusal(checkpoint.load, file),
    ]
    for message in messages:
        assert "Permission denied" in message and "overwrite" not in message and "damage" not in message


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused_in_one_line(scripts, samples, tmp_path, name):
    tally = scripts["mutated"].try_reader(scripts["readers"].READERS[name], samples, tmp_path, MUTATIONS)
    assert tally.files == MUTATIONS and not tally.faults, tally.faults
