"""What a killed process leaves is removed by the next one; a folder has one writer at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_gen.__main__ import main
from data_gen.errors import DataError
from data_gen.io import atomic_path, atomic_write
from data_gen.locks import TEMPORARY, open_locked, output_folder, remove_leftovers
from tests.refusals import refusal

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from data_gen.io import atomic_path
from data_gen.locks import output_folder
folder = Path(sys.argv[1])
with output_folder(folder), atomic_path(folder / "train.h5") as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process in the middle of a file, in `tmp_path / "out"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def enter(folder: Path) -> None:
    with output_folder(folder, "run"):
        pass


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path, writer):
    out = tmp_path / "out"
    unfinished = [f"{TEMPORARY}{writer.pid}-train.h5", f"{TEMPORARY}lock"]
    assert names(out) == unfinished
    atomic_write(out / "val.h5", lambda file: file.write(b"whole"))
    assert names(out) == [*unfinished, "val.h5"]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert names(out) == [*unfinished, "val.h5"]
    atomic_write(out / "test.h5", lambda file: file.write(b"whole"))
    assert names(out) == ["test.h5", "val.h5"]


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path, writer):
    out = tmp_path / "out"
    line = refusal(enter, out, error=DataError)
    assert line.startswith(f"run={out}: another command is writing there; ")
    assert f"{TEMPORARY}lock" in names(out)
    writer.send_signal(signal.SIGKILL)
    with output_folder(out):  # before its death is known, too
        assert f"{TEMPORARY}lock" in names(out)
    assert f"{TEMPORARY}lock" not in names(out)


def test_own_unfinished_files_and_those_of_other_programs_stay(tmp_path):
    kept = [tmp_path / f"{TEMPORARY}notes", tmp_path / f"x{TEMPORARY}1-a", tmp_path / f"{TEMPORARY}1-folder"]
    kept[0].write_text("of a user")
    kept[1].write_text("of a user")
    kept[2].mkdir()
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        remove_leftovers(tmp_path)
        assert temporary.read_text() == "half"
    (tmp_path / f"{TEMPORARY}{os.getpid()}-b.txt").write_text("of an earlier process with this number")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(["a.txt", *(path.name for path in kept)])


def test_parts_are_written_at_the_same_time_and_each_by_one(tmp_path):
    def write(part: str) -> None:
        with output_folder(tmp_path, part=part):
            pass

    with output_folder(tmp_path, part="0-of-2"):
        write("1-of-2")
        assert "another command is writing there" in refusal(write, "0-of-2", error=DataError)
        remove_leftovers(tmp_path)
        assert names(tmp_path) == [f"{TEMPORARY}lock-0-of-2"]
    assert names(tmp_path) == []


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    path, open_path = tmp_path / f"{TEMPORARY}1-a.txt", Path.open
    opened = []

    def open_and_lose(self, *arguments):
        file = open_path(self, *arguments)
        if not opened:
            self.unlink()  # as remove_leftovers of another process
        opened.append(file)
        return file

    monkeypatch.setattr(Path, "open", open_and_lose)
    lock = open_locked(path)
    assert lock is not None and lock is opened[1]
    remove_leftovers(tmp_path)
    assert path.exists()
    lock.close()
    opened[0].close()


SMALL = ["sim=billiards", "train=65", "val=0", "test=0", "length=2", "image_size=8"]
WRITERS = {
    "generate": (SMALL, False),
    "shard": ([*SMALL, "shards=2", "shard=1"], True),
    "record": (["record", "env=seqvae/Avoidance-v0", "image_size=8", "episodes=3", "steps=2"], False),
}


@pytest.mark.parametrize(("words", "free"), WRITERS.values(), ids=WRITERS)
def test_commands_keep_to_the_writer_of_the_folder(tmp_path, capsys, words, free):
    busy = output_folder(tmp_path, part="0-of-2") if free else output_folder(tmp_path)
    with busy:
        code = main([*words, f"out={tmp_path}"])
    err = capsys.readouterr().err
    assert (code, "another command is writing there" in err) == ((0, False) if free else (2, True))
    assert bool(names(tmp_path)) == free
