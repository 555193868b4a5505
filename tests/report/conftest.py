"""Runs of a tiny model, evaluated, for the pages; and a browser where the system has one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from seqvae import checkpoint
from seqvae.cli.main import main
from tests.cli.tiny import TINY
from tests.worlds import make_data

EVALUATION = ("context=4", "horizon=12", "sample=true", "samples=19", "videos=1", "iwae=0", "threads=1")


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """data/{train,val,test}.h5, other/test.h5, and runs/: two seeds, and one with another learning rate."""
    folder = tmp_path_factory.mktemp("report")
    make_data(folder / "data", "billiards", "train=4", "val=2", "test=5", "length=16", "image_size=16")
    make_data(folder / "other", "billiards", "test=5", "length=16", "image_size=16", "seed=3")
    first = folder / "runs" / "seed=0"
    assert main(["train", *TINY, f"data={folder / 'data'}", f"run={first}"]) == 0
    for name, change in {"seed=1": {"seed": 1}, "optim.lr=0.01": {"optim": {"lr": 0.01}}}.items():
        change_run(first, folder / "runs" / name, change)
    for run in (folder / "runs").iterdir():
        assert main(["evaluate", f"run={run}", f"data={folder / 'data' / 'test.h5'}", *EVALUATION]) == 0
    return folder


def change_run(source: Path, target: Path, change: dict) -> None:
    """Copy a run with other values in its config, and with weights that differ a little."""
    shutil.copytree(source, target)
    (target / checkpoint.LAST).unlink()
    content = checkpoint.load(target / checkpoint.BEST)
    config = dict(content.config)
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    weights = {name: x * 1.02 if x.is_floating_point() else x for name, x in content.model.items()}
    checkpoint.save(target / checkpoint.BEST, replace(content, config=config, model=weights))


@pytest.fixture
def run(folder, tmp_path) -> Path:
    """A copy of a run, to be changed."""
    return Path(shutil.copytree(folder / "runs" / "seed=0", tmp_path / "run"))
