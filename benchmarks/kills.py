"""Commands that are killed and called again: python benchmarks/kills.py [KILLS [SEED]]

Kill KILLS (by default 100) commands with SIGKILL after a random share of the time that they take: trainings
of four stages, in turn with data_gen, import, evaluate, rollout and export. Call each again with the same
words, train with resume=auto. It must end with code 0, in files equal to those of a command that was not
killed, bit by bit, and leave no temporary file.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from processes import Started, run, warm_up

from data_gen.locks import TEMPORARY
from seqvae import checkpoint

STAGES = ("objects", "places", "motion", "spread")
TRAIN = (
    "experiment=stove_billiards",
    "threads=1",
    "workers=0",
    "trainer.log_every=2",
    "trainer.checkpoint_seconds=0",
    "trainer.context=4",
    "trainer.tracker=null",
    *(
        f"stages.{stage}.trainer.{key}"
        for stage in STAGES
        for key in ("steps=6", "batch_size=2", "clip_length=12", "validate_every=3")
    ),
)
PASSING = ("git_commit",)  # keys of records that have nothing to do with a kill


@dataclass(frozen=True)
class Work:
    """A command, and the comparison of what it writes.

    words: program and words
    out: folder that it writes
    content: function of this folder that returns all that must be equal
    """

    words: tuple[str, ...]
    out: Path
    content: Callable[[Path], Any]


def trained(run: Path) -> Any:
    """Return weights and scores of a run, and the weights' own record of what the next update depends on."""
    found = [checkpoint.load(run / name) for name in (checkpoint.LAST, checkpoint.BEST)]
    return [(c.step, c.scores, {name: x.numpy().tobytes() for name, x in c.model.items()}) for c in found]


def written(folder: Path) -> Any:
    """Return the digest of each file, and the content of archives and records without what passes."""
    found: dict[str, Any] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.name == "metrics.json":
            content = json.loads(file.read_text())
            found[file.name] = {key: value for key, value in content.items() if key not in PASSING}
        elif file.suffix == ".npz":  # an archive has the time at which it was written
            with np.load(file) as arrays:
                found[file.name] = {key: (x.shape, x.tobytes()) for key, x in arrays.items()}
        else:
            found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def works(work: Path, samples: Path) -> dict[str, Callable[[Path], Work]]:
    """Return, per command, the function of a new folder that makes its words."""
    data, run, foreign = samples / "data", samples / "run", samples / "foreign.npz"
    test = f"data={data / 'test.h5'}"

    def train(out: Path) -> Work:
        return Work(("seqvae", "train", *TRAIN, f"data={data}", f"run={out}", "resume=auto"), out, trained)

    def generate(out: Path) -> Work:
        sizes = ("train=96", "val=32", "test=32", "length=20", "workers=1", "overwrite=true")
        return Work(("data_gen", "sim=billiards", f"out={out}", *sizes), out, written)

    def import_(out: Path) -> Work:
        words = ("data_gen", "import", "format=arrays", f"data={foreign}", f"out={out}", "overwrite=true")
        return Work(words, out, written)

    def evaluate(out: Path) -> Work:
        scored = ("context=4", "horizon=4", "iwae=2", "videos=1", "threads=1")
        return Work(("seqvae", "evaluate", f"run={run}", test, f"out={out}", *scored), out, written)

    def rollout(out: Path) -> Work:
        return Work(
            ("seqvae", "rollout", f"run={run}", test, f"out={out}", "context=4", "horizon=30", "threads=1"),
            out,
            written,
        )

    def export(out: Path) -> Work:
        return Work(("seqvae", "export", f"run={run}", f"out={out}"), out, written)

    others = {"data_gen": generate, "import": import_, "evaluate": evaluate, "rollout": rollout}
    return {"train": train, **others, "export": export}


def make_samples(folder: Path) -> Path:
    """Make the data and the run that the commands read."""
    sizes = ("train=16", "val=4", "test=8", "length=16", "workers=1")
    commands: list[Sequence[str]] = [
        ("data_gen", "sim=billiards", f"out={folder / 'data'}", *sizes),
        ("seqvae", "train", *TRAIN, f"data={folder / 'data'}", f"run={folder / 'run'}"),
    ]
    for words in commands:
        ended = run(words)
        assert ended.code == 0, ended.lines
    with h5py.File(folder / "data" / "train.h5") as file:
        np.savez_compressed(folder / "foreign.npz", frames=np.repeat(file["imgs"][:], 8, 0))
    return folder


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files in a folder."""
    return [path.name for path in folder.rglob("*") if path.name.startswith(TEMPORARY)]


def stage_of(out: Path) -> str:
    """Return the stage that the last checkpoint of a killed training is in."""
    if not (out / checkpoint.LAST).is_file():
        return "train, before the first checkpoint"
    training = checkpoint.load(out / checkpoint.LAST).training
    assert training is not None
    return f"train, {STAGES[training['start']['stage']]}"


def unbroken(name: str, job: Work) -> tuple[Any, float]:
    """Run a command without a kill; return what it writes, which is removed, and the seconds it took."""
    begin = time.monotonic()
    ended = run(job.words)
    assert ended.code == 0, (name, ended.lines)
    content = job.content(job.out)
    shutil.rmtree(job.out)
    return content, time.monotonic() - begin


def report(kills: int = 100, seed: int = 0) -> bool:
    """Print the table; return whether all were made again, equal. seed: of the moments"""
    warm_up()
    chance, tally = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        made = works(work, make_samples(work / "samples"))
        whole: dict[str, tuple[Any, float]] = {}
        names = [name for name in made if name != "train"]
        done = tries = 0
        while done < kills:
            name = "train" if done % 2 == 0 else names[done // 2 % len(names)]
            if name not in whole:
                whole[name] = unbroken(name, made[name](work / "made"))
            expected, seconds = whole[name]
            job = made[name](work / "made")  # some files name their folder
            started = Started(job.words)
            time.sleep(chance.uniform(0.02, 1.0) * seconds * 0.97**tries)
            started.kill()
            if started.wait().code == 0:  # it was faster
                shutil.rmtree(job.out)
                tries += 1
                continue
            done, tries = done + 1, 0
            where = stage_of(job.out) if name == "train" else name
            again = run(job.words)
            equal = again.code == 0 and job.content(job.out) == expected and not leftovers(job.out)
            counts = tally.setdefault(where, [0, 0])
            counts[0] += 1
            counts[1] += equal
            if not equal:
                print(
                    f"{where}: code {again.code}, {leftovers(job.out)}, {again.lines[-3:]}", file=sys.stderr
                )
            shutil.rmtree(job.out, ignore_errors=True)
    print("| killed | times | made again, equal |\n|---|---|---|")
    for where, (times, equal) in sorted(tally.items()):
        print(f"| {where} | {times} | {equal} |")
    return all(times == equal for times, equal in tally.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(0 if report(*map(int, sys.argv[1:])) else 1)
