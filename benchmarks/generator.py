"""Time the making of datasets on one core: python benchmarks/generator.py [NAME ...]

Print frames per second, the median of a few rounds, for the named simulators (by default all): physics alone,
rendering alone, both with starts and truth, and the whole with the compressed file. The clock is the CPU time
of this process, which other work on the machine disturbs least.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy starts

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from data_gen.cli.command import CONFIGS
from data_gen.generate import read_settings
from data_gen.simulator import build_simulator, simulate
from data_gen.splits import BLOCK, Split, make_sequences, write_split

SEQUENCES, LENGTH, ROUNDS = 4 * BLOCK, 100, 7


def seconds(work: Callable[[], object]) -> float:
    """Return the median CPU time of a call, after one call to warm up."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return median(times[1:])


def measure(name: str) -> list[float]:
    """Return frames per second of one simulator: physics, rendering, both, and with the file."""
    settings = read_settings([f"sim={name}"])
    simulator, rng = build_simulator(settings.sim), np.random.default_rng(0)
    start = simulator.reset(SEQUENCES, rng)
    actions = simulator.sample_actions(SEQUENCES, LENGTH, rng)
    states = simulate(simulator, start, LENGTH, actions).states
    split = Split(simulator, "train", SEQUENCES, LENGTH, settings.image_size, 0)
    with tempfile.TemporaryDirectory() as folder:
        times = [
            seconds(lambda: simulate(simulator, start, LENGTH, actions)),
            seconds(lambda: simulator.render(states, settings.image_size)),
            seconds(lambda: make_sequences(split, 0, SEQUENCES)),
            seconds(lambda: write_split(Path(folder) / "a.h5", split, name, workers=1)),
        ]
    return [SEQUENCES * LENGTH / t for t in times]


def main(names: list[str]) -> None:
    names = names or sorted(
        name
        for name in (file.stem for file in (CONFIGS / "sim").glob("*.yaml"))
        if hasattr(build_simulator(read_settings([f"sim={name}"]).sim), "step")  # an emulator has no physics
    )
    columns = ("physics", "rendering", "both", "file")
    print(f"frames/s, one core, {SEQUENCES} sequences of {LENGTH} frames, median of {ROUNDS}")
    print(f"{'simulator':<18}" + "".join(f"{column:>12}" for column in columns))
    for name in names:
        print(f"{name:<18}" + "".join(f"{rate:>12,.0f}" for rate in measure(name)))


if __name__ == "__main__":
    main(sys.argv[1:])
