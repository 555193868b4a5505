"""Commands as forks of this process, which has imported torch: they begin at once, and may be killed.

A part of faults.py.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import seqvae.cli.evaluate
import seqvae.cli.export
import seqvae.cli.rollout
import seqvae.cli.train  # noqa: F401  imported once, here
from data_gen.cli.main import main as data_gen
from data_gen.ending import run_process
from seqvae.cli.main import main as seqvae_main

PROGRAMS = {"data_gen": data_gen, "seqvae": seqvae_main}
PATIENCE = 600  # seconds for a command to end

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Ended:
    """The end of a command: its exit code, and its lines on stderr without those on progress."""

    code: int
    lines: list[str]

    def refused(self, *words: str, code: int = 2) -> bool:
        """Return whether it ended with this code in one line that holds the words."""
        return self.code == code and len(self.lines) == 1 and all(word in self.lines[0] for word in words)


class Command:
    """A running command: `words` begin with the program.

    prepare: called in the new process, before the command
    real: start `python -m PROGRAM`, as a user does
    """

    def __init__(
        self,
        words: Sequence[object],
        log: Path,
        prepare: Callable[[], Any] = lambda: None,
        real: bool = False,
    ):
        program, *rest = map(str, words)
        self.log = log
        self.process = _FORK.Process(target=_run, args=(program, rest, log, prepare, real))
        self.process.start()

    def kill(self, number: int = signal.SIGKILL, group: bool = False) -> None:
        """Send a signal to the process, or to all of its group, if it has not ended."""
        if self.process.exitcode is None and self.process.pid:
            (os.killpg if group else os.kill)(self.process.pid, number)

    def ended(self) -> Ended:
        """Wait for its end."""
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code is None:
            self.kill()
            self.process.join()
        return Ended(-signal.SIGKILL if code is None else code, told(self.log))


def told(log: Path) -> list[str]:
    """Return the lines on stderr that tell of an end, not of progress."""
    progress = ("training in ", "resuming ", "validation, ", "warning, ", "  ", "100%")
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [x for x in lines if x.strip() and not x.startswith(progress) and "%  step" not in x]


def run(words: Sequence[object], log: Path, prepare: Callable[[], Any] = lambda: None) -> Ended:
    """Run a command to its end."""
    return Command(words, log, prepare).ended()


def done(words: Sequence[object], log: Path) -> None:
    """Run a command that must succeed."""
    ended = run(words, log)
    if ended.code:
        raise RuntimeError(f"{' '.join(map(str, words))}: {ended.code} {ended.lines}")


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def wait_until(condition: Callable[[], Any], command: Command, seconds: float = PATIENCE) -> bool:
    """Wait until a condition holds; return False where the command ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and command.process.exitcode is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def _run(program: str, words: list[str], log: Path, prepare: Callable[[], Any], real: bool) -> None:
    os.setsid()
    for number, flags in ((1, os.O_WRONLY), (2, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        file = os.open(os.devnull if number == 1 else log, flags, 0o600)
        os.dup2(file, number)
    if real:
        prepare()
        os.execv(sys.executable, [sys.executable, "-m", program, *words])
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = [program, *words]
    prepare()
    run_process(program, PROGRAMS[program])
