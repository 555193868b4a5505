"""The loop: resuming, stopping, saving and refusing, with a model of three tiny parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import torch

from seqvae import checkpoint
from seqvae.data.clips import ClipRequest
from seqvae.train.logging import read_log
from seqvae.train.optim import Cosine, Optim
from seqvae.train.trainer import NonFiniteLoss
from tests.refusals import refusal
from tests.train import tiny

OPTIMS = {
    "adam": Optim(lr=0.01, schedule=Cosine(warmup=3)),
    "amsgrad": Optim(lr=0.01, amsgrad=True),
    "adamw": Optim(name="adamw", lr=0.01, weight_decay=0.1),
    "average": Optim(lr=0.01, ema=0.9),
}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class StopAt:
    """Clips that send this process a signal when they are asked for step `step`."""

    def __init__(self, step: int, number: int = signal.SIGINT):
        self.step, self.number, self.clips = step, number, tiny.Clips()

    def batch(self, request):
        if request.step == self.step:
            os.kill(os.getpid(), self.number)
        return self.clips.batch(request)


@pytest.mark.parametrize("optim", OPTIMS.values(), ids=OPTIMS.keys())
@pytest.mark.parametrize("stop", [3, 9, 17])  # in the warm-up, just before a validation, near the end
def test_an_interrupted_run_ends_in_the_weights_of_an_unbroken_one(tmp_path, optim, stop):
    unbroken = tiny.trainer(tmp_path / "unbroken", optim=optim)
    assert unbroken.fit().signal is None
    broken = tiny.trainer(tmp_path / "broken", optim=optim, clips=StopAt(stop))
    outcome = broken.fit()
    assert (outcome.step, outcome.signal) == (stop + 1, signal.SIGINT)

    torch.manual_seed(12345)  # a new process knows nothing of the old one's random numbers
    resumed = tiny.trainer(tmp_path / "broken", optim=optim)
    resumed.restore(checkpoint.load(tmp_path / "broken" / checkpoint.LAST))
    assert resumed.step == stop + 1
    assert resumed.fit().step == 20
    assert same(tiny.weights(resumed), tiny.weights(unbroken))
    assert resumed.best == unbroken.best and resumed.scores == unbroken.scores
    for name in (checkpoint.BEST, checkpoint.LAST):
        a, b = (checkpoint.load(tmp_path / run / name) for run in ("broken", "unbroken"))
        assert a.step == b.step and same(a.model, b.model)

    logs = [
        [line for line in read_log(tmp_path / run) if line["kind"] == "validation"]
        for run in ("broken", "unbroken")
    ]
    assert logs[0] == logs[1] and [line["step"] for line in logs[0]] == [10, 20]


def test_validation_does_not_change_the_training(tmp_path):
    often = tiny.trainer(tmp_path / "often", validate_every=2)
    often.fit()
    never = tiny.trainer(tmp_path / "never", validate_every=1000)
    never.fit()
    assert same(tiny.weights(often), tiny.weights(never))


def test_the_second_signal_ends_the_process_at_once(tmp_path):
    script = f"""
import os, pathlib, signal
from tests.refusals import refusal
from tests.train import tiny

class Twice(tiny.Clips):
    def batch(self, request):
        if request.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        return super().batch(request)

tiny.trainer(pathlib.Path({str(tmp_path)!r}), clips=Twice()).fit()
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60)
    assert done.returncode == 128 + signal.SIGINT
    assert checkpoint.load(tmp_path / checkpoint.LAST).step == 0


def test_the_handlers_of_signals_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    tiny.trainer(tmp_path, clips=StopAt(2, signal.SIGTERM)).fit()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    sick = tiny.trainer(tmp_path, clips=tiny.Clips(bad_from=13), checkpoint_seconds=0.0)
    line = refusal(sick.fit, error=NonFiniteLoss)
    assert "step 13: loss, gradient, bound, log_likelihood" in line
    kept = checkpoint.load(tmp_path / checkpoint.LAST)
    assert kept.step == 13 and all(value.isfinite().all() for value in kept.model.values())
    assert f"{checkpoint.LAST} (step 13)" in line
    batch = torch.load(tmp_path / "notfinite_step13.pt", weights_only=True)
    assert batch["step"] == 13
    offending = tiny.Clips(bad_from=13).batch(ClipRequest(13, 4, 5, seed=3)).video
    assert torch.equal(batch["batch"]["video"].nan_to_num(-1), offending.nan_to_num(-1))


def test_the_averaged_weights_are_the_model(tmp_path):
    averaged = tiny.trainer(tmp_path, optim=Optim(lr=0.01, ema=0.99))
    averaged.fit()
    saved = checkpoint.load(tmp_path / checkpoint.LAST).model
    own = dict(averaged.model.named_parameters())
    assert all(not torch.equal(saved[name], own[name]) for name in own)
    averaged.learner.average.write(averaged.learner.average.values)
    assert same(saved, dict(averaged.model.state_dict()))


def test_the_loss_falls(tmp_path):
    long = tiny.trainer(tmp_path, steps=200, log_every=20, validate_every=100)
    long.fit()
    losses = [line["loss"] for line in read_log(tmp_path) if line["kind"] == "train"]
    assert losses[-1] < 0.7 * losses[0]


def test_minutes_bound_a_run_and_drive_the_schedule(tmp_path):
    timed = tiny.trainer(tmp_path, steps=None, minutes=0.01, log_every=1, validate_every=10**6)
    outcome = timed.fit()
    assert outcome.signal is None and 0.6 <= timed.elapsed < 6
    rates = [line["lr"] for line in read_log(tmp_path) if line["kind"] == "train"]
    assert rates[-1] < 0.2 * max(rates)
    # the seconds of earlier sessions count
    again = tiny.trainer(tmp_path, steps=None, minutes=0.01)
    again.restore(checkpoint.load(tmp_path / checkpoint.LAST))
    assert again.fit().step == outcome.step
