"""A reader that closes the output, such as `| head`, ends every command without a word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_gen.__main__ import main as data_gen
from seqvae.cli.main import main
from tests.cli.tiny import TINY


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", *TINY, f"data={data}", f"run={folder}"]) == 0
    return folder


def close(monkeypatch, name: str) -> None:
    """Let sys.stdout or sys.stderr write to a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, name, os.fdopen(writer, "w"))


COMMANDS: dict[str, tuple[Callable, str]] = {
    "usage": (main, "--help"),
    "version": (main, "--version"),
    "help": (main, "evaluate --help"),
    "usage of data_gen": (data_gen, "--help"),
    "generate": (data_gen, "sim=billiards train=0 val=0 test=2 length=12 image_size=16 workers=1 out={out}"),
    "preview": (data_gen, "preview data={data}/test.h5 out={out}"),
    "inspect": (main, "inspect {data}/test.h5 out={out}/sheet.png"),
    "rollout": (main, "rollout run={run} data={data}/test.h5 context=4 horizon=2 out={out}"),
    "evaluate": (main, "evaluate run={run} data={data}/test.h5 context=4 horizon=4 iwae=0 out={out}"),
    "report": (main, "report run={run} out={out}/page.html"),
    "sweep": (main, "inspect -m path={data}/test.h5,{data}/val.h5 out={out}/sheet.png"),
}


def words(text: str, data: Path, run: Path, out: Path) -> list[str]:
    return text.format(data=data, run=run, out=out).split()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_without_a_word(name, data, run, tmp_path, monkeypatch, capfd):
    program, text = COMMANDS[name]
    close(monkeypatch, "stdout")
    assert program(words(text, data, run, tmp_path)) == 1
    sys.stdout.close()  # flushes what is left, as the exit of Python does
    shown = capfd.readouterr().err.splitlines()
    assert all("job" in line for line in shown) if name == "sweep" else not shown


@pytest.mark.parametrize("text", ["train {tiny} data={data} run={out}/new", "evaluate run={out}/none"])
def test_messages_have_a_reader_who_is_gone_too(text, data, tmp_path, monkeypatch):
    text = text.replace("{tiny}", " ".join(TINY))
    for name in ("stdout", "stderr"):
        close(monkeypatch, name)
    assert main(words(text, data, tmp_path, tmp_path)) == 1
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_another_pipe_that_breaks_is_no_quiet_end(monkeypatch, capsys):
    def call(*_) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("seqvae.cli.inspect.run", call)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, pytest.raises(BrokenPipeError):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        main(["inspect", "x"])
    os.close(reader)


@pytest.mark.parametrize("program", ["seqvae", "data_gen"])
@pytest.mark.parametrize("reader", ["| true", "2>&1 | true", ">&-"])
def test_the_process_ends_without_a_word(program, reader):
    command = f"sleep 0.3; exec {sys.executable} -m {program} --help {reader}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("", "")
