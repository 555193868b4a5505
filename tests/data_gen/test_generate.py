"""The command makes the same arrays with any number of processes, and reports errors in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_gen.__main__ import main
from data_gen.errors import DataError
from data_gen.generate import read_settings
from data_gen.schema import read_info
from data_gen.sims.billiards import Billiards
from data_gen.sims.charged import Charged
from data_gen.splits import BLOCK, Split, make_sequences, write_split
from tests.data_gen.foreign import contents

SMALL = ("train=3", "val=2", "test=1", "length=5", "image_size=8", "workers=1")
ROOT = Path(__file__).parents[2]


def run(folder, *arguments):
    return main([f"out={folder}", *SMALL, *arguments])


def test_defaults_are_those_of_the_protocol():
    settings = read_settings([])
    assert (settings.train, settings.val, settings.test, settings.length) == (1000, 100, 300, 100)
    assert settings.out == "data/billiards" and settings.image_size == 32 and settings.sim["num_balls"] == 3


def test_writes_three_files_with_everything_in_them(tmp_path, capsys):
    assert run(tmp_path) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "test.h5", "train.h5", "val.h5"]
    info = read_info(tmp_path / "train.h5")
    assert (info.sequences, info.length, info.height, info.simulator) == (3, 5, 8, "billiards")
    assert info.config["simulator"]["radius"] == 1.2 and info.coord_limit == 10.0 and info.num_actions == 0
    assert "masks" not in info.keys and "actions" not in info.keys
    assert {"positions", "velocities", "sizes", "ids", "collisions", "rewards"} <= set(info.keys)
    assert capsys.readouterr().out.count("\n") == 3


def test_a_size_of_zero_makes_no_file(tmp_path):
    assert run(tmp_path, "val=0", "test=0") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "train.h5"]


def test_existing_files_are_kept_unless_overwrite(tmp_path, capsys):
    assert run(tmp_path) == 0
    before = (tmp_path / "train.h5").stat().st_mtime_ns
    assert run(tmp_path) == 0
    assert capsys.readouterr().out.count("already there") == 3
    assert run(tmp_path, "seed=1") == 2
    assert "seed=0, not 1" in capsys.readouterr().err
    assert (tmp_path / "train.h5").stat().st_mtime_ns == before
    first = contents(tmp_path / "train.h5")
    assert run(tmp_path, "seed=1", "overwrite=true") == 0
    assert (contents(tmp_path / "train.h5")["imgs"] != first["imgs"]).any()


def test_a_damaged_file_is_neither_kept_nor_replaced_silently(tmp_path, capsys):
    (tmp_path / "val.h5").write_bytes(b"something")
    assert run(tmp_path) == 2
    assert "val.h5: exists, but is no whole dataset" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["val.h5"]


def test_processes_do_not_change_the_file(tmp_path):
    world = Charged(radius={"min": 0.4, "max": 0.8})
    split = Split(world, "train", 9 * BLOCK - 5, 3, 8, seed=4)  # three tasks
    for workers in (1, 2):
        write_split(tmp_path / f"{workers}.h5", split, "charged", workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    arrays = make_sequences(split, 0, split.sequences)
    written = contents(tmp_path / "1.h5")
    assert arrays.keys() == written.keys()
    for key in arrays:
        np.testing.assert_array_equal(written[key], arrays[key])


def test_tasks_too_large_for_memory_are_divided(tmp_path, monkeypatch):
    split = Split(Billiards(), "train", BLOCK + 7, 3, 8, seed=4)
    write_split(tmp_path / "full.h5", split, "billiards", workers=1)
    monkeypatch.setattr("data_gen.splits._TASK_BYTES", 10 * 3 * 8 * 8 * 3)  # ten sequences
    write_split(tmp_path / "cut.h5", split, "billiards", workers=1)
    for key, array in contents(tmp_path / "full.h5").items():
        np.testing.assert_array_equal(contents(tmp_path / "cut.h5")[key], array)


BAD = {
    "fish=1": "fish",
    "+fish=1": "fish",
    "sim.fish=1": "sim.fish",
    "sim.num_bals=1": "sim.num_bals: unknown to Billiards; did you mean num_balls?",
    "lenght=3": "lenght: no such key; did you mean length?",
    "frames=3": "frames: no such key; did you mean length?",
    "random_seed=3": "random_seed: no such key; did you mean seed?",
    "environment=gravity": "environment: no such key; did you mean sim?",
    "zzz=1": "zzz: no such key; known: image_size, length, name, out, overwrite, plugins, seed, shard,",
    "sim=biliards": "sim=biliards: no such simulator; did you mean billiards",
    "+sim.fish=1": "sim.fish",
    "sim=fish": "sim=fish: no such simulator; known: atari, avoidance, avoidance_steered, b",
    "fish": "fish",
    "train=-1": "train=-1",
    "train=many": "train=many",
    "length=0": "length=0",
    "length=2.5": "length=2.5",
    "image_size=0": "image_size=0",
    "image_size=100000": "image_size=100000",
    "seed=-1": "seed=-1",
    "seed=99999999999999999999": "seed=",
    "workers=0": "workers=0",
    "overwrite=perhaps": "overwrite=perhaps",
    "out=null": "out=None",
    "out=/dev/null/data": "out=/dev/null/data",
    "length=${fish}": "fish",
    "sim.radius=[1,2]": "sim.radius=[1, 2]: must have 3 numbers",
    "sim.mass={min:2,max:1}": "sim.mass.max=1",
    "sim.speed=20": "take at least sim.substeps=34",
    "sim.radius=6": "sim.radius=6",
    "sim.colors=[pink]": "pink",
    "sim._target_=os.system": "_target_",
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, capsys, argument):
    assert run(tmp_path / "new", argument) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.err.startswith("data_gen: ")
    assert BAD[argument] in captured.err and captured.out == ""
    assert not (tmp_path / "new").exists() or list((tmp_path / "new").iterdir()) == []


def test_nothing_to_make_is_an_error(tmp_path, capsys):
    assert run(tmp_path, "train=0", "val=0", "test=0") == 2
    assert "nothing to make" in capsys.readouterr().err


def test_help_lists_simulators_and_options(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "billiards_drift" in out and "image_size" in out and "overwrite" in out


def test_workers_report_a_world_without_room(tmp_path):
    split = Split(Billiards(num_balls=5, radius=2.2), "train", 9 * BLOCK, 3, 8, seed=0)
    with pytest.raises(DataError, match="sim.num_balls=5"):
        write_split(tmp_path / "a.h5", split, "billiards", workers=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_removes_the_unfinished_file(tmp_path, sent):
    command = [sys.executable, "-m", "data_gen", f"out={tmp_path}", "train=1000000", "workers=1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + sent
    assert err == "data_gen: interrupted; finished files stay\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system knows no limit on file sizes")
@pytest.mark.parametrize("limit", [1_000, 100_000])
def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path, limit):
    """A limit on the size of files stands in for a full disk. HDF5 alone would crash the process at exit."""
    program = (
        "import resource, sys; from data_gen.__main__ import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        f"sys.exit(main(['out={tmp_path}', 'train=64', 'length=20', 'workers=1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"data_gen: {tmp_path}/train.h5: cannot be written (File too large); choose another folder\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_without_a_word_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ") and list(tmp_path.iterdir()) == []
