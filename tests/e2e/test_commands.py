"""The whole way in small: generate, train in stages, roll out, evaluate, inspect, load."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import seqvae
from data_gen.schema import open_dataset
from seqvae.data.conversion import to_video


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_nothing_to_numbers(tmp_path):
    data, folder = tmp_path / "billiards", tmp_path / "run"
    run("data_gen", "sim=billiards", f"out={data}", "train=32", "val=4", "test=4", "length=30")
    small = [
        f"stages.{stage}.trainer.{key}"
        for stage in ("objects", "places", "motion", "spread")
        for key in ("steps=6", "batch_size=8", "clip_length=10", "validate_every=6")
    ]
    train = ["seqvae", "train", "experiment=stove_billiards", f"data={data}", f"run={folder}", *small]
    run(*train, "trainer.validation_sequences=4")
    run("seqvae", "rollout", f"run={folder}", f"data={data}/test.h5", "index=0", "horizon=22")
    table = run("seqvae", "evaluate", f"run={folder}", f"data={data}/test.h5", "horizon=22")
    run("seqvae", "inspect", str(folder))

    assert (folder / "rollout" / "rollout.mp4").stat().st_size > 1000
    assert (folder / "rollout" / "rollout.gif").stat().st_size > 1000
    rollout = np.load(folder / "rollout" / "rollout.npz")
    assert rollout["positions"].shape == (1, 30, 3, 2)
    assert rollout["first_predicted"] == 8
    assert 0 < rollout["positions"].mean() < 10  # simulator units
    assert "linear" in table and "static" in table
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert "schema_version" in metrics

    model = seqvae.load(folder)
    with open_dataset(data / "test.h5") as file:
        frames = to_video(torch.as_tensor(file["imgs"][:2, :8]))
    trace = model.filter(frames)
    future = model.imagine(trace.carry, 92)
    assert model.positions(future.z).shape == (2, 92, 3, 2)
    assert model.decode(future).frames.shape == (2, 92, 3, 32, 32)
