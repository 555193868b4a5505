"""Several processes that train together do what one does alone, noise included."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seqvae import checkpoint
from seqvae.errors import UserError
from seqvae.share import gather_rows, own_rows, rand_like, randn_like, sharing
from seqvae.train.logging import read_log
from seqvae.train.runtime import Ranks
from tests.train import tiny
from tests.worlds import make_data

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}

SCRIPT = """
import pathlib, sys
import torch
from seqvae import checkpoint
from seqvae.train.runtime import join_ranks
from tests.train import tiny

run = pathlib.Path(sys.argv[1])
ranks = join_ranks("cpu")
torch.set_num_threads(1)
trained = tiny.trainer(run, ranks=ranks, batch_size=16, checkpoint_seconds=0.0, steps=int(sys.argv[2]))
trained.fit()
# every rank holds the weights that the first has saved
saved = checkpoint.load(run / checkpoint.LAST)
assert all(torch.equal(saved.model[name], value) for name, value in tiny.weights(trained).items())
ranks.close()
"""


def same_weights(one: dict, other: dict) -> None:
    # the mean over 16 sequences and the mean of two means over 8 round differently, over 20 updates
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5, msg=name)


def alone(run: Path, steps: int, after: checkpoint.Checkpoint | None = None) -> checkpoint.Checkpoint:
    """What one process makes of the whole batch."""
    trained = tiny.trainer(run, batch_size=16, steps=steps)
    if after is not None:
        trained.restore(after)
    trained.fit()
    return checkpoint.load(run / checkpoint.LAST)


def generator_of(saved: checkpoint.Checkpoint) -> torch.Tensor:
    assert saved.training is not None
    return saved.training["rng"][0]["cpu"]


def test_two_processes_take_the_updates_of_one_and_one_goes_on_with_theirs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    subprocess.run([*TORCHRUN, script, tmp_path / "two", "10"], check=True, timeout=300, env=ENVIRONMENT)
    two, one = checkpoint.load(tmp_path / "two" / checkpoint.LAST), alone(tmp_path / "one", 10)
    same_weights(one.model, two.model)
    assert torch.equal(generator_of(one), generator_of(two))
    same_weights(alone(tmp_path / "one", 20, one).model, alone(tmp_path / "two", 20, two).model)


def test_shares_of_noise_are_rows_of_that_of_the_whole_batch():
    like = torch.zeros(6, 2)
    for draw in (randn_like, rand_like):
        torch.manual_seed(1)
        whole = draw(like)
        for rank in range(3):
            torch.manual_seed(1)
            with sharing(rank, 3):
                assert torch.equal(draw(like[:2]), whole[rank::3])
                assert torch.equal(own_rows(whole), whole[rank::3])
    assert gather_rows(whole) is whole and own_rows(whole) is whole


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "billiards"
    return make_data(folder, "billiards", "train=35", "val=2", "length=20") / "train.h5"


STAGES = ("objects", "places", "motion", "spread")
ONLINE = ["data=online", "sim=billiards", "online.length=20", "online.sequences=300", "workers=1"]


def words(*more: str, stages: tuple[str, ...] = STAGES) -> list[str]:
    """The command of a tiny training in some of the recipe's stages."""
    keys = ("trainer.steps=3", "trainer.batch_size=6", "trainer.clip_length=9")
    return [
        *("-m", "seqvae", "train", "experiment=stove_billiards", "trainer.log_every=1"),
        # a large eps makes updates proportional to gradients: rounding decides the sign of those near zero
        *("optim.eps=1", "threads=1", "device=cpu"),
        *(f"stages.{stage}.{key}" for stage in stages for key in keys),
        *(f"~stages.{stage}" for stage in STAGES if stage not in stages),
        *more,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "stages"),
    [
        ([], STAGES),  # 35 sequences, of which the first process encodes 19
        (
            ONLINE,
            ("motion",),
        ),  # 300, of which it encodes 256. With frames each process has sequences of its own
    ],
    ids=["file", "online"],
)
def test_two_processes_do_what_one_does(source, stages, data, tmp_path):
    command = words(*(source or [f"data={data}"]), stages=stages)
    for name, start in {"one": [sys.executable], "two": TORCHRUN}.items():
        run = f"run={tmp_path / name}"
        subprocess.run([*start, *command, run], check=True, timeout=900, env=ENVIRONMENT)
    one, two = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("one", "two"))
    same_weights(one.model, two.model)
    logs = [[x for x in read_log(tmp_path / name) if x["kind"] == "train"] for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) == 3 * len(stages)
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"kind", "elapsed", "frames_per_second"}:
            assert b[name] == pytest.approx(a[name], rel=1e-4, abs=1e-4), (a["step"], name)


def start_rank(command: list[str], rank: int, port: int, folder: Path) -> subprocess.Popen:
    """Process number `rank` of two that a scheduler starts without torchrun."""
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    with open(folder / f"said_{rank}", "w") as said:
        return subprocess.Popen(
            [sys.executable, *command],
            env=ENVIRONMENT | place | {"MASTER_PORT": str(port)},
            stderr=said,
        )


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_the_death_of_one_process_ends_the_other_with_one_line(killed, data, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = tmp_path / "run"
    command = words("stages.objects.trainer.steps=100000", f"data={data}", f"run={run}")
    processes = [start_rank(command, rank, port, tmp_path) for rank in range(2)]
    while not (run / "log.jsonl").is_file() or len(read_log(run)) < 3:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    processes[killed].send_signal(signal.SIGKILL)
    assert processes[1 - killed].wait(timeout=60) == 1
    lines = (tmp_path / f"said_{1 - killed}").read_text().splitlines()
    said = [line for line in lines if "training in" not in line and "step " not in line]
    assert len(said) == 1 and said[0].startswith("seqvae train: another process of this training has ended; ")
    assert "torchrun --nproc-per-node 2 -m seqvae train" in said[0]


def test_a_batch_that_does_not_divide_is_refused():
    assert Ranks(size=3).share(12) == 4
    with pytest.raises(UserError, match="batch_size=16 does not divide among 3"):
        Ranks(size=3).share(16)
