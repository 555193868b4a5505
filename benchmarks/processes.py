"""Commands in processes that begin warm: forks of this one, which has imported what they need.

They are processes of their own in everything that counts here: memory, files, locks, signals and limits.
"""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

import torch

from data_gen.__main__ import main as data_gen
from seqvae.__main__ import main as seqvae
from seqvae.cli.main import COMMANDS

PROGRAMS = {"seqvae": seqvae, "data_gen": data_gen}


def warm_up() -> None:
    """Import what the commands import late, and leave this process with one thread."""
    torch.set_num_threads(1)
    for command in COMMANDS.values():
        if command.name not in ("play", "report", "compare"):
            importlib.import_module(command.function.partition(":")[0])
    for name in ("data_gen.convert", "data_gen.preview", "data_gen.cli.run", "data_gen.formats.arrays"):
        importlib.import_module(name)


@dataclass(frozen=True)
class Ended:
    """The end of a command. code: exit code, or -signal; lines: what it printed on stderr"""

    code: int
    lines: tuple[str, ...]


class Started:
    """A command at work. words: program, and the words of its command line"""

    def __init__(self, words: Sequence[str], prepare: Callable[[], object] = lambda: None) -> None:
        """Start it. prepare: called in the new process first, such as for limits"""
        program, *rest = words
        self.printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by `wait`
        self.process = os.fork()
        if self.process == 0:
            _become(program, rest, self.printed.fileno(), prepare)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.process, number)

    def wait(self, seconds: float = 600.0) -> Ended:
        """Wait for its end; kill it after some seconds, with code -9."""
        end = time.monotonic() + seconds
        while True:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                break
            if time.monotonic() > end:
                self.kill()
            time.sleep(0.005)
        self.printed.seek(0)
        text = self.printed.read().decode(errors="replace")
        self.printed.close()
        return Ended(
            os.waitstatus_to_exitcode(status), tuple(line for line in text.splitlines() if line.strip())
        )


def run(words: Sequence[str], prepare: Callable[[], object] = lambda: None, seconds: float = 600.0) -> Ended:
    """Run a command to its end."""
    return Started(words, prepare).wait(seconds)


def _become(program: str, words: Sequence[str], printed: int, prepare: Callable[[], object]) -> None:
    """Become a process that runs a command; its standard output is dropped."""
    code = 70
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(printed, 2)
        prepare()
        code = PROGRAMS[program](list(words))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
