"""The commit of the code that runs, its environment, and the checksum of a file that it reads."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data_gen import __version__

ROOT = Path(__file__).parents[1]
CODE = ("seqvae", "data_gen", "configs")  # folders that decide what a training or an evaluation does
CHANGES = "+changes"
UNKNOWN, THEN = "unknown", ", then "
PACKAGES = ("torch", "numpy", "scipy", "h5py")  # that numbers depend on


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


def commits(before: str | None, now: str | None) -> str:
    """Return the commits of a training done at `before`, which may be several, and continued at `now`."""
    before, now = before or UNKNOWN, now or UNKNOWN
    return before if before.split(THEN)[-1] == now else f"{before}{THEN}{now}"


def environment() -> dict[str, str]:
    """Return the versions of this package, Python and the packages that numbers depend on, and the system."""
    versions = {"seqvae": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # torch built by hand, say
            versions[name] = UNKNOWN
    return versions | {"system": f"{platform.system()} {platform.machine()}"}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as in the card of a dataset."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
