"""Sweeps: a folder per job, named by what differs; jobs that fail, go on, or are complete already."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_gen.__main__ import main as data_gen
from data_gen.cli.command import Job
from data_gen.cli.configs import check_overrides, compose, sweep_folder
from data_gen.cli.overrides import PATHS, parse_overrides
from data_gen.cli.sweep import file_name
from seqvae import checkpoint
from seqvae.cli import place, train
from seqvae.cli.main import COMMANDS, main
from tests.cli.tiny import TINY


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_a_failed_job_ends_no_other_and_the_same_command_goes_on(data, tmp_path, capsys):
    sweep = tmp_path / "sweep"
    command = ["train", "-m", *TINY, f"data={data}", f"run={sweep}", "optim.lr=0.001,-1,0.002"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "seqvae train [optim.lr=-1]: optim.lr=-1.0: expected a number above 0\n" in said
    assert (
        f"seqvae train: 2 jobs in {sweep} are done, 1 failed:\nseqvae train [optim.lr=-1]: failed\n" in said
    )
    assert names(sweep) == {"multirun.yaml", "optim.lr=0.001", "optim.lr=0.002"}
    run = sweep / "optim.lr=0.002"
    assert names(run) <= {"best.pt", "last.pt", "config.yaml", "log.jsonl", "tensorboard"}
    assert checkpoint.load(run / checkpoint.LAST).config["optim"]["lr"] == 0.002
    before = (run / checkpoint.LAST).stat().st_mtime_ns

    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.count("is complete (2 steps)") == 2 and said.count("expected a number above 0") == 1
    assert (run / checkpoint.LAST).stat().st_mtime_ns == before

    assert main([*command, "trainer.steps=3"]) == 2  # so they are not complete any more
    assert capsys.readouterr().err.count("resuming") == 2
    assert checkpoint.load(run / checkpoint.LAST).step == 3


def test_a_training_returns_its_best_validation(data, tmp_path):
    config = compose("train", [*TINY, f"data={data}", f"run={tmp_path / 'run'}"])
    score = train.run(config, Job())
    assert score == checkpoint.load(tmp_path / "run" / checkpoint.LAST).training["best"]
    assert train.run(config | {"resume": "auto"}, Job()) == score  # also of a complete run


def test_the_last_checkpoint_has_one_name():
    assert place.LAST == checkpoint.LAST


def test_what_no_job_can_be_is_refused_at_once(data, tmp_path, capsys):
    for words in (["model=linear,stov"], ["trainer.stepz=1,2"], ["optim.lr=interval(0.1,1)"]):
        assert main(["train", "-m", f"data={data}", f"run={tmp_path / 'sweep'}", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert names(tmp_path) == set()


def test_files_of_a_sweep_of_datasets_lie_apart(tmp_path, capsys):
    sizes = ["train=1", "val=0", "test=0", "length=2", "image_size=8", "workers=1"]
    assert data_gen(["-m", *sizes, f"out={tmp_path / 'sweep'}", "seed=0,1", "sim=billiards,gravity"]) == 0
    assert names(tmp_path / "sweep") == {"multirun.yaml"} | {
        f"seed={seed},sim={sim}" for seed in (0, 1) for sim in ("billiards", "gravity")
    }
    capsys.readouterr()
    files = [tmp_path / "sweep" / f"seed={seed},sim=gravity" / "train.h5" for seed in (0, 1)]
    words = ["preview", "-m", f"data='{files[0]}','{files[1]}'", f"out={tmp_path / 'seen'}"]
    assert data_gen(words) == 0
    shown = [path for path in (tmp_path / "seen").iterdir() if path.is_dir()]
    assert len(shown) == 2 and all((path / "sheet.png").is_file() for path in shown)


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["experiment=stove_billiards", "seed=0,1"], "runs/stove_billiards"),
        (["model=vae", "seed=0,1"], "runs/vae"),
        (["model=vae,stove"], "runs/train"),
        (["run=some/where", "seed=0,1"], "some/where"),
        (["run=it's, ${here}", "seed=0,1"], "it's, ${here}"),
        (["run=some/where", "hydra.sweep.dir=else"], "else"),
    ],
)
def test_the_folder_of_a_sweep(words, folder):
    overrides = parse_overrides(words, PATHS["train"], sweeps=True)
    checked = check_overrides("train", overrides)
    assert sweep_folder(COMMANDS["train"], overrides, checked, []) == folder


def test_names_of_jobs_are_valid_and_differ():
    assert file_name("optim.lr=0.001,seed=1") == "optim.lr=0.001,seed=1"
    texts = [
        "data=a/b",
        "data=a_b",
        "data='a b'",
        "init=../x",
        "x=" + 300 * "y",
        "x=" + 300 * "z",
        "k=[a,b]",
        "",
    ]
    found = [file_name(text) for text in texts]
    assert len(set(found)) == len(texts)
    for name in found:
        assert "/" not in name and name == name.strip() and not name.startswith(".") and len(name) < 200
    assert file_name("++model.frame.glimpse=3,seed=1") == "model.frame.glimpse=3,seed=1"


def interrupted(data: Path, sweep: Path, *words: str) -> str:
    """Start a sweep of long jobs, and send Ctrl-C to its processes once a job is at work."""
    long = [*TINY, "trainer.steps=100000", "trainer.validate_every=100000", "trainer.log_every=5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "seqvae", "train", "-m", *long, f"data={data}", f"run={sweep}", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(r"step 10/", line):
            os.killpg(process.pid, signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGINT
    return rest


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_with_everything_saved(data, tmp_path):
    rest = interrupted(data, tmp_path / "sweep", "seed=0,1")
    assert "everything is saved" in rest and rest.endswith(
        "seqvae train: stopped; the same command goes on\n"
    )
    assert names(tmp_path / "sweep") == {"multirun.yaml", "seed=0"}  # the second has not begun
    assert checkpoint.load(tmp_path / "sweep/seed=0/last.pt").step >= 10


@pytest.mark.slow
def test_ctrl_c_ends_jobs_in_other_processes_too(data, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1,2"]
    rest = interrupted(data, tmp_path / "sweep", *words)
    assert "Traceback" not in rest and "everything is saved" in rest
    assert "seed=2" not in names(tmp_path / "sweep")


@pytest.mark.slow
def test_jobs_in_other_processes_report_their_end(data, tmp_path, capfd):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    words = [
        "train",
        "-m",
        *launcher,
        *TINY,
        f"data={data}",
        f"run={tmp_path / 'sweep'}",
        "optim.lr=0.001,-1",
    ]
    assert main(words) == 2
    assert names(tmp_path / "sweep") == {"multirun.yaml", "optim.lr=0.001"}
    assert "1 jobs in" in capfd.readouterr().err
