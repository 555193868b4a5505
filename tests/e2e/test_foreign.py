"""A video that nobody rendered for us: import, train, validate, roll out, evaluate, without any truth."""

from __future__ import annotations

import json

import numpy as np

import data_gen.__main__
import seqvae.cli.main
from data_gen.media.writing import write_video


def test_from_a_video_to_numbers(tmp_path, capsys, rng):
    scene = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    write_video(tmp_path / "walk.mp4", [np.roll(scene, t, axis=1) for t in range(60)])
    data, run = tmp_path / "walk", tmp_path / "run"
    cut = ["image_size=16", "length=12", "stride=6", "val=0.2", "test=0.2"]
    assert data_gen.__main__.main(
        ["import", "format=videos", f"data={tmp_path / 'walk.mp4'}", f"out={data}", *cut]
    ) == 0  # fmt: skip

    train = ["train", "model=stove", f"data={data}", f"run={run}", "threads=1"]
    train += [f"trainer.{key}" for key in ("steps=1", "batch_size=2", "clip_length=4", "validate_every=1")]
    assert seqvae.cli.main.main(train) == 2
    assert "model.slots: the data does not say how many objects" in capsys.readouterr().err
    assert seqvae.cli.main.main([*train, "model.slots=2"]) == 0

    arguments = [f"run={run}", f"data={data / 'test.h5'}", "horizon=4", "threads=1"]
    assert seqvae.cli.main.main(["evaluate", *arguments, "videos=0", "iwae=0"]) == 0
    assert "no true positions, so only pixels are scored" in capsys.readouterr().out
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert "schema_version" in metrics
    assert seqvae.cli.main.main(["rollout", *arguments]) == 0
    rollout = np.load(run / "rollout" / "rollout.npz")
    assert rollout["positions"].shape == (1, 12, 2, 2) and "order" not in rollout
    assert seqvae.cli.main.main(["inspect", str(data / "train.h5")]) == 0
