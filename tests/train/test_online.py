"""python -m seqvae train data=online: resumed and killed like any training, and nothing outlives it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from data_gen.cli.configs import compose
from seqvae import checkpoint
from seqvae.cli.data import open_data
from seqvae.cli.main import main
from seqvae.cli.run import open_run
from seqvae.data.conversion import to_video

# four stages, tiny: the last two train on encodings
SHORT = [
    "data=online",
    "sim=billiards",
    "sim.num_balls=2",
    "image_size=16",
    "online.length=30",
    "online.sequences=10",
    "workers=1",
    "experiment=stove_billiards",
    "model.dynamics.width=16",
    "trainer.log_every=2",
    "trainer.context=4",
    "trainer.validation_sequences=3",
    "trainer.checkpoint_seconds=0",
    *(
        f"stages.{stage}.trainer.{key}"
        for stage in ("objects", "places", "motion", "spread")
        for key in ("steps=4", "batch_size=4", "clip_length=9", "validate_every=4")
    ),
]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    assert main(["train", *SHORT, f"run={run}", "workers=0"]) == 0
    return run


def start(run: Path) -> subprocess.Popen:
    """The command in a process group of its own, stopped to look at after its second step."""
    process = subprocess.Popen(
        [sys.executable, "-m", "seqvae", "train", *SHORT, f"run={run}"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    for line in process.stderr:
        if re.search(r"step 2/16", line):
            return process
    raise AssertionError("the training ended before its second step")


def children(pid: int) -> list[Path]:
    return [Path("/proc") / child for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(processes: list[Path], seconds: float) -> bool:
    """Whether all of them end in that time (a zombie has ended)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        alive = [p for p in processes if p.exists() and "\nState:\tZ" not in (p / "status").read_text()]
        if not alive:
            return True
        time.sleep(0.1)
    return False


def test_an_online_run_knows_its_simulator(unbroken):
    saved = checkpoint.load(unbroken / checkpoint.LAST)
    assert saved.step == 16 and saved.spec.height == 16 and saved.spec.objects == 2
    assert saved.config["sim"]["num_balls"] == 2
    assert "position_error_1_10" in saved.scores


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_goes_on_to_the_same_weights_and_leaves_no_process(unbroken, tmp_path, sent):
    """Ctrl-C reaches the whole group, workers too; a kill only the training itself."""
    run = tmp_path / "run"
    process = start(run)
    workers = children(process.pid)
    assert workers
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == (130 if sent == signal.SIGINT else -sent)
    assert gone(workers, seconds=30)
    assert "Traceback" not in rest
    assert main(["train", f"run={run}", "resume=true", "workers=0"]) == 0
    one, other = (checkpoint.load(path / checkpoint.LAST) for path in (run, unbroken))
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    assert (one.step, one.scores) == (other.step, other.scores)


def test_a_run_from_before_a_key_existed_goes_on(unbroken, tmp_path):
    """A config without the keys of this page, as an older version wrote it."""
    old = checkpoint.load(unbroken / checkpoint.LAST)
    for key in ("online", "memory", "workers", "sim", "name", "image_size"):
        del old.config[key]
    old.config["data"] = "somewhere"
    checkpoint.save(tmp_path / checkpoint.LAST, old)
    config = open_run(compose("train", [f"run={tmp_path}", "resume=true"])).config
    assert config.memory == 4 and config.data == "somewhere" and config.online.length == 100


def test_what_is_trained_on_is_known_in_full():
    """For stages that train on true states, or on the encoding of whole sequences."""
    asked = [word for word in SHORT if word.partition("=")[0] != "workers"]
    config = open_run(compose("train", [*asked, "workers=0"])).config
    with open_data(config, torch.device("cpu")) as data:
        whole = data.sequences()
        assert whole.positions.shape == (10, 30, 2, 2) and len(data.validation) == 3
        frames = torch.cat([video for _, video, _ in data.clips.full_sequences(4)])
    assert torch.equal(frames, to_video(whole.frames))


FAULTS = {
    "no simulator": (["data=online"], "data=online: say which simulator, sim=NAME; known: "),
    "no such simulator": (["data=online", "sim=biliards"], "sim=biliards: no such sim"),
    "a simulator and a file": (["sim=billiards"], "sim: only data=online simulates"),
    "length": (["data=online", "sim=billiards", "online.length=0"], "online.length=0: must be"),
    "workers": (["data=online", "sim=billiards", "workers=-1"], "workers=-1: must be"),
    "image_size": (["data=online", "sim=billiards", "image_size=0"], "image_size=0: must be"),
    "field": (["data=online", "sim=billiards", "sim.radius=6"], "sim.radius=6"),
    "clips": (
        ["data=online", "sim=billiards", "online.length=20", "trainer.clip_length=21"],
        "clip_length=21",
    ),
}


@pytest.mark.parametrize(("arguments", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_input_ends_in_one_line_and_code_2(tmp_path, capsys, arguments, words):
    assert main(["train", f"run={tmp_path / 'run'}", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not (tmp_path / "run").exists()
