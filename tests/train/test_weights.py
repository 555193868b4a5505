"""Weights to give away: a folder with a safetensors file and a card, used like a run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import seqvae
from data_gen.cli.configs import compose
from seqvae import checkpoint, weights
from seqvae.build import DataSpec, build
from seqvae.checkpoint import Checkpoint
from seqvae.cli.main import main
from tests.refusals import refusal
from tests.worlds import make_data

SPEC = DataSpec(height=16, width=16, channels=3, actions=0, objects=2, coord_limit=10.0)


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    config = compose("train", ["experiment=stove_billiards"])
    model = dict(build(config["model"], SPEC).state_dict())
    return Checkpoint(600, config, SPEC, model, {"found": 1.0}, {"rng": []}, "def+changes")


@pytest.fixture
def given(trained, tmp_path):
    checkpoint.save_weights(tmp_path / weights.FILE, trained)
    return tmp_path


def test_a_folder_of_weights_is_loaded_like_a_run(trained, given):
    model = seqvae.load(given)
    assert model.spec == SPEC and not model.training
    assert all(torch.equal(model.state_dict()[name], value) for name, value in trained.model.items())
    again = checkpoint.load(given / weights.FILE)
    assert (again.step, again.scores, again.training) == (600, {"found": 1.0}, None)
    assert again.config == trained.config and again.commit == "def+changes"
    assert checkpoint.find(given, "last") == checkpoint.find(given, "best") == given / weights.FILE


def refused(path) -> str:
    """Return the message, which names the file, with which it is refused."""
    message = refusal(checkpoint.load, path)
    assert str(path) in message
    return message


def test_other_files_are_refused(given):
    path, whole = given / weights.FILE, (given / weights.FILE).read_bytes()
    for damaged in (b"", whole[:100], whole[:-100], b"no tensors at all"):
        path.write_bytes(damaged)
        assert "is damaged" in refused(path)
    save_file({"a": torch.zeros(1)}, path)
    assert "none of seqvae's" in refused(path)
    save_file({"a": torch.zeros(1)}, path, {"seqvae": json.dumps({"format": weights.FORMAT, "version": 9})})
    assert "has format version 9" in refused(path)
    save_file({"a": torch.zeros(1)}, path, {"seqvae": json.dumps({"format": weights.FORMAT, "version": 1})})
    assert "incomplete" in refused(path)


def test_export_and_what_can_be_done_with_it(trained, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "given"
    (run / "evaluation").mkdir(parents=True)
    (run / "evaluation" / "table.md").write_text("| position error | 0.02 |\n")
    (run / "evaluation" / "metrics.json").write_text('{"git_commit": "abc"}')
    checkpoint.save(run / checkpoint.BEST, trained)
    assert main(["export", f"run={run}", f"out={out}"]) == 0
    assert str(out / weights.FILE) in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert "train experiment=stove_billiards data=data/billiards seed=0`: 600 updates." in card
    assert "| position error | 0.02 |" in card and "- found: 1" in card
    assert "- Evaluated at commit abc." in card
    assert "- Trained at commit def+changes." in card

    np.savez(tmp_path / "clip.npz", frames=np.zeros((1, 9, 16, 16, 3), np.uint8))
    arguments = [f"run={out}", f"data={tmp_path / 'clip.npz'}", "horizon=2"]
    assert main(["rollout", *arguments]) == 0 and (out / "rollout" / "rollout.npz").is_file()
    assert main(["inspect", str(out)]) == 0 and "600 updates; to be used" in capsys.readouterr().out


def test_a_training_may_begin_with_given_weights(trained, given, capsys):
    data, run = given / "data", given / "run"
    make_data(data, "billiards", "train=4", "length=9", "image_size=16", "sim.num_balls=2")
    short = ["trainer.steps=1", "trainer.batch_size=2", "optim.lr=1.0e-12", f"data={data}"]
    assert main(["train", "model=stove", f"run={run}", f"init={given}", *short]) == 0
    after = checkpoint.load(run / checkpoint.LAST)
    assert after.step == 1
    for name, value in trained.model.items():
        torch.testing.assert_close(after.model[name], value, rtol=0, atol=1e-9)
    capsys.readouterr()
    assert main(["train", "model=linear", f"run={given / 'other'}", f"init={given}", *short]) == 2
    assert "its model differs" in capsys.readouterr().err
    assert main(["train", "model=stove", f"run={given / 'other'}", f"init={given / 'none'}", *short]) == 2
    assert "no such run or checkpoint" in capsys.readouterr().err
