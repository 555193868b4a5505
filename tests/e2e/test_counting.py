"""A model that counts, through the commands: trained on clips of a varying number of objects, evaluated."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import seqvae
from data_gen.schema import open_dataset
from seqvae import metrics
from seqvae.cli.main import main
from seqvae.data.conversion import to_video
from seqvae.train.logging import read_log
from tests.worlds import make_data


@pytest.mark.parametrize("objective", ["enumerated_elbo", "score_function_elbo"])
def test_a_model_that_counts_is_trained_and_evaluated(tmp_path, objective):
    data, run = tmp_path / "sprites", tmp_path / "run"
    make_data(data, "sprites_varying", "train=8", "val=4", "test=4", "length=5", "image_size=32")
    budget = ["trainer.steps=2", "trainer.batch_size=4", "trainer.clip_length=2", "trainer.log_every=1"]
    validation = ["trainer.context=3", "trainer.validation_sequences=2"]
    train = ["train", "model=air", f"objective={objective}", f"data={data}", f"run={run}"]
    assert main([*train, *budget, *validation]) == 0
    slots = [line for line in read_log(run) if line["kind"] == "slots"]
    assert all(sum(line[f"count_{n}"] for n in range(6)) == pytest.approx(1) for line in slots)

    options = ["context=3", "iwae=2", "bound_sequences=2", "videos=1"]
    assert main(["evaluate", f"run={run}", f"data={data / 'test.h5'}", *options]) == 0
    assert main(["inspect", str(run), "latents=true", "sequences=2", "frames=4"]) == 0

    found = json.loads((run / "evaluation" / "metrics.json").read_text())
    with open_dataset(data / "test.h5") as file:
        video, masks = to_video(torch.as_tensor(file["imgs"][:, :3])), file["masks"][:, :3]
    model = seqvae.load(run)
    inferred = model.presence(model.filter(video, sample=False).z).sum(-1).numpy()
    expected = metrics.confusion_matrix(inferred, metrics.count_visible(masks))
    assert found["counts"] == expected.tolist() and np.sum(expected) == 4 * 3
    assert found["shares"]["count_accuracy"]["mean"] == pytest.approx(np.trace(expected) / 12)
    assert not {"position_error_reconstruction", "found"} & {*found["table"]["model"], *found["shares"]}
    assert "| objects in a frame |" in (run / "evaluation" / "table.md").read_text()
    assert Image.open(run / "evaluation" / "counts.png").size[0] > 300
