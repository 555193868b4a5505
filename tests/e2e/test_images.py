"""A dataset of single images, through the commands: train, evaluate, inspect."""

from __future__ import annotations

import json

import pytest
import torch

import seqvae
from data_gen.schema import open_dataset
from seqvae.cli.main import main
from seqvae.data.conversion import to_video
from tests.worlds import make_data


def test_single_images_are_trained_on_and_evaluated(tmp_path):
    data, run = tmp_path / "images", tmp_path / "run"
    make_data(data, "billiards", "train=16", "val=4", "test=4", "length=1")
    budget = ["trainer.steps=3", "trainer.batch_size=8", "trainer.clip_length=1", "trainer.validate_every=3"]
    train = ["train", "model=vae_fc", "objective=frame_elbo", f"data={data}", f"run={run}", *budget]
    assert main(train) == 0
    assert main(["evaluate", f"run={run}", f"data={data / 'test.h5'}", "pixels=rgb", "videos=1"]) == 0
    look = ["latents=true", "sequences=2", "frames=4", f"out={tmp_path / 'seen' / 'sheet.png'}"]
    assert main(["inspect", str(run), *look]) == 0
    pictures = {"sheet", "samples", "reconstructions", "interpolations", "traversals"}
    assert {path.stem for path in (tmp_path / "seen").glob("*.png")} == pictures

    found = json.loads((run / "evaluation" / "metrics.json").read_text())
    with open_dataset(data / "test.h5") as file:
        images = to_video(torch.as_tensor(file["imgs"][:]))
    model = seqvae.load(run)
    made = model.decode(model.filter(images, sample=False)).frames
    error = (made - images).square().mean().item()
    assert found["table"]["model"]["pixel_mse_reconstruction"]["mean"] == pytest.approx(error, rel=1e-5)
    assert (found["context"], found["horizon"], found["bound"]["first"]) == (1, 0, 1)
    assert found["bound"]["iwae"]["mean"] >= found["bound"]["elbo"]["mean"]
