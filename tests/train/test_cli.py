"""python -m seqvae train: what it makes, how it goes on after being stopped or killed, what it refuses."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from data_gen.locks import TEMPORARY
from seqvae import checkpoint
from seqvae.cli.main import main
from seqvae.provenance import git_commit, versions
from seqvae.train.logging import read_log
from tests.worlds import make_data

# four stages, tiny: the last two train on encodings
SHORT = [
    "experiment=stove_billiards",
    "trainer.log_every=4",
    "trainer.context=4",
    "trainer.checkpoint_seconds=0",
    *(
        f"stages.{stage}.trainer.{key}"
        for stage in ("objects", "places", "motion", "spread")
        for key in ("steps=8", "batch_size=4", "clip_length=9", "validate_every=5")
    ),
]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "billiards"
    return make_data(folder, "billiards", "train=8", "val=2", "length=20")


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    assert main(["train", *SHORT, f"data={data}", f"run={run}"]) == 0
    return run


def same_models(a: Path, b: Path) -> bool:
    one, other = (checkpoint.load(path / checkpoint.LAST) for path in (a, b))
    alike = all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    return alike and (one.step, one.scores) == (other.step, other.scores)


def told(capsys) -> str:
    """The one line on stderr."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_a_run_leaves_checkpoints_config_and_log(unbroken):
    names = {entry.name for entry in unbroken.iterdir()}
    assert {"best.pt", "last.pt", "config.yaml", "log.jsonl"} <= names
    assert not any(name.startswith(TEMPORARY) for name in names)
    log = read_log(unbroken)
    assert [line["step"] for line in log if line["kind"] == "validation"] == [5, 8, 13, 16, 21, 24, 29, 32]
    assert [line["step"] for line in log if line["kind"] == "train"] == [4, 8, 12, 16, 20, 24, 28, 32]
    slots = [line for line in log if line["kind"] == "slots"]
    assert len(slots) == 8 and all("at_limit_2" in line and "spread_0" in line for line in slots)
    *mean_path, first_spread, _ = [line for line in log if line["kind"] == "validation"]
    best = checkpoint.load(unbroken / checkpoint.BEST)
    # the stage of the spread begins with the best weights so far, and its own objective chooses among its own
    chosen = min(mean_path, key=lambda line: line["pixel_mse_1_10"])
    for name in ("pixel_mse_1_10", "position_error_1_10"):
        assert best.scores[name] == first_spread[name] == chosen[name]
    assert best.commit == checkpoint.load(unbroken / checkpoint.LAST).commit == (git_commit() or "unknown")
    assert best.model["dynamics.spread.log_factor"].abs().max() > 0
    assert checkpoint.load_model(unbroken).layout.dim == 18


