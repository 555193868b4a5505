"""Place of a run: its folder, and whether a training starts there or continues; known without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_gen.cli.command import Job
from seqvae.errors import UserError

LAST = "last.pt"  # seqvae.checkpoint.LAST, which takes the import of torch


@dataclass(frozen=True)
class Place:
    """Keys of the command for the place of a run.

    run: folder; None for a new one
    resume: False to start there, True to continue, "auto" for the one that is possible
    """

    run: str | None = None
    resume: bool | str = False

    def __post_init__(self):
        if self.resume not in (True, False, "auto"):
            raise UserError(f"resume={self.resume}: expected true, false or auto")
        if self.run is None and self.resume is True:
            raise UserError("resume=true: say which run, run=DIR")

    def of(self, job: Job) -> Place:
        """Return the place of a job: in a sweep its own folder, with `auto` as the default of `resume`."""
        if job.folder is None:
            return self
        return Place(str(job.folder), self.resume if "resume" in job.asked else "auto")

    @property
    def checkpoint(self) -> Path | None:
        """Last checkpoint in the folder, if there is one."""
        last = None if self.run is None else Path(self.run) / LAST
        return last if last is not None and last.is_file() else None
