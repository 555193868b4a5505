"""The origin of a training's numbers: the commit of the code, versions of packages, checksums of data."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data_gen import __version__

ROOT = Path(__file__).parents[1]
CODE = ("seqvae", "data_gen", "configs")  # folders that decide what a training or an evaluation does
CHANGES = "+changes"
UNKNOWN, THEN = "unknown", ", then "


def git_commit(root: Path = ROOT) -> str | None:
    """Return the commit of the checkout `root`, with "+changes" where its code differs; None outside of git.

    The code differs where a file in CODE is changed, added or deleted, also one that git does not track.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", f"{CODE[0]}/__init__.py")  # else in a foreign checkout
        changed = git("status", "--porcelain", "--untracked-files=normal", "--", *CODE)
        return git("rev-parse", "HEAD") + (CHANGES if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """Return the versions of this library and of what its numbers depend on, by name."""
    return {
        "seqvae": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def commits(before: str | None, now: str | None) -> str:
    """Return the commits of a training done at `before`, which may be several, and continued at `now`."""
    before, now = before or UNKNOWN, now or UNKNOWN
    return before if before.split(THEN)[-1] == now else f"{before}{THEN}{now}"


@dataclass(frozen=True)
class Provenance:
    """Origin of a training, as checkpoints, cards and metrics tell it; None where it is not known.

    Of a training that was continued elsewhere, each value names all of them: "2.9.1, then 2.13.0".

    commit: commit of the code, with "+changes" if the code differed from it
    versions: seqvae, python, torch, numpy -> version
    data: file of the training or validation -> SHA-256
    """

    commit: str | None = None
    versions: dict[str, str] | None = None
    data: dict[str, str] | None = None

    @classmethod
    def now(cls, data: Mapping[str, str]) -> Provenance:
        """Return the origin of a training that begins now. data: file -> SHA-256."""
        return cls(git_commit() or UNKNOWN, versions(), dict(data))

    def after(self, before: Provenance) -> Provenance:
        """Return the origin of a training that began as `before` says and is continued as this one says."""
        return Provenance(
            commits(before.commit, self.commit),
            _join(before.versions, self.versions),
            _join(before.data, self.data),
        )

    def lines(self) -> list[str]:
        """Return the origin in lines for people."""
        of_packages = ", ".join(f"{name} {version}" for name, version in (self.versions or {}).items())
        of_data = [f"sha256 of {file}: {digest}" for file, digest in (self.data or {}).items()]
        return [f"commit {self.commit or UNKNOWN}", *filter(None, [of_packages]), *of_data]


def _join(before: Mapping[str, str] | None, now: Mapping[str, str] | None) -> dict[str, str]:
    """Return `commits` of each name's value; a name that only one of the two has keeps its value."""
    now = now or {}
    before = dict.fromkeys(now, UNKNOWN) if before is None else before
    return {**before, **{key: commits(before[key], x) if key in before else x for key, x in now.items()}}


def environment() -> dict[str, str]:
    """Return `versions`, and the system, of this process."""
    return versions() | {"system": f"{platform.system()} {platform.machine()}"}
