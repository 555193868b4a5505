"""Damaged and hostile files of every kind are read, or refused in one line, in bounded time and memory.

The mutations and the readers are those of benchmarks/mutated.py, of which each run takes a few.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("isolated", "mutations", "hostile", "readers", "mutated")
READERS = (
    "dataset, HDF5", "HDF5 of others, import", "G-SWM, import", "npz", "npz, compressed", "npy",
    "Zarr, import", "pickle, import", "GIF", "WebP", "APNG", "MP4", "pictures, import", "checkpoint",
    "checkpoint, resumed", "weights", "config of a run", "log of a run", "evaluation",
)  # fmt: skip
MUTATIONS = 24


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


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused_in_one_line(scripts, samples, tmp_path, name):
    tally = scripts["mutated"].try_reader(scripts["readers"].READERS[name], samples, tmp_path, MUTATIONS)
    assert tally.files == MUTATIONS and not tally.faults, tally.faults
