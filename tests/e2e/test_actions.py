"""Actions through the commands: they are followed, or it is said that they are not, or refused."""

from __future__ import annotations

import h5py
import pytest

from seqvae.cli.main import main
from tests.worlds import make_data

SIZES = ["length=12", "image_size=16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("avoidance")
    return make_data(folder, "avoidance", "train=4", "val=2", "test=2", *SIZES)


BUDGET = [f"trainer.{key}" for key in ("steps=1", "batch_size=2", "clip_length=4", "context=4")]


def test_that_actions_are_ignored_is_said(data, tmp_path, capsys):
    """A constant-velocity filter can be trained where somebody acts, and evaluated, but not unnoticed."""
    run = tmp_path / "run"
    assert main(["train", "model=linear", f"data={data}", f"run={run}", *BUDGET]) == 0
    said = "the data has 9 actions, and LinearDynamics takes no notice of them"
    assert said in capsys.readouterr().err
    assert main(["rollout", f"run={run}", f"data={data / 'test.h5'}", "context=4", "horizon=20"]) == 0
    assert said in capsys.readouterr().out
    assert main(["inspect", str(run)]) == 0
    assert "9 actions that the dynamics ignores" in capsys.readouterr().out


def test_worlds_with_and_without_actions_are_not_mixed(data, tmp_path, capsys):
    other = make_data(tmp_path / "billiards", "billiards", "train=2", "val=2", *SIZES)
    run = tmp_path / "run"
    for mine, theirs, has in ((data, other, "none"), (other, data, "9")):
        capsys.readouterr()
        train = ["train", "model=stove", f"data={mine}", f"val={theirs / 'val.h5'}", f"run={run}", *BUDGET]
        assert main(train) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"val.h5: has {has} actions, the training data" in line
    assert main(["train", "model=stove", f"data={other}", f"run={run}", *BUDGET]) == 0
    capsys.readouterr()
    assert main(["rollout", f"run={run}", f"data={data / 'val.h5'}", "context=4", "horizon=4"]) == 0
    said = "9 actions, and GraphDynamics, made for data without actions, takes no notice of them"
    assert said in capsys.readouterr().out
    with h5py.File(data / "train.h5", "a") as file:
        file.attrs["num_actions"] = 0
    assert main(["train", "model=stove", f"data={data}", f"run={tmp_path / 'no'}", *BUDGET]) == 2
    assert "holds actions, but its attribute num_actions is 0" in capsys.readouterr().err
