"""Every shipped model through the commands, on data that knows everything: states, masks and actions."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pytest
from PIL import Image

import seqvae
from seqvae.cli.main import main
from seqvae.train.logging import read_log
from tests.models import SHIPPED
from tests.worlds import make_data

LENGTH, CONTEXT, ACTIONS = 7, 4, 3
BUDGET = [
    f"trainer.{key}"
    for key in (
        "steps=2",
        "batch_size=2",
        "clip_length=4",
        "log_every=1",
        "validate_every=2",
        f"context={CONTEXT}",
    )
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three sprites, more than a model of whole frames has slots, and actions without effect."""
    sizes = ["train=4", "val=2", "test=2", f"length={LENGTH}", "image_size=16"]
    folder = make_data(tmp_path_factory.mktemp("data") / "sprites", "sprites", *sizes)
    rng = np.random.default_rng(0)
    for path in folder.glob("*.h5"):
        with h5py.File(path, "a") as file:
            file["actions"] = rng.integers(0, ACTIONS, file["imgs"].shape[:2])
            file.attrs["num_actions"] = ACTIONS
    return folder


def finite(numbers) -> bool:
    """Whether a nest of dictionaries and lists has numbers in it, and none that is not finite."""
    found = []

    def collect(x):
        if isinstance(x, dict | list):
            for value in x.values() if isinstance(x, dict) else x:
                collect(value)
        elif isinstance(x, float):
            found.append(x)

    collect(numbers)
    return bool(found) and all(map(math.isfinite, found))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_is_trained_evaluated_rolled_out_and_inspected(name, data, tmp_path):
    run, test = tmp_path / "run", data / "test.h5"
    assert main(["train", f"model={name}", f"data={data}", f"run={run}", *BUDGET]) == 0
    (validation,) = [line for line in read_log(run) if line["kind"] == "validation"]
    assert finite(validation)

    arguments = [f"run={run}", f"data={test}", f"context={CONTEXT}"]
    assert main(["evaluate", *arguments, "iwae=2", "videos=0"]) == 0
    found = json.loads((run / "evaluation" / "metrics.json").read_text())
    columns = set(found["table"]["model"])
    assert "pixel_mse_1_3" in columns and finite(found["table"]) and finite(found["bound"])
    model = seqvae.load(run)
    energy = bool(model.frame.unnormalised)
    assert found["bound"]["first"] == (3 if energy else 1) and (found["under_encoder"] is None) == energy
    whole, counts = model.frame.slots == 1, "presence" in model.layout
    assert ("position_error_1_3" in columns) != (whole or counts)
    assert finite(found["shares"]) != whole

    assert main(["report", f"run={run}", "sequences=2"]) == 0
    page = (run / "report.html").read_text()
    assert "Pixel MSE" in page and ("Position error" in page) != (whole or counts)

    assert main(["rollout", *arguments, f"horizon={LENGTH - CONTEXT}"]) == 0
    with np.load(run / "rollout" / "rollout.npz") as rollout:
        assert rollout["z"].shape[:2] == (1, LENGTH) and np.isfinite(rollout["z"]).all()
        assert rollout["frames"].shape == (1, LENGTH, 16, 16, 3)
        assert ("order" in rollout) == ("positions" in rollout and not counts)
    assert (run / "rollout" / "rollout.gif").stat().st_size > 0

    seen = run.parent / "seen"
    look = ["inspect", str(run), "latents=true", "sequences=2", "frames=4", f"out={seen / 'sheet.png'}"]
    assert main(look) == 0
    for sheet in ("sheet", "samples", "reconstructions", "interpolations", "traversals"):
        assert np.asarray(Image.open(seen / f"{sheet}.png")).std() > 0, sheet
