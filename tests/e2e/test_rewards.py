"""Rewards through the commands: trained in every stage, logged apart, and refused where there are none."""

from __future__ import annotations

import math
import re

import h5py
import pytest
import torch

import seqvae
from seqvae.cli.main import main
from seqvae.train.logging import read_log
from tests.worlds import make_data

STAGES = """{objects: {trainer: {steps: 2, batch_size: 2, clip_length: 4}},
 motion: {source: evidence, parts: [dynamics, reward], objective: {_target_: seqvae.objectives.LatentELBO,
 reward_weight: 3.0, rollout: {_target_: seqvae.prediction.PositionPrediction, context: 4}},
 trainer: {steps: 2, batch_size: 2, clip_length: 6}}}""".replace("\n", "")
BUDGET = [f"trainer.{key}" for key in ("log_every=1", "validate_every=2", "context=4")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("avoidance")
    return make_data(folder, "avoidance", "train=4", "val=2", "test=2", "length=12", "image_size=16")


def train(data, run, *words):
    return main(["train", "model=stove_reward", f"data={data}", f"run={run}", *BUDGET, *words])


def test_a_reward_part_trains_in_every_stage_and_is_logged_apart(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(data, run, f"stages={STAGES}") == 0
    log = read_log(run)
    training = [line for line in log if line["kind"] == "train"]
    assert len(training) == 4
    for line in training:
        assert {"reward", "end", "bound", "loss"} <= line.keys()
        assert math.isfinite(line["reward"]) and line["reward"] < 0
    # the loss is minus the bound plus what has a weight; each number is a mean over the frames that have it:
    # frames 3 and 4 of 4 in the first stage, in the second 3 and 4 of 3 to 6, of which 5 and 6 are predicted
    for line in training[:2]:
        assert line["loss"] == pytest.approx(-(line["bound"] + line["reward"] + line["end"]), rel=1e-5)
    for line in training[2:]:
        rewards = 3 * (line["reward"] + line["end"])
        assert line["loss"] == pytest.approx(-(line["bound"] / 2 + line["rollout"] / 2 + rewards), rel=1e-5)
    for line in (line for line in log if line["kind"] == "validation"):
        assert math.isfinite(line["reward"]) and math.isfinite(line["end"])
    before, after = (torch.load(run / name, weights_only=True)["model"] for name in ("best.pt", "last.pt"))
    assert any(name.startswith("reward.") for name in after)
    model = seqvae.load(run, which="last")
    assert type(model.reward).__name__ == "SlotReward" and before.keys() == after.keys()
    capsys.readouterr()
    assert main(["inspect", str(run)]) == 0
    assert re.search(r"^reward +seqvae.rewards.slots.SlotReward$", capsys.readouterr().out, re.M)


def test_data_without_fitting_rewards_are_refused(data, tmp_path, capsys):
    other = make_data(tmp_path / "other", "avoidance", "train=2", "length=6", "image_size=16")
    with h5py.File(other / "train.h5", "a") as file:
        file["rewards"][0, 2] = 0.5
    run, budget = tmp_path / "run", ["trainer.steps=1", "trainer.batch_size=2", "trainer.clip_length=4"]
    assert train(other, run, *budget) == 2
    assert "model.reward.density: Event cannot be the density of these rewards" in capsys.readouterr().err
    assert not run.exists()
    with h5py.File(other / "train.h5", "a") as file:
        del file["rewards"]
    assert train(other, run, *budget) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "train.h5: has no rewards, from which model.reward would learn; give model.reward=null" in line
    assert train(other, run, *budget, "model.reward=null") == 0
    amounts = "model.reward.density._target_=seqvae.nn.rewards.TwoHotAmount"
    assert train(data, tmp_path / "amounts", *budget, amounts) == 0
