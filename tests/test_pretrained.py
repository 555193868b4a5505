"""Pretrained models by name, in Python and in the commands."""

from __future__ import annotations

import shutil

import pytest
import torch

import seqvae
from seqvae import checkpoint, shipped, weights
from seqvae.cli.main import main
from tests.refusals import refusal
from tests.worlds import make_data


def test_every_pretrained_model_is_listed_and_loaded_by_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = shipped.FOLDERS[-1]
    assert seqvae.pretrained() == tuple(sorted(path.parent.name for path in folder.glob("*/README.md")))
    assert {"stove_billiards", "stove_gravity"} <= set(seqvae.pretrained())
    assert shipped.WEIGHTS == weights.FILE
    by_name, by_path = seqvae.load("stove_billiards"), seqvae.load(folder / "stove_billiards")
    own = by_name.state_dict()
    assert own and all(torch.equal(own[key], x) for key, x in by_path.state_dict().items())


def test_a_path_goes_before_a_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = checkpoint.find("stove_billiards")
    assert shipped.run_folder("stove_billiards").as_posix() == "runs/stove_billiards"
    shutil.copytree(given.parent, tmp_path / "stove_billiards")
    assert checkpoint.find("stove_billiards").resolve().parent == tmp_path / "stove_billiards"
    assert shipped.run_folder("stove_billiards").as_posix() == "stove_billiards"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("stove_biliards", "; did you mean stove_billiards or stove_billiards6 or vrnn_billiards?"),
        ("demo", f"; pretrained models: {', '.join(seqvae.pretrained())}"),
        ("runs/demo", ""),
        ("demo.pt", ""),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(monkeypatch, tmp_path, name, end):
    monkeypatch.chdir(tmp_path)
    assert refusal(seqvae.load, name) == f"{name}: no such run or checkpoint{end}"


def test_commands_take_the_name_and_write_to_the_folder_of_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(shipped.FOLDERS[-1].rglob("*"))
    make_data(tmp_path / "data/billiards", "billiards", "test=1", "train=2", "length=12")
    assert main(["rollout", "run=stove_billiards", "horizon=2"]) == 0  # its own data, where they exist
    assert (tmp_path / "runs/stove_billiards/rollout/rollout.npz").is_file()
    assert main(["evaluate", "run=stove_billiards", "iwae=0", "videos=0"]) == 0
    assert main(["export", "run=stove_billiards", "out=given"]) == 0
    card = (tmp_path / "given/README.md").read_text()
    assert "## On unseen data\n1 sequences" in card
    capsys.readouterr()
    assert main(["inspect", "stove_billiards"]) == 0
    assert "5900 updates" in capsys.readouterr().out
    short = ["model=linear", "trainer.steps=1", "trainer.batch_size=1", "trainer.clip_length=4"]
    assert main(["train", *short, "run=x", "init=stove_billiards", "trainer.context=4"]) == 2
    assert "init=stove_billiards: its model differs" in capsys.readouterr().err
    assert sorted(shipped.FOLDERS[-1].rglob("*")) == before
