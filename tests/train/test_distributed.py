"""Two processes that train together do what one does alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from seqvae import checkpoint
from seqvae.errors import UserError
from seqvae.train.runtime import Ranks
from tests.train import tiny

SCRIPT = """
import pathlib, sys
import torch
from seqvae import checkpoint
from seqvae.train.runtime import join_ranks
from tests.train import tiny

run = pathlib.Path(sys.argv[1])
ranks = join_ranks("cpu")
torch.set_num_threads(1)
trained = tiny.trainer(run, noise=False, ranks=ranks, batch_size=16, checkpoint_seconds=0.0)
torch.manual_seed(100 + ranks.rank)
trained.fit()
# every rank holds the weights that the first has saved
saved = checkpoint.load(run / checkpoint.LAST)
assert all(torch.equal(saved.model[name], value) for name, value in tiny.weights(trained).items())
ranks.close()
"""


def test_two_processes_take_the_updates_of_one_with_the_whole_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    subprocess.run([*command, script, tmp_path / "two"], check=True, timeout=120, env=environment)
    one = tiny.trainer(tmp_path / "one", noise=False, batch_size=16)
    one.fit()
    two = checkpoint.load(tmp_path / "two" / checkpoint.LAST)
    assert two.step == 20
    for name, value in tiny.weights(one).items():
        # the mean over 16 sequences and the mean of two means over 8 round differently, over 20 updates
        torch.testing.assert_close(two.model[name], value, rtol=1e-4, atol=1e-5)
    streams = two.training["rng"]
    assert len(streams) == 2 and not torch.equal(streams[0]["cpu"], streams[1]["cpu"])


def test_a_batch_that_does_not_divide_is_refused():
    assert Ranks(size=3).share(12) == 4
    with pytest.raises(UserError, match="batch_size=16 does not divide among 3"):
        Ranks(size=3).share(16)
