"""Compare C code with the torch code that defines it: python benchmarks/native.py [--only WORD ...]

Time each task of STOVE with both in turn in one process, on one thread, and print frames per second of CPU
time and the median of the ratios of each pair, with the smallest and the largest. Needs a C compiler.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from inference import HORIZON
from training import prepared, seconds

from seqvae.nn import native
from seqvae.objectives import ELBO, LatentELBO
from seqvae.prediction import PositionPrediction
from seqvae.train.runtime import keep_freed_memory
from seqvae.types import Encoding

CLIPS, FRAMES = 256, 8
MOTION_CLIPS, MOTION_FRAMES = 128, 16  # the stage `motion` of stove_billiards
COMPILED = native.library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each task with either code")
    parser.add_argument("--only", nargs="+", help="tasks whose names have one of these words")
    options = parser.parse_args()
    keep_freed_memory()
    sizes = {"batch": CLIPS, "frames": FRAMES, "size": 32, "channels": 1, "objects": 3}
    model, batch = prepared(SimpleNamespace(model=["stove"], threads=[1], **sizes))
    print(f"{'task':<36}{'torch, frames/s':>16}{'C, frames/s':>14}{'ratio':>8}")
    for name, (frames, task) in tasks(model, batch).items():
        if options.only is None or any(word in name for word in options.only):
            print(f"{name:<36}" + compare(task, frames, options.pairs), flush=True)


def tasks(model: Any, batch: Any) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return, by name, the frames of a task and the task."""
    with torch.no_grad():
        many, one = model.filter(batch.video), model.filter(batch.video[:1])
    elbo, motion = ELBO(start=3), LatentELBO(rollout=PositionPrediction(scale=0.02))
    mean = torch.rand(MOTION_CLIPS, MOTION_FRAMES, 3, 6) - 0.5
    precision = torch.full_like(mean, 1e4)
    precision[..., 4:] = 0  # no frame shows a velocity
    encoded = SimpleNamespace(encoding=Encoding(mean, precision), prev_actions=None)
    moving = [*model.dynamics.parameters(), *model.posterior.parameters()]

    def inferred(task: Callable[[], object]) -> Callable[[], object]:
        return torch.no_grad()(task)

    return {
        f"imagine {CLIPS} x {HORIZON}": (
            CLIPS * HORIZON,
            inferred(lambda: model.imagine(many.carry, HORIZON)),
        ),
        f"imagine 1 x {HORIZON}": (HORIZON, inferred(lambda: model.imagine(one.carry, HORIZON))),
        f"render {CLIPS} x {FRAMES}": (CLIPS * FRAMES, inferred(lambda: model.decode(many))),
        f"render 1 x {FRAMES}": (FRAMES, inferred(lambda: model.decode(one))),
        f"filter {CLIPS} x {FRAMES}": (CLIPS * FRAMES, inferred(lambda: model.filter(batch.video))),
        f"train, stage motion, {MOTION_CLIPS} x {MOTION_FRAMES}": (
            MOTION_CLIPS * MOTION_FRAMES,
            update(model, motion, encoded, moving),
        ),
        f"train on frames, {CLIPS} x {FRAMES}": (
            CLIPS * FRAMES,
            update(model, elbo, batch, list(model.parameters())),
        ),
    }


def update(model: Any, objective: Any, batch: Any, weights: list[torch.nn.Parameter]) -> Callable[[], None]:
    """Return a function that makes one update of the weights."""
    optimiser = torch.optim.Adam(weights, 1e-3)

    def step() -> None:
        optimiser.zero_grad()
        (-objective(model, batch, 0.0)[0].objective().mean()).backward()
        optimiser.step()

    return step


def compare(task: Callable[[], object], frames: int, pairs: int) -> str:
    """Return a row of the table."""
    by_torch, by_c = [], []
    for i in range(pairs + 1):
        for library, times in ((lambda source: None, by_torch), (COMPILED, by_c)):
            native.library = library
            took = seconds(task, time.process_time)
            if i:  # the first warms up
                times.append(took)
    ratios = [a / b for a, b in zip(by_torch, by_c, strict=True)]
    rates = f"{frames / median(by_torch):>16,.0f}{frames / median(by_c):>14,.0f}{median(ratios):>8.2f}"
    return f"{rates}  ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