def test_a_run_names_versions_and_checksums(unbroken, data, tmp_path):
    content = checkpoint.load(unbroken / checkpoint.LAST)
    assert content.versions == versions() and content.versions["torch"] == torch.__version__
    files = [data / "train.h5", data / "val.h5"]
    assert content.data == {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    text = (unbroken / "config.yaml").read_text()
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert comments == [f"# {line}" for line in content.provenance.lines()] and len(comments) == 4
    assert OmegaConf.to_container(OmegaConf.create(text)) == content.config
    assert main(["export", f"run={unbroken}", f"out={tmp_path}"]) == 0
    card = (tmp_path / "README.md").read_text()
    assert f"- Trained at commit {content.commit}." in card
    assert f"torch {torch.__version__}" in card and f"SHA-256 {content.data[str(files[0])]}." in card
    assert checkpoint.load(tmp_path / "model.safetensors").provenance == content.provenance


def test_a_run_of_an_older_version_goes_on(data, unbroken, tmp_path):
    """Without the fields and keys that came later, as a run made before them."""
    run = tmp_path / "run"
    half = [word.replace("steps=8", "steps=4") if "spread" in word else word for word in SHORT]
    assert main(["train", *half, f"data={data}", f"run={run}", "trainer.tracker=null"]) == 0
    content = torch.load(run / checkpoint.LAST, weights_only=True)
    del content["config"]["trainer"]["tracker"], content["versions"], content["data"]
    torch.save(content, run / checkpoint.LAST)
    more = [f"run={run}", "resume=true", "stages.spread.trainer.steps=8"]
    assert main(["train", *more]) == 0
    again = checkpoint.load(run / checkpoint.LAST)
    assert again.step == 32 and again.versions["torch"] == f"unknown, then {torch.__version__}"
    assert main(["train", *SHORT, f"data={data}", f"run={run}", "resume=auto"]) == 0  # its config agrees


def test_the_same_command_gives_the_same_weights(data, unbroken, tmp_path):
    assert main(["train", *SHORT, f"data={data}", f"run={tmp_path / 'again'}"]) == 0
    assert same_models(unbroken, tmp_path / "again")
    assert main(["train", *SHORT, f"data={data}", f"run={tmp_path / 'other'}", "seed=1"]) == 0
    assert not same_models(unbroken, tmp_path / "other")


def test_a_complete_run_is_left_alone(unbroken, capsys):
    before = (unbroken / checkpoint.LAST).stat().st_mtime_ns
    for resume in ("true", "auto"):
        assert main(["train", f"run={unbroken}", f"resume={resume}"]) == 0
        assert "is complete (32 steps)" in told(capsys)
    assert (unbroken / checkpoint.LAST).stat().st_mtime_ns == before


def start(arguments: list[str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "seqvae", "train", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def test_killed_at_any_moment_it_goes_on_to_the_same_weights(data, unbroken, tmp_path):
    run, chance = tmp_path / "run", random.Random(0)
    command = [*SHORT, f"data={data}", f"run={run}", "resume=auto"]
    for _ in range(2):
        process = start(command)
        for line in process.stderr:  # wait for the training itself, then a moment of its few seconds
            if "training in" in line or "resuming" in line:
                time.sleep(chance.uniform(0.0, 0.5))
                process.kill()
        process.stderr.close()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        for path in run.glob("*.pt"):
            if not path.name.startswith(TEMPORARY):
                checkpoint.load(path)  # whatever is there is whole
    assert main(["train", *command]) == 0
    assert same_models(unbroken, run)
    validations = [[x for x in read_log(r) if x["kind"] == "validation"] for r in (run, unbroken)]
    assert validations[0] == validations[1]


def test_after_ctrl_c_the_printed_command_goes_on(data, unbroken, tmp_path):
    run = tmp_path / "run with space"
    process = start([*SHORT, f"data={data}", f"run={run}"])
    for line in process.stderr:
        if re.search(r"step 4/32", line):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGINT
    assert rest.rstrip().endswith(f"python -m seqvae train 'run={run}' resume=true")
    assert main(["train", f"run={run}", "resume=true"]) == 0
    assert same_models(unbroken, run)


def test_a_full_disk_ends_in_one_line_and_keeps_the_last_checkpoint(data, tmp_path, capsys, monkeypatch):
    run, save = tmp_path / "run", torch.save

    def fill_up(content, file):
        if content["step"] >= 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fill_up)
        assert main(["train", *SHORT, f"data={data}", f"run={run}"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "cannot be written (No space left on device)" in line and f"run={run} resume=true" in line
    assert checkpoint.load(run / checkpoint.LAST).step == 5


FAULTS = {
    "unknown key": (["trainer.stepz=3"], "trainer.stepz: no such key; did you mean trainer.steps"),
    "unknown argument": (
        ["model.frame.glimpze=3"],
        "model.frame.glimpze: unknown; did you mean glimpse? accepted: encoder, ",
    ),
    "unknown experiment": (["experiment=nope"], "experiment=nope: no such experiment; known: "),
    "unknown model": (["model=stov"], "model=stov: no such model; did you mean stove"),
    "no value": (["seed"], "seed: expected key=value"),
    "two values": (["seed=1,2"], "seed=1,2: one value per key"),
    "bad syntax": (["trainer.steps=[1"], "trainer.steps=[1: "),
    "bad type": (["trainer.batch_size=many"], "trainer.batch_size: expected int, got 'many'"),
    "bad seed": (["seed=abc"], "seed=abc: expected a whole number"),
    "bad device": (["device=tpu"], "device=tpu: expected auto, cpu, cuda"),
    "GPU": (["device=gpu"], "device=gpu: expected auto, cpu, cuda; did you mean cuda?"),
    "GPU by its number": (["device=cuda:1"], "choose the GPU by CUDA_VISIBLE_DEVICES=1"),
    "learning rate": (["optim.learning_rate=1"], "optim.learning_rate: no such key; did you mean optim.lr?"),
    "epochs": (["epochs=3"], "epochs: no such key; did you mean trainer.steps?"),
    "batch": (["trainer.batch=3"], "trainer.batch: no such key; did you mean trainer.batch_size?"),
    "seed": (["random_seed=3"], "random_seed: no such key; did you mean seed?"),
    "key of a group": (["lr=3"], "lr: no such key; did you mean optim.lr?"),
    "trackers by stage": (
        ["experiment=stove_billiards", "stages.motion.trainer.tracker=wandb"],
        "stages.motion.trainer.tracker: no such key; did you mean trainer.tracker?",
    ),
    "bad precision": (["precision=int4"], "precision=int4: expected float32 or bf16"),
    "bad threads": (["threads=0"], "threads=0: expected a whole number"),
    "no budget": (["trainer.steps=null"], "trainer: give a budget"),
    "foreign code": (["model.frame._target_=os.system"], "there is no FrameModel os.system; add the module"),
    "no data": (["data=nowhere/at=all, 'it'.h5"], "nowhere/at=all, 'it'.h5: no such file"),
    "clips too long": (["trainer.clip_length=21"], "hold no clip of clip_length=21"),
    "clips too short": (["model=vae", "trainer.clip_length=2"], "objective.start=3 needs clips of 3 frames"),
    "clips without a rollout": (
        ["experiment=vrnn_billiards", "trainer.clip_length=8"],
        "a rollout after 8 frames needs longer clips",
    ),
    "context too long": (["trainer.context=20"], "context=20 needs at least one more"),
    "horizon too long": (["trainer.horizon=17", "trainer.context=4"], "horizon=17: "),
    "nothing to resume": (["resume=true"], "no training to resume"),
    "bad resume": (["resume=maybe"], "resume=maybe: expected true, false or auto"),
    "heard by no stage": (
        ["experiment=stove_billiards", "trainer.steps=9"],
        "each stage has its own; say for instance stages.",
    ),
    "bad optimiser": (["optim.name=sgd"], "optim.name=sgd: expected adam or adamw"),
}


@pytest.mark.parametrize(("arguments", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_input_ends_in_one_line_and_code_2(data, tmp_path, capsys, arguments, words):
    given = [f"data={data}", f"run={tmp_path / 'run'}"]
    assert main(["train", *(g for g in given if arguments[0].partition("=")[0] not in g), *arguments]) == 2
    line = told(capsys)
    assert line.startswith("seqvae train: ") and words in line
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_asked_for_and_absent(capsys):
    assert main(["train", "device=cuda"]) == 2
    assert "device=cuda: torch sees no CUDA device" in told(capsys)


@pytest.mark.parametrize("content", [b"no HDF5 at all", None], ids=["foreign", "truncated"])
def test_damaged_data_is_refused(data, tmp_path, capsys, content):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(content or (data / "train.h5").read_bytes()[:-1000])
    assert main(["train", f"data={bad}", f"run={tmp_path / 'run'}"]) == 2
    assert str(bad) in told(capsys)


def test_a_used_folder_is_not_touched(unbroken, data, tmp_path, capsys):
    assert main(["train", f"data={data}", f"run={unbroken}"]) == 2
    assert "holds a training; continue it with resume=true" in told(capsys)
    (tmp_path / "thesis.tex").touch()
    assert main(["train", f"data={data}", f"run={tmp_path}"]) == 2
    assert "exists and is not empty" in told(capsys)
    assert main(["train", f"data={data}", f"run={tmp_path / 'thesis.tex'}"]) == 2
    assert "is a file" in told(capsys)


def test_a_run_keeps_its_config(unbroken, capsys):
    assert main(["train", f"run={unbroken}", "resume=true", "optim.lr=0.5"]) == 2
    assert "optim.lr: " in told(capsys)
    assert main(["train", *SHORT, f"run={unbroken}", "resume=auto", "model=linear"]) == 2
    assert "model.dynamics" in told(capsys)
    assert main(["train", f"run={unbroken}", "resume=true", "trainer.stepz=3"]) == 2
    assert "trainer.stepz: no such key; did you mean" in told(capsys)


def test_more_steps_continue_a_complete_run(unbroken, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / checkpoint.LAST).write_bytes((unbroken / checkpoint.LAST).read_bytes())
    assert main(["train", f"run={run}", "resume=true", "stages.spread.trainer.steps=10"]) == 0
    assert checkpoint.load(run / checkpoint.LAST).step == 34


def test_checkpoints_that_do_not_fit_are_refused(unbroken, tmp_path, capsys):
    whole = (unbroken / checkpoint.LAST).read_bytes()
    (tmp_path / checkpoint.LAST).write_bytes(whole[: len(whole) // 2])
    assert main(["train", f"run={tmp_path}", "resume=true"]) == 2
    assert "is damaged" in told(capsys)
    (tmp_path / checkpoint.LAST).write_bytes((unbroken / checkpoint.BEST).read_bytes())
    assert main(["train", f"run={tmp_path}", "resume=true"]) == 2
    assert "no state of its training" in told(capsys)


def test_data_of_another_size_is_refused(unbroken, tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    (run / checkpoint.LAST).write_bytes((unbroken / checkpoint.LAST).read_bytes())
    make_data(other, "billiards", "train=2", "length=20", "image_size=16")
    capsys.readouterr()
    arguments = [f"run={run}", "resume=true", f"data={other}", "stages.spread.trainer.steps=10"]
    assert main(["train", *arguments]) == 2
    assert "height is 16, but the model was trained with height 32" in told(capsys)


def test_the_command_line_itself(capsys):
    assert main(["--help"]) == 0 and "usage:" in capsys.readouterr().out
    assert main([]) == 2 and "usage:" in capsys.readouterr().err
    assert main(["trian"]) == 2 and "no command trian; did you mean train?" in told(capsys)
