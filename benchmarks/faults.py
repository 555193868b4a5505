"""Test the commands with bad input and kills: python benchmarks/faults.py [KILLS]

Print two tables: the exit code and last line for each bad input, and KILLS (by default 20) trainings that are
killed at a random moment and resumed, with a comparison of their weights to those of an unbroken run. Exit
with code 1 unless every bad input ends in one line and code 2, and all weights are equal.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from seqvae import checkpoint

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
SHORT = [
    "experiment=stove_billiards",
    "trainer.log_every=5",
    "trainer.checkpoint_seconds=0",
    "trainer.context=8",
    *(
        f"stages.{stage}.trainer.{key}"
        for stage in ("objects", "places", "motion", "spread")
        for key in ("steps=40", "batch_size=8", "clip_length=12", "validate_every=15")
    ),
]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "seqvae", *map(str, arguments)]


def generate(folder: Path, *options: str) -> Path:
    sizes = ["train=32", "val=8", "test=0", "length=30", *options]
    data = [sys.executable, "-m", "data_gen", "sim=billiards", f"out={folder}", *sizes]
    subprocess.run(data, check=True, capture_output=True, env=ENVIRONMENT)
    return folder


def made(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def newer(path: Path, source: Path) -> Path:
    """Write a checkpoint that claims a later version."""
    content = torch.load(source, weights_only=True)
    torch.save(content | {"version": checkpoint.VERSION + 1}, path)
    return path


def other_model(path: Path, source: Path) -> Path:
    """Write a checkpoint whose weights do not fit the model that it names."""
    content = torch.load(source, weights_only=True)
    content["config"]["model"]["dynamics"]["width"] = 16
    torch.save(content, path)
    return path


class Trap:
    """An object that runs a command if it is unpickled."""

    def __reduce__(self):
        return os.system, ("echo the checkpoint ran code",)


def bad_inputs(work: Path, data: Path, run: Path) -> dict[str, list[object]]:
    """Return fault -> arguments of the command."""
    dataset, last = (data / "train.h5").read_bytes(), (run / checkpoint.LAST).read_bytes()
    small = generate(work / "small", "image_size=16")
    short = generate(work / "short", "length=5")
    torch.save({"format": checkpoint.FORMAT, "version": 1, "step": Trap()}, work / "trap.pt")
    np.savez(work / "float.npz", frames=np.zeros((1, 9, 32, 32, 3)))
    fresh, half = f"run={work / 'fresh'}", work / "half"
    made(half / checkpoint.LAST, last[: len(last) // 2])
    train = ["train", f"data={data}", fresh]
    score, roll = ["evaluate", f"data={data / 'val.h5'}"], ["rollout", f"data={data / 'val.h5'}"]
    cut = made(work / "cut.h5", dataset[: len(dataset) // 2])
    text = made(work / "text.h5", b"no dataset")
    return {
        "unknown command": ["trian"],
        "unknown key": [*train, "trainer.stepz=3"],
        "unknown argument of a part": [*train, "model.frame.glimpze=3"],
        "unknown experiment": [*train, "experiment=stove_biliards"],
        "value of the wrong type": [*train, "trainer.batch_size=many"],
        "no value": [*train, "seed"],
        "target outside the project": [*train, "model.frame._target_=os.system"],
        "no CUDA": [*train, "device=cuda"],
        "data: missing": ["train", fresh, f"data={work / 'nowhere.h5'}"],
        "data: truncated": ["train", fresh, f"data={cut}"],
        "data: foreign": ["train", fresh, f"data={text}"],
        "data: sequences too short for a clip": ["train", fresh, f"data={short / 'train.h5'}"],
        "data: too short for the context": ["evaluate", f"run={run}", f"data={short / 'val.h5'}"],
        "data: another size": ["evaluate", f"run={run}", f"data={small / 'val.h5'}"],
        "data: another size, on resuming": [
            "train",
            f"run={run}",
            "resume=true",
            f"data={small}",
            "stages.spread.trainer.steps=41",
        ],
        "frames of the wrong type": ["rollout", f"run={run}", f"data={work / 'float.npz'}"],
        "video that is none": ["rollout", f"run={run}", f"data={made(work / 'v.mp4', b'no video')}"],
        "no such sequence": [*roll, f"run={run}", "index=99"],
        "checkpoint: missing": [*score, f"run={work / 'nowhere'}"],
        "checkpoint: truncated": [*score, f"run={half}"],
        "checkpoint: truncated, on resuming": ["train", f"run={half}", "resume=true"],
        "checkpoint: foreign": [*score, f"run={made(work / 'text.pt', b'no weights')}"],
        "checkpoint: of another model": [*score, f"run={other_model(work / 'other.pt', run / 'best.pt')}"],
        "checkpoint: of a newer version": [*score, f"run={newer(work / 'newer.pt', run / 'best.pt')}"],
        "checkpoint: would run code": [*score, f"run={work / 'trap.pt'}"],
        "run folder in use": ["train", f"data={data}", f"run={run}"],
        "nothing to resume": ["train", fresh, "resume=true"],
        "resumed with another config": ["train", f"run={run}", "resume=true", "optim.lr=0.5"],
        "inspect: missing": ["inspect", work / "nowhere"],
        "inspect: foreign": ["inspect", made(work / "notes.txt", b"hello")],
    }


def try_bad_inputs(work: Path, data: Path, run: Path) -> bool:
    print("| bad input | code | line |\n|---|---|---|")
    good = True
    for name, arguments in bad_inputs(work, data, run).items():
        done = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT)
        lines = done.stderr.strip().splitlines() or [""]
        right = done.returncode == 2 and len(lines) == 1 and "ran code" not in done.stdout
        good &= right
        line = lines[-1].replace(f"{work}/", "").replace("|", "\\|")
        print(f"| {name} | {done.returncode}{'' if right else ' **wrong**'} | {line} |", flush=True)
    return good


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / checkpoint.LAST).model


def kill_and_resume(run: Path, data: Path, delay: float) -> tuple[str, int] | None:
    """Kill a training after `delay` seconds and resume it.

    Return the checkpoint that the kill left, in words, and the exit code of the resumed training; None if the
    training ended before the kill.
    """
    arguments = command("train", *SHORT, f"data={data}", f"run={run}", "resume=auto")
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        return None
    last = run / checkpoint.LAST
    state = f"step {checkpoint.load(last).step}" if last.exists() else "nothing yet"
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT)
    return state, done.returncode


def try_kills(work: Path, data: Path, unbroken: Path, seconds: float, kills: int) -> bool:
    print("\n| kill | after (s) | checkpoint found | code | same weights, scores |\n|---|---|---|---|---|")
    chance, good, done = random.Random(0), True, 0
    while done < kills:
        run, delay = work / f"killed{done}", chance.uniform(0.3, 1.0) * seconds
        killed = kill_and_resume(run, data, delay)
        if killed is None:
            shutil.rmtree(run)
            seconds *= 0.95
            continue
        state, code = killed
        done += 1
        alike = code == 0 and all(
            torch.equal(a.model[name], b.model[name]) and a.scores == b.scores
            for file in (checkpoint.LAST, checkpoint.BEST)
            for a, b in [(checkpoint.load(run / file), checkpoint.load(unbroken / file))]
            for name in a.model
        )
        good &= alike
        verdict = "yes" if alike else "**no**"
        print(f"| {done} | {delay:.1f} | {state} | {code} | {verdict} |", flush=True)
        shutil.rmtree(run)
    return good


def main(kills: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data, run = generate(work / "data"), work / "run"
        began = time.monotonic()
        train = command("train", *SHORT, f"data={data}", f"run={run}")
        subprocess.run(train, check=True, capture_output=True, env=ENVIRONMENT)
        seconds = time.monotonic() - began
        good = try_bad_inputs(work, data, run)
        good &= try_kills(work, data, run, seconds, kills)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
