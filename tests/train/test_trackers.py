"""Trackers beside the log: the numbers arrive, a resumed run goes on, and one that fails ends no training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from data_gen.cli.configs import compose
from seqvae.cli.main import main
from seqvae.train import trackers
from seqvae.train.config import TrainConfig
from seqvae.train.logging import read_log
from seqvae.train.trackers import TRACKERS, Trackers, installed_trackers, tracker_names
from tests.cli.tiny import TINY
from tests.refusals import refusal
from tests.worlds import make_data


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    sizes = ["train=4", "val=2", "length=12", "image_size=16"]
    return make_data(tmp_path_factory.mktemp("data") / "billiards", "billiards", *sizes)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def train(data: Path, run: Path, *words: str) -> None:
    assert main(["train", *TINY, f"data={data}", f"run={run}", *words]) == 0


def test_the_default_is_tensorboard_where_it_is_installed(data, tmp_path, monkeypatch):
    assert compose("train")["trainer"]["tracker"] == "auto"
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert installed_trackers(["auto"]) == ()
    train(data, tmp_path / "without")
    assert {path.name for path in (tmp_path / "without").iterdir()} == {
        "best.pt", "last.pt", "config.yaml", "log.jsonl"
    }  # fmt: skip
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    assert installed_trackers(["auto"]) == ("tensorboard",)


def test_tensorboard_has_the_numbers_of_the_log(data, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    train(data, run)
    train(data, run, "resume=true", "trainer.steps=3")
    found = events.EventAccumulator(str(run / "tensorboard")).Reload()
    logged = [line["loss"] for line in read_log(run) if line["kind"] == "train"]
    curve = found.Scalars("train/loss")
    assert [point.step for point in curve] == [1, 2, 3]
    assert [point.value for point in curve] == pytest.approx(logged)
    assert found.Images("truth above model")[0].step == 2


def test_mlflow_continues_the_run(data, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    run = tmp_path / "runs" / "demo"
    train(data, run, "trainer.tracker=mlflow")
    train(data, run, "resume=true", "trainer.steps=3")
    identity = json.loads((run / trackers.IDS).read_text())["mlflow"]
    client = mlflow.MlflowClient(tracking_uri=str(tmp_path / "runs" / "mlruns"))
    (experiment,) = [e for e in client.search_experiments() if e.name == "seqvae"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == identity and found.info.run_name == "demo"
    assert found.info.status == "FINISHED" and found.data.params["seed"] == "0"
    curve = client.get_metric_history(identity, "train/loss")
    logged = [line["loss"] for line in read_log(run) if line["kind"] == "train"]
    assert [point.step for point in curve] == [1, 2, 3] and [point.value for point in curve] == logged
    assert not (run / "tensorboard").exists()
    assert {a.path for a in client.list_artifacts(identity, "images")}


def test_wandb_without_a_network_continues_the_run(data, tmp_path):
    pytest.importorskip("wandb")
    run = tmp_path / "run"
    train(data, run, "trainer.tracker=[wandb]")
    train(data, run, "resume=true", "trainer.steps=3")
    identity = json.loads((run / trackers.IDS).read_text())["wandb"]
    parts = sorted(run.glob("wandb/offline-run-*"))
    assert len(parts) == 2 and all(part.name.endswith(f"-{identity}") for part in parts)
    for part, step in zip(parts, (2, 3), strict=True):
        content = (part / f"run-{identity}.wandb").read_bytes()
        assert all(f"{kind}/".encode() in content for kind in ("train", "validation", "slots"))
        pictures = list(part.glob("files/media/images/truth above model*.png"))
        assert len(pictures) == 1, step


def test_all_stages_have_the_same_trackers():
    config = compose("train", ["experiment=stove_billiards"])
    assert TrainConfig.read({k: x for k, x in config.items() if k not in ("run", "resume")}).trackers == (
        "auto",
    )
    config["stages"]["motion"]["trainer"]["tracker"] = "wandb"
    message = refusal(TrainConfig.read, {k: x for k, x in config.items() if k not in ("run", "resume")})
    assert message == "stages.motion.trainer.tracker: all stages have the same; say trainer.tracker="


class Recorder:
    """A tracker that keeps what it is given, and fails from a number of calls on."""

    identity = None

    def __init__(self, fails_after: int = 10**9):
        self.calls, self.left, self.closed = [], fails_after, None

    def _take(self, *call):
        if self.left == 0:
            raise OSError("no space left on device\nand more")
        self.left -= 1
        self.calls.append(call)

    def scalars(self, step, values):
        self._take(step, values)

    def image(self, name, step, image):
        self._take(name, step, image)

    def text(self, name, step, text):
        self._take(name, step, text)

    def close(self, complete):
        self.closed = complete


def test_a_tracker_that_fails_is_told_once_and_ends_nothing(data, tmp_path, monkeypatch, capsys):
    bad, good = Recorder(fails_after=3), Recorder()
    monkeypatch.setitem(TRACKERS, "mlflow", lambda run: bad)
    monkeypatch.setitem(TRACKERS, "wandb", lambda run: good)
    monkeypatch.setattr(trackers, "_is_installed", lambda name: True)
    train(data, tmp_path / "run", "trainer.tracker=[mlflow,wandb]")
    shown = capsys.readouterr().err
    text = "mlflow failed, and is left out from now on (OSError: no space left on device)"
    assert shown.count(text) == 1
    assert [x["text"] for x in read_log(tmp_path / "run") if x["kind"] == "warning"] == [text]
    assert len(bad.calls) == 3 and len(good.calls) > 4
    assert bad.closed is False and good.closed is True
    assert not (tmp_path / "run" / trackers.IDS).exists()


def test_a_tracker_that_fails_at_the_end_is_told_too(tmp_path):
    last = Recorder()
    last.close = lambda complete: 1 / 0
    opened = Trackers({"wandb": last})
    opened.close(complete=True)
    assert opened.failures == [
        "wandb failed, and is left out from now on (ZeroDivisionError: division by zero)"
    ]


def test_trackers_that_cannot_be_are_refused_before_anything_is_written(data, tmp_path, monkeypatch, capsys):
    assert refusal(tracker_names, ["wandb", "tensorbord"]) == (
        "trainer.tracker=tensorbord: no such tracker; did you mean tensorboard?"
    )
    assert "expected tensorboard, wandb, mlflow" in refusal(tracker_names, 3)
    assert tracker_names(None) == () and tracker_names("wandb") == ("wandb",)
    monkeypatch.setattr(trackers, "_is_installed", lambda name: name == "tensorboard")
    words = ["train", *TINY, f"data={data}", f"run={tmp_path / 'run'}", "trainer.tracker=[tensorboard,wandb]"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told == 'seqvae train: trainer.tracker=wandb: is not installed; pip install "seqvae[wandb]"\n'
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_cannot_start_is_refused_in_one_line(data, tmp_path, monkeypatch, capsys):
    def start(run):
        raise ConnectionError("no key\nlong explanation")

    monkeypatch.setitem(TRACKERS, "wandb", start)
    monkeypatch.setattr(trackers, "_is_installed", lambda name: True)
    run = tmp_path / "run"
    assert main(["train", *TINY, f"data={data}", f"run={run}", "trainer.tracker=wandb"]) == 2
    told = capsys.readouterr().err
    assert "trainer.tracker=wandb: cannot start (ConnectionError: no key); leave it out" in told
    assert told.count("\n") == 1
    train(data, run, "trainer.tracker=null")  # the folder is not in use
