"""Bad input to the commands: python benchmarks/bad_inputs.py

Print the exit code and the line for each. All must end with code 2, in one line.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kills import TRAIN, make_samples
from processes import run, warm_up

from seqvae import checkpoint


def made(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def generate(folder: Path, *options: str) -> Path:
    sizes = ("train=8", "val=4", "test=0", "length=16", "workers=1", *options)
    ended = run(("data_gen", "sim=billiards", f"out={folder}", *sizes))
    assert ended.code == 0, ended.lines
    return folder


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

    def __reduce__(self) -> Any:
        return os.system, ("echo the checkpoint ran code",)


def bad_inputs(work: Path, data: Path, run_folder: Path) -> dict[str, list[object]]:
    """Return fault -> words of the command."""
    dataset = (data / "train.h5").read_bytes()
    latest, best = (run_folder / checkpoint.LAST).read_bytes(), run_folder / checkpoint.BEST
    small = generate(work / "small", "image_size=16")
    short = generate(work / "short", "length=5")
    torch.save({"format": checkpoint.FORMAT, "version": 1, "step": Trap()}, work / "trap.pt")
    fresh, half = f"run={work / 'fresh'}", work / "half"
    made(half / checkpoint.LAST, latest[: len(latest) // 2])
    train = ["train", *TRAIN, f"data={data}", fresh]
    given = f"run={run_folder}"
    score, roll = ["evaluate", f"data={data / 'val.h5'}"], ["rollout", f"data={data / 'val.h5'}"]
    cut = made(work / "cut.h5", dataset[: len(dataset) // 2])
    text = made(work / "text.h5", b"no dataset")
    return {
        "unknown command": ["trian"],
        "unknown key": [*train, "trainer.stepz=3"],
        "unknown argument of a part": [*train, "model.frame.glimpze=3"],
        "unknown experiment": ["train", fresh, "experiment=stove_biliards"],
        "value of the wrong type": [*train, "trainer.batch_size=many"],
        "no value": [*train, "seed"],
        "target outside the project": [*train, "model.frame._target_=os.system"],
        "no CUDA": [*train, "device=cuda"],
        "data: missing": ["train", fresh, f"data={work / 'nowhere.h5'}"],
        "data: truncated": ["train", fresh, f"data={cut}"],
        "data: foreign": ["train", fresh, f"data={text}"],
        "data: sequences too short for a clip": ["train", fresh, f"data={short / 'train.h5'}"],
        "data: too short for the context": ["evaluate", given, f"data={short / 'val.h5'}"],
        "data: another size": ["evaluate", given, f"data={small / 'val.h5'}"],
        "data: another size, on resuming": [
            "train",
            given,
            "resume=true",
            f"data={small}",
            "stages.spread.trainer.steps=7",
        ],
        "frames of the wrong size": ["rollout", f"run={run_folder}", f"data={small / 'val.h5'}"],
        "frames that are negative": ["rollout", given, f"data={negative(work / 'negative.npz')}"],
        "video that is none": ["rollout", given, f"data={made(work / 'v.mp4', b'no video')}"],
        "no such sequence": [*roll, given, "index=99"],
        "checkpoint: missing": [*score, f"run={work / 'nowhere'}"],
        "checkpoint: truncated": [*score, f"run={half}"],
        "checkpoint: truncated, on resuming": ["train", f"run={half}", "resume=true"],
        "checkpoint: foreign": [*score, f"run={made(work / 'text.pt', b'no weights')}"],
        "checkpoint: of another model": [*score, f"run={other_model(work / 'other.pt', best)}"],
        "checkpoint: of a newer version": [*score, f"run={newer(work / 'newer.pt', best)}"],
        "checkpoint: would run code": [*score, f"run={work / 'trap.pt'}"],
        "run folder in use": ["train", *TRAIN, f"data={data}", given],
        "nothing to resume": ["train", fresh, "resume=true"],
        "resumed with another config": ["train", given, "resume=true", "optim.lr=0.5"],
        "inspect: missing": ["inspect", work / "nowhere"],
        "inspect: foreign": ["inspect", made(work / "notes.txt", b"hello")],
    }


def negative(path: Path) -> Path:
    np.savez(path, frames=np.full((1, 9, 32, 32, 3), -1.0))
    return path


def report() -> bool:
    """Print the table; return whether all ended in one line and code 2."""
    warm_up()
    good = True
    print("| bad input | code | line |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        samples = make_samples(work / "samples")
        for name, words in bad_inputs(work, samples / "data", samples / "run").items():
            ended = run(("seqvae", *map(str, words)))
            right = ended.code == 2 and len(ended.lines) == 1
            good &= right
            line = (ended.lines or ("",))[-1].replace(f"{work}/", "").replace("|", "\\|")
            print(f"| {name} | {ended.code}{'' if right else ' **wrong**'} | {line} |", flush=True)
    return good


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(0 if report() else 1)
