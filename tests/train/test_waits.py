"""Between two lines of the log no update waits for the device: all stages of all recipes."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from data_gen.cli.configs import compose
from seqvae.build import DataSpec, build
from seqvae.data.clips import InMemoryClips
from seqvae.data.conversion import to_device
from seqvae.train.config import TrainConfig
from seqvae.train.encodings import encode_sequences
from seqvae.train.learner import Learner
from seqvae.train.logging import Meter
from seqvae.train.trainer import Trainer
from tests.train.waits import DEVICE, Waits

RECIPES = {  # experiment -> image size, colours
    "stove_billiards": (32, 1),
    "monet_sprites": (32, 3),
    "monet_sequence": (32, 3),
    "vrnn_billiards": (32, 1),
    "vae_digits": (28, 1),
    "vae_iaf_digits": (28, 1),
    "air_digits": (32, 1),
}


@cache
def _config(experiment: str) -> TrainConfig:
    plain = compose("train", [f"experiment={experiment}"])
    return TrainConfig.read({k: v for k, v in plain.items() if k not in ("run", "resume")})


def _clips(size: int, colours: int, length: int, device: str) -> InMemoryClips:
    frames = np.random.default_rng(0).integers(0, 256, (6, length, size, size, colours), dtype=np.uint8)
    return InMemoryClips({"imgs": frames}, device)


CASES = [(name, stage.name) for name in RECIPES for stage in _config(name).stages]


def _trainer(experiment: str, stage: str, run: Path, device: str) -> Trainer:
    """A trainer of one stage on random frames in small batches, without a validation or a line of the log."""
    torch.manual_seed(0)
    config, (size, colours) = _config(experiment), RECIPES[experiment]
    (own,) = (x for x in config.stages if x.name == stage)
    clips = _clips(size, colours, max(20, own.trainer.clip_length), device)
    model = build(config.model, DataSpec(size, size, colours, actions=0, objects=3)).to(device)
    learner = Learner(model, own.objective, own.optim, config.precision, parts=own.parts)
    source = clips if own.source == "frames" else encode_sequences(model, clips)
    options = replace(own.trainer, batch_size=4, log_every=10**6)
    return Trainer(learner, source, None, options, run, {}, 0, torch.device(device))


@pytest.fixture
def fused_anywhere(monkeypatch):
    """The optimiser's one pass over all parameters, which torch allows on devices with numbers alone."""
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *_: None)


@pytest.mark.parametrize(("experiment", "stage"), CASES)
def test_an_update_does_not_wait_for_the_device(experiment, stage, tmp_path, fused_anywhere):
    trainer = _trainer(experiment, stage, tmp_path, DEVICE)
    trainer._update()  # fills the tables that the others use
    with Waits() as found:
        trainer._update()
    assert not found


PLANTED = {
    "_local_scalar_dense": lambda x: x.item(),
    "a branch": lambda x: 1 if x > 0 else 0,
    "a float": lambda x: float(x),
    "numbers": lambda x: x.tolist(),
    "nonzero": lambda x: (x[None] > 0).nonzero(),
    "copies to the host": lambda x: x.cpu(),
    "copies from the host": lambda x: x + torch.ones(3).to(x.device),
    "lists": lambda x: x + torch.tensor([1.0, 2.0], device=x.device),
    "new lists": lambda x: x + x.new_tensor([1.0, 2.0]),
    "equality": lambda x: torch.equal(x, x),
    "rows by a mask": lambda x: x[None].masked_select(x[None] > 0),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_wait_is_counted(planted):
    x = torch.zeros((), device=DEVICE)
    with Waits() as found:
        PLANTED[planted](x)
    assert found.total() == 1


def test_a_copy_that_runs_beside_the_host_is_none():
    with Waits() as found:
        to_device(np.arange(3), torch.device(DEVICE)).add(1)
    assert not found


def test_the_meter_waits_where_it_is_read_and_not_before():
    meter = Meter()
    with Waits() as found:
        meter.add(0, {"loss": torch.zeros((), device=DEVICE), "gradient": torch.zeros((), device=DEVICE)})
        assert not found
        meter.read()
    assert found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("experiment", "stage"), CASES)
def test_an_update_does_not_wait_for_a_gpu(experiment, stage, tmp_path):
    trainer = _trainer(experiment, stage, tmp_path, "cuda")
    trainer._update()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer._update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
