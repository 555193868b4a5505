"""Folders of a stranger: none of their code runs, no file outside is read, and no connection is made."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from isolated import DONE, REFUSED, Outcome, command, isolated

import seqvae
from seqvae import checkpoint
from seqvae.__main__ import main
from seqvae.report.read import read_run

Result = tuple[bool, str]
MARK = "ran code"  # the name of the file that a stranger's code would make
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
# programs that the library starts: for the commit, to write a video, and to compile its own C code
TOOLS = ("git", "ffmpeg", "ffplay", "cc", "gcc", "clang", "uname")


class Trap:
    """An object that makes a file if it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


class Trespass(Exception):
    """A program, a connection, or a file outside of the allowed folders."""


def watched(call: Callable[[], Any], allowed: tuple[Path, ...]) -> None:
    """Call; stop a program, a connection, and a file outside of the allowed folders, and raise Trespass."""
    places = tuple(str(path.resolve()) for path in (*allowed, *_own_places()))
    found: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        trespass = _trespass(event, arguments, places)
        if trespass is not None:
            found.append(trespass)
            raise PermissionError(trespass)

    sys.addaudithook(watch)
    try:
        call()
    finally:
        if found:  # whatever became of the error on its way here
            raise Trespass("; ".join(found))


def _trespass(event: str, arguments: tuple[Any, ...], places: tuple[str, ...]) -> str | None:
    """Say what an event of Python's audit would do that it must not; None if nothing."""
    if event in PROGRAMS and not Path(str(arguments[0])).name.startswith(TOOLS):
        return f"the program {arguments[0]} is started"
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request"):
        return f"a connection is made: {event}"
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith(places):
            return f"{path} is opened"
    return None


def _own_places() -> tuple[Path, ...]:
    """Return the folders of the library, of Python and of the system that any program reads."""
    root = Path(seqvae.__file__).parents[1]
    system = ("/proc", "/sys", "/dev", "/usr", "/etc/fonts", "/etc/localtime", "/lib", "/etc/ld.so.cache")
    compiled = Path(tempfile.gettempdir()) / f"seqvae_native_{os.getuid()}"
    return (root, compiled, Path(sys.prefix), Path(sys.base_prefix), *map(Path, system))


# ---- the folders


def _changed(samples: Path, folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    shutil.copytree(samples / "run", folder)
    for name in (checkpoint.BEST, checkpoint.LAST):
        content = torch.load(folder / name, weights_only=True)
        change(content)
        torch.save(content, folder / name)


def _plugin(samples: Path, folder: Path, mark: Path) -> None:
    """Name a plugin that lies in the folder."""
    plugin = folder / "plugin.py"
    _changed(samples, folder, lambda content: content["config"].update(plugins=[str(plugin)]))
    text = f"import pathlib\npathlib.Path({str(mark)!r}).mkdir()\n"
    for name in ("plugin.py", "conftest.py", "sitecustomize.py", "__init__.py", "torch.py"):
        (folder / name).write_text(text)


def _target(samples: Path, folder: Path, mark: Path) -> None:
    """Name a function of the system as a part."""
    frame = {"_target_": "os.mkdir", "path": str(mark)}
    _changed(samples, folder, lambda content: content["config"]["model"].update(frame=frame))


def _pickled(samples: Path, folder: Path, mark: Path) -> None:
    """Put an object with code into the checkpoint."""
    _changed(samples, folder, lambda content: content.update(scores={"loss": Trap(mark)}))


def _interpolated(samples: Path, folder: Path, mark: Path) -> None:
    """Leave a config alone, with a tag of Python and the environment in it."""
    shutil.copytree(samples / "run", folder)
    for name in (checkpoint.BEST, checkpoint.LAST):
        (folder / name).unlink()
    tag = f"!!python/object/apply:os.mkdir [{str(mark)!r}]"
    (folder / "config.yaml").write_text(f"model: {tag}\nsecret: ${{oc.env:HOME}}\n")


def _named_data(samples: Path, folder: Path, mark: Path) -> None:
    """Name a file outside of the folder as the data."""
    names = {"data": str(mark.parent / "outside"), "val": "/etc/passwd"}
    _changed(samples, folder, lambda content: content["config"].update(names))


FOLDERS = {
    "a plugin in the folder": _plugin,
    "a function of the system as a part": _target,
    "an object with code": _pickled,
    "a tag of Python in config.yaml": _interpolated,
    "data outside of the folder": _named_data,
}


# ---- what is done with them


def _load(folder: Path, samples: Path, out: Path) -> None:
    seqvae.load(folder)


def _read(folder: Path, samples: Path, out: Path) -> None:
    read_run(folder)


def _rollout(folder: Path, samples: Path, out: Path) -> None:
    words = [f"data={samples / 'data' / 'test.h5'}", "context=4", "horizon=4", "threads=1"]
    command(main, ["rollout", f"run={folder}", f"out={out}", *words])


def _export(folder: Path, samples: Path, out: Path) -> None:
    command(main, ["export", f"run={folder}", f"out={out}"])


USES = {"load": _load, "read for a report": _read, "rollout": _rollout, "export": _export}


def use(make: Callable[[Path, Path, Path], None], samples: Path, work: Path) -> Result:
    """Make a stranger's folder, and use it in all ways, each in a process of its own."""
    folder, mark, out = work / "stranger", work / MARK, work / "out"
    make(samples, folder, mark)
    ends = []
    for name, call in USES.items():
        outcome: Outcome = isolated(
            partial(watched, partial(call, folder, samples, out), (folder, samples, out, work / "out")), 60
        )
        shutil.rmtree(out, ignore_errors=True)
        ends.append((name, outcome))
    shutil.rmtree(folder)
    ran = mark.exists()
    shutil.rmtree(mark, ignore_errors=True)
    wrong = [f"{name}: {o.kind} {o.text[-200:]}" for name, o in ends if o.kind not in (DONE, REFUSED)]
    if ran or wrong:
        return False, "its code ran" if ran else "; ".join(wrong).replace("\n", " ")
    return True, ", ".join(f"{name} {outcome.kind}" for name, outcome in ends)


CASES = {f"stranger: {name}": partial(use, make) for name, make in FOLDERS.items()}
