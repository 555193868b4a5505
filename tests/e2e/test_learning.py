"""A short training finds the objects and predicts better than straight lines."""

from __future__ import annotations

import pytest

from seqvae.checkpoint import load_model
from seqvae.cli.main import main
from seqvae.data.sequences import read_sequences
from seqvae.evaluate import score
from tests.worlds import make_data


@pytest.mark.slow
def test_stove_finds_the_balls_and_learns_how_they_move(tmp_path):
    data, run = tmp_path / "billiards", tmp_path / "run"
    make_data(data, "billiards", "train=200", "val=40", "seed=7")
    budget = [
        "stages.objects.trainer.steps=120",
        "stages.objects.trainer.batch_size=24",
        "stages.places.trainer.steps=200",
        "stages.places.trainer.batch_size=64",
        "stages.motion.trainer.steps=1000",
        "stages.motion.trainer.batch_size=24",
        "stages.spread.trainer.steps=60",
        "model.dynamics.width=48",
    ]
    train = ["train", "experiment=stove_billiards", f"data={data}", f"run={run}", *budget]
    assert main([*train, "trainer.validation_sequences=40"]) == 0

    sequences = read_sequences(data / "val.h5", image_size=(32, 32))
    numbers = score(load_model(run), sequences, context=8, horizon=92).numbers()
    # 40 sequences: a lost ball in a single one already breaks "found in every sequence"
    assert numbers["found"] == 1.0
    # mean and spread over five seeds of data and training: 0.0084 +- 0.0009 and 0.046 +- 0.008. The bounds
    # lie four spreads above or more; straight lines from true states have 0.109.
    assert numbers["position_error_reconstruction"] < 0.013
    assert numbers["position_error_1_10"] < 0.08
