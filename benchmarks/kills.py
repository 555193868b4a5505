"""Commands killed at random moments, and begun again: rows for faults.py.

After each kill the same command must end with what an unbroken one leaves, to the bit, and with nothing else.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from forked import Command, Ended, done, wait_until

from data_gen.locks import TEMPORARY
from seqvae import checkpoint

os.environ["SOURCE_DATE_EPOCH"] = "0"  # of plots in PDF, which hold their date

STAGES = ("objects", "places", "motion", "spread")
STEPS = 6  # per stage
TRAIN = [
    "experiment=stove_billiards",
    "model.dynamics.width=16",
    "trainer.log_every=1",
    "trainer.context=4",
    "trainer.validation_sequences=2",
    "trainer.checkpoint_seconds=0",
    "trainer.tracker=null",
    *(
        f"stages.{stage}.trainer.{option}"
        for stage in STAGES
        for option in (f"steps={STEPS}", "batch_size=4", "clip_length=9", "validate_every=4")
    ),
]
WORLD = ["sim=billiards", "sim.num_balls=2", "image_size=16"]


@dataclass(frozen=True)
class Subject:
    """A command that is killed.

    words: program and words; `{out}` stands for its folder
    again: words added when it is begun again
    stage: stage of a training in which the kill falls
    real: a process as a user starts it
    """

    name: str
    words: tuple[object, ...]
    again: tuple[str, ...] = ()
    stage: str | None = None
    real: bool = False

    def start(self, out: Path, log: Path, again: bool = False) -> Command:
        words = [str(word).replace("{out}", str(out)) for word in self.words]
        return Command([*words, *(self.again if again else ())], log, real=self.real)


@dataclass(frozen=True)
class Row:
    """Result of the kills of one subject.

    leftovers: unfinished files that the kills left
    resumed: number of those that ended as the unbroken command
    """

    name: str
    kills: int
    leftovers: int
    resumed: int

    def __str__(self) -> str:
        verdict = f"{self.resumed} of {self.kills}" + ("" if self.resumed == self.kills else " **wrong**")
        return f"| {self.name} | {self.kills} | {self.leftovers} | {verdict} |"


def prepare(work: Path) -> tuple[Path, Path]:
    """Make small data and a trained run; return their folders."""
    data, run = work / "data", work / "run"
    done(["data_gen", *WORLD, f"out={data}", "train=16", "val=4", "test=4", "length=30"], work / "log")
    done(["seqvae", "train", *TRAIN, f"data={data}", f"run={run}"], work / "log")
    return data, run


def subjects(data: Path, run: Path, work: Path) -> list[tuple[int, Subject]]:
    """Return the commands, each with its share of 100 kills."""
    frames = np.random.default_rng(0).integers(0, 256, (60, 20, 16, 16, 3), np.uint8)
    np.savez_compressed(work / "frames.npz", frames=frames)
    train = ("seqvae", "train", *TRAIN, f"data={data}", "run={out}", "resume=auto")
    made = ("data_gen", *WORLD, "out={out}", "train=600", "val=20", "test=20", "length=40")
    foreign = ("data_gen", "import", f"data={work / 'frames.npz'}", "out={out}", "val=0.2")
    exported = ("data_gen", "export", "format=gswm", f"data={data}", "out={out}")
    model = (f"run={run}", f"data={data}", "out={out}")
    anew = ("overwrite=true",)
    return [
        *((12, Subject(f"train, stage {stage}", train, stage=stage)) for stage in STAGES),
        (10, Subject("data_gen", (*made, "workers=1"))),
        (5, Subject("data_gen, two processes", (*made, "workers=2"), real=True)),
        (10, Subject("import", foreign, again=anew)),
        (10, Subject("evaluate", ("seqvae", "evaluate", *model, "videos=1"))),
        (10, Subject("rollout", ("seqvae", "rollout", *model, "horizon=20"))),
        (4, Subject("export of weights", ("seqvae", "export", f"run={run}", "out={out}"))),
        (3, Subject("export of data", exported, again=anew)),
    ]


def kill_all(work: Path, data: Path, run: Path, kills: int, seed: int = 0) -> Iterator[Row]:
    """Kill every subject at random moments; yield its row. kills: in all, of 100"""
    chance = random.Random(seed)
    for share, subject in subjects(data, run, work):
        yield kill_often(subject, work / "killed", max(1, share * kills // 100), chance)


def kill_often(subject: Subject, out: Path, kills: int, chance: random.Random) -> Row:
    """Kill a command `kills` times, and begin it again each time."""
    log, whole = out.with_name("log"), out.with_name("unbroken")
    began = time.monotonic()
    ended = subject.start(out, log).ended()
    seconds = time.monotonic() - began
    if ended.code:
        raise RuntimeError(f"{subject.name}: {ended}")
    out.rename(whole)
    done, leftovers, resumed = 0, 0, 0
    while done < kills:
        command = subject.start(out, log)
        moment = _moment(subject, out, command, seconds, chance)
        if moment is not None:
            time.sleep(moment)
        command.kill(group=chance.random() < 0.5)
        if command.ended().code == -signal.SIGKILL:
            done += 1
            leftovers += len(_unfinished(out))
            again = subject.start(out, log, again=True).ended()
            right = again.code == 0 and alike(whole, out)
            resumed += right
            if not right:
                print(f"{subject.name}, kill {done}: {again}, {differences(whole, out)}", flush=True)
        else:
            seconds *= 0.95
        shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(whole)
    return Row(subject.name, kills, leftovers, resumed)


def _moment(
    subject: Subject, out: Path, command: Command, seconds: float, chance: random.Random
) -> float | None:
    """Return how long to wait before the kill; of a training, wait for a random step of its stage first."""
    if subject.stage is None:
        return chance.uniform(0, seconds)
    step = STAGES.index(subject.stage) * STEPS + chance.randrange(STEPS)
    log = out / "log.jsonl"
    reached = wait_until(lambda: _last_step(log) >= step, command)
    return chance.uniform(0, seconds / 30) if reached else None


def _last_step(log: Path) -> int:
    found = re.findall(rb'"step": (\d+)', log.read_bytes()) if log.exists() else []
    return int(found[-1]) if found else -1


def _unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(f"{TEMPORARY}*")] if folder.is_dir() else []


# Equality of what two commands have left.


def alike(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same files, equal to the bit but for times in logs and archives."""
    return not differences(one, other)


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of files that differ, or are in one folder only."""
    names = [{str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    found = sorted(names[0] ^ names[1])
    return found + [name for name in sorted(names[0] & names[1]) if not _same(one / name, other / name)]


def _same(one: Path, other: Path) -> bool:
    kinds: dict[str, Callable[[Path], object]] = {".npz": _arrays, ".pt": _state, ".jsonl": _validations}
    read = kinds.get(one.suffix, Path.read_bytes)
    return read(one) == read(other)


def _arrays(path: Path) -> object:
    with np.load(path) as arrays:
        return {name: (x.shape, x.dtype.str, x.tobytes()) for name, x in arrays.items()}


def _state(path: Path) -> object:
    """Return the weights, scores and step of a checkpoint, and the state of the optimiser of the last one."""
    content = checkpoint.load(path)
    optimiser = (content.training or {}).get("learner")
    return content.step, content.scores, _plain(content.model), _plain(optimiser)


def _plain(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _validations(path: Path) -> object:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "validation"]


__all__ = ["Ended", "Row", "kill_all", "prepare"]
