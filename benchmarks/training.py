"""How fast a model trains, and where the time goes: python benchmarks/training.py --model stove

Frames a second, forward and backward with the optimiser's step, of clips of moving discs: by the clock on
the wall, and by the processor's, which other work on the machine disturbs less. Medians of a few steps. The
largest memory of the process, interpreter and data included. Each number of threads runs in a process of
its own. The parts' shares of a step come from further steps, with a clock around each part.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

PARTS = ["encode", "loop over t", "frame terms", "backward", "optimiser"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="stove", help="a name in configs/model")
    parser.add_argument("--batch", type=int, default=256, help="clips in a step")
    parser.add_argument("--frames", type=int, default=8, help="frames in a clip")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", type=int, default=32, help="pixels along each side of a frame")
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--fresh-memory", action="store_true", help="return freed memory after every step")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    rows = [alone(options, threads) for threads in options.threads]
    what = f"{options.size} x {options.size}, {options.objects} objects"
    print(f"{options.model}, {options.batch} clips of {options.frames} frames, {what}")
    print(f"{'threads':>7}{'frames/s':>10}{'of CPU':>8}{'GB':>6}" + "".join(f"{part:>13}" for part in PARTS))
    for threads, row in zip(options.threads, rows, strict=True):
        shares = "".join(f"{row['shares'][part]:>13.0%}" for part in PARTS)
        print(f"{threads:>7}{row['wall']:>10,.0f}{row['cpu']:>8,.0f}{row['gigabytes']:>6.2f}" + shares)


def alone(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """`measure` in a process with its own threads and memory."""
    names = ("model", "batch", "frames", "size", "objects", "steps")
    flags = [f"--{name}={getattr(options, name)}" for name in names]
    flags += ["--fresh-memory"] if options.fresh_memory else []
    command = [sys.executable, __file__, "--measure", f"--threads={threads}", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Frames a second, gigabytes, and the share of each part in a step."""
    import torch

    from seqvae.objectives import TemporalELBO
    from seqvae.train.memory import keep_freed_memory

    if not options.fresh_memory:
        keep_freed_memory()
    model, batch = prepared(options)
    objective, optimiser = TemporalELBO(), torch.optim.Adam(model.parameters(), 1e-3)
    clock = Clock()

    def step() -> None:
        optimiser.zero_grad()
        loss = -objective(model, batch, 0.0)[0].total().mean()
        with clock("backward"):
            loss.backward()
        with clock("optimiser"):
            optimiser.step()

    step(), step()  # to warm up
    frames = options.batch * options.frames
    wall = frames / median(seconds(step, time.perf_counter) for _ in range(options.steps))
    cpu = frames / median(seconds(step, time.process_time) for _ in range(options.steps))
    clock.around(model.frame, "encode", "encode")
    clock.around(model.frame, "terms", "frame terms")
    clock.around(model, "infer", "loop over t")
    clock.seconds.clear()
    total = sum(seconds(step, time.perf_counter) for _ in range(options.steps))
    shares = {part: clock.seconds[part] / total for part in PARTS}
    return {"wall": wall, "cpu": cpu, "gigabytes": peak_gigabytes(), "shares": shares}


def prepared(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model that the options name, and a batch for it, in a process with the threads they ask for."""
    import torch

    from seqvae.build import DataSpec, build
    from seqvae.cli.compose import compose

    torch.set_num_threads(options.threads[0])
    torch.manual_seed(0)
    config = compose("train", [f"model={options.model}"])["model"]
    model = build(config, DataSpec(options.size, options.size, 1, objects=options.objects))
    return model, clips(options)


def peak_gigabytes() -> float:
    """The largest memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return peak / (1e9 if sys.platform == "darwin" else 1e9 / 1024)


def clips(options: argparse.Namespace) -> Any:
    """White discs in straight flight on black: a batch with the attributes that an objective reads."""
    import types

    import torch

    b, t, k, size = options.batch, options.frames, options.objects, options.size
    start, velocity = 1.4 * torch.rand(b, 1, k, 2) - 0.7, 0.05 * torch.randn(b, 1, k, 2)
    position = start + velocity * torch.arange(t)[:, None, None]
    axis = (2 * torch.arange(size) + 1) / size - 1
    dx, dy = axis - position[..., 0, None, None], axis[:, None] - position[..., 1, None, None]
    shown = (0.5 + (0.24 - (dx.square() + dy.square()).sqrt()) * size / 2).clamp(0, 1).amax(2)
    return types.SimpleNamespace(video=shown[:, :, None], prev_actions=None)


class Clock:
    """Seconds spent in parts of a step."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began

    def around(self, owner: Any, method: str, part: str) -> None:
        """From now on the calls of a method count as `part`."""
        inner = getattr(owner, method)

        def clocked(*args, **kwargs):
            with self(part):
                return inner(*args, **kwargs)

        setattr(owner, method, clocked)


def seconds(step: Callable[[], None], clock: Callable[[], float]) -> float:
    """What a step takes."""
    began = clock()
    step()
    return clock() - began


if __name__ == "__main__":
    main()
