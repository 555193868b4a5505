"""Places that fail, and strangers' folders: python benchmarks/survival.py

Print, per case, whether it ended as it must and the line that was printed. Commands meet a full disk, folders
and files that they may not write or read, a folder that is removed under them, and a second command in their
folder: each must end in one line, without a traceback, and leave what was there before. Then folders of a
stranger are used, under a watch for code that runs, files that are opened and connections that are made.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch
from kills import TRAIN, leftovers, make_samples, trained, works
from processes import Ended, Started, run, warm_up
from strangers import CASES as STRANGERS

from seqvae import checkpoint

Result = tuple[bool, str]


def one_line(ended: Ended, *codes: int) -> bool:
    """Return whether a command ended with one of these codes, and told why in one line, its last."""
    no_traceback = not any("Traceback" in line for line in ended.lines)
    said = [line for line in ended.lines if line.startswith(("seqvae ", "data_gen"))]
    return ended.code in codes and no_traceback and len(said) == 1 and said[0] == ended.lines[-1]


def last(ended: Ended) -> str:
    return f"{ended.code}: {ended.lines[-1] if ended.lines else ''}"


def limit_files(size: int) -> None:
    """Let this process write no file beyond a size, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def as_anybody() -> None:
    """Give up the rights of the superuser to pass by permissions (capabilities 1 and 2 of Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits each
    assert libc.capget(header, sets) == 0
    for i in (0, 1):
        sets[i] &= ~0b110
    assert libc.capset(header, sets) == 0


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[bool]:
    """Mount a disk of `size` bytes; yield False where that is not allowed."""
    place.mkdir()
    mounted = os.system(f"mount -t tmpfs -o size={size} tmpfs {place} 2> {os.devnull}") == 0
    try:
        yield mounted
    finally:
        if mounted:
            os.system(f"umount {place}")


# ---- full disks


def full(name: str, samples: Path, work: Path) -> Result:
    """Run a command that meets a full disk, then again with room: nothing may be lost or left."""
    job = works(work, samples)[name](work / "full")
    sizes = {"train": 30_000, "export": 10_000, "rollout": 3000, "evaluate": 600}
    ended = run(job.words, partial(limit_files, sizes.get(name, 5000)))
    tidy = not job.out.exists() or not leftovers(job.out)
    again = run(job.words)
    shutil.rmtree(job.out, ignore_errors=True)
    return one_line(ended, 1, 2) and tidy and again.code == 0, last(ended)


def full_later(samples: Path, work: Path) -> Result:
    """Fill a small disk under a training, make room, and go on to the weights of the unbroken run."""
    with small_disk(work / "disk", 2**26) as mounted:
        if not mounted:
            return True, "not tried: no disk may be mounted here"
        out, filler = work / "disk" / "run", work / "disk" / "filler"
        words = ("seqvae", "train", *TRAIN, f"data={samples / 'data'}", f"run={out}", "resume=auto")
        started = Started(words)
        while not (out / checkpoint.LAST).is_file():
            time.sleep(0.01)
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        ended = started.wait()
        checkpoint.load(out / checkpoint.LAST)
        filler.unlink(missing_ok=True)
        again = run(words)
        equal = again.code == 0 and trained(out) == trained(samples / "run")
        return one_line(ended, 1) and equal and not leftovers(out), last(ended)


# ---- permissions


def read_only(name: str, samples: Path, work: Path) -> Result:
    """Run a command in a folder that it may not write."""
    place = work / "read_only"
    place.mkdir(mode=0o555)
    job = works(work, samples)[name](place / "out")
    ended = run(job.words, as_anybody)
    empty = not any(place.iterdir())
    place.rmdir()
    return one_line(ended, 1, 2) and empty, last(ended)


def unreadable(words: Sequence[str], file: Path, samples: Path, work: Path) -> Result:
    """Run a command on a file that it may not read, and in a folder that it may not enter."""
    out = work / "own"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    results = []
    for place in (file, file.parent):
        mode = place.stat().st_mode
        place.chmod(0)
        ended = run([*words, f"out={out / 'out.png'}"], as_anybody)  # inspect wants such a name
        place.chmod(mode)
        text = " ".join(ended.lines)
        results.append(one_line(ended, 2) and "ermission" in text and "overwrite" not in text)
    shutil.rmtree(out)
    return all(results), last(ended)


# ---- folders that vanish, or have two users


def removed(name: str, samples: Path, work: Path) -> Result:
    """Remove the folder of a command while it writes there."""
    job = works(work, samples)[name](work / "removed")
    started, end = Started(job.words), time.monotonic() + 120
    while not job.out.is_dir() or not any(job.out.iterdir()):
        if time.monotonic() > end:
            break
        time.sleep(0.002)
    while job.out.exists() and time.monotonic() < end:
        shutil.rmtree(job.out, ignore_errors=True)
    ended = started.wait()
    shutil.rmtree(job.out, ignore_errors=True)
    return one_line(ended, 1, 2), last(ended)


def two(name: str, samples: Path, work: Path) -> Result:
    """Start a second command of the same words in the folder of the first one, which goes on."""
    job = works(work, samples)[name](work / "two")
    first = Started(job.words)
    while not job.out.is_dir() or not leftovers(job.out):
        time.sleep(0.001)
    first.kill(signal.SIGSTOP)
    second = run(job.words)
    first.kill(signal.SIGCONT)
    done = first.wait()
    found = job.content(job.out)
    shutil.rmtree(job.out)
    run(job.words)
    equal = job.content(job.out) == found
    shutil.rmtree(job.out)
    return one_line(second, 2) and done.code == 0 and equal, last(second)


def cases(samples: Path, work: Path) -> dict[str, Callable[[], Result]]:
    """Return all cases by name."""
    names = ("train", "data_gen", "import", "evaluate", "rollout", "export")
    data, model = samples / "data" / "test.h5", samples / "run" / "best.pt"
    roll = ("seqvae", "rollout", f"run={samples / 'run'}", f"data={data}")
    load = ("data_gen", "import", "format=arrays", f"data={samples / 'foreign.npz'}")
    inspect = ("seqvae", "inspect", str(data))
    found: dict[str, Callable[[], Result]] = {}
    for name in names:
        found[f"disk full, {name}"] = partial(full, name, samples, work)
    found["disk full during a training, then room"] = partial(full_later, samples, work)
    for name in names:
        found[f"read-only folder, {name}"] = partial(read_only, name, samples, work)
    found["data not readable, rollout"] = partial(unreadable, roll, data, samples, work)
    found["checkpoint not readable, rollout"] = partial(unreadable, roll, model, samples, work)
    found["data not readable, import"] = partial(unreadable, load, samples / "foreign.npz", samples, work)
    found["data not readable, inspect"] = partial(unreadable, inspect, data, samples, work)
    for name in ("train", "data_gen", "import"):
        found[f"folder removed, {name}"] = partial(removed, name, samples, work)
        found[f"two in one folder, {name}"] = partial(two, name, samples, work)
    return found | {name: partial(case, samples, work) for name, case in STRANGERS.items()}


def report(words: Sequence[str] = ()) -> bool:
    """Print the table; return whether all ended as they must. words: of the names of cases to try"""
    warm_up()
    good = True
    print("| case | as it must | ended |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)
        samples = make_samples(work / "samples")
        for name, case in cases(samples, work).items():
            if words and not any(word in name for word in words):
                continue
            is_right, line = case()
            good &= is_right
            line = line.replace(f"{work}/", "").replace("|", "\\|")
            print(f"| {name} | {'yes' if is_right else '**no**'} | {line} |", flush=True)
    return good


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(0 if report(sys.argv[1:]) else 1)
