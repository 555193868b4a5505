"""Sweeps: names for the folders of jobs, and their reports to the command that started them.

Jobs may run in other processes, or on other machines with the same file system, so they report through files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import FrameType

from data_gen.cli.signals import handlers
from data_gen.ending import last_words, leave, tell_at_signal
from data_gen.io import atomic_write

_LONGEST = 150  # characters of a file name, of the 255 bytes that file systems allow
_REPORTS = ".jobs"
STOPPED = "stopped; the same command goes on"


def file_name(text: str) -> str:
    """Return a valid file name for overrides like "optim.lr=0.1,seed=1", a different one for each text."""
    text = re.sub(r"(^|,)\+{1,2}", r"\1", text)  # ++key=value adds a key, which is no difference between jobs
    plain = re.sub(r"""[^\w=,.+\-\[\]]+""", "_", re.sub(r"""['"]""", "", text)).strip("_")
    if not plain:
        return "job"
    if plain == text and len(plain) <= _LONGEST and not plain.startswith("."):
        return plain
    return f"{plain[:_LONGEST].lstrip('.')}-{sha256(text.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Report:
    """End of one job, with its exit code."""

    name: str
    code: int


@dataclass(frozen=True)
class Sweep:
    """Jobs of a sweep in `folder`, as far as they have reported."""

    folder: Path

    @property
    def _reports(self) -> Path:
        return self.folder / _REPORTS

    @contextmanager
    def open(self) -> Iterator[None]:
        """Collect reports inside the context; remove them afterwards."""
        shutil.rmtree(self._reports, ignore_errors=True)
        self._reports.mkdir(parents=True)
        try:
            yield
        finally:
            shutil.rmtree(self._reports, ignore_errors=True)
            with suppress(OSError):  # not empty: jobs have written there
                self.folder.rmdir()

    def report(self, number: int, name: str, code: int) -> None:
        """Report the exit code of job `number`."""
        content = json.dumps([name, code]).encode()
        atomic_write(self._reports / f"{number}.json", lambda file: file.write(content))

    def reports(self) -> list[Report]:
        """Return the reports of all jobs that have ended, in order of their numbers."""
        files = sorted(self._reports.glob("[0-9]*.json"), key=lambda file: int(file.stem))
        return [Report(*json.loads(file.read_text())) for file in files]

    def stop(self, number: int) -> None:
        """Keep further jobs from starting, because of signal `number`."""
        (self._reports / "stop").write_text(str(number))

    @property
    def stopped(self) -> int | None:
        """Number of the signal that stopped the sweep, or None."""
        try:
            return int((self._reports / "stop").read_text())
        except (OSError, ValueError):
            return None


@contextmanager
def signals_stop(sweep: Sweep) -> Iterator[None]:
    """Stop the sweep after the running jobs at the first Ctrl-C or SIGTERM; end the process at the second."""

    def note(number: int, frame: FrameType | None) -> None:
        if sweep.stopped:
            leave(number)
        sweep.stop(number)
        tell_at_signal("stopping after the running jobs (again: stop at once)")

    with handlers(note), last_words(lambda: STOPPED):
        yield
