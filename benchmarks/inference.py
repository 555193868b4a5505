"""Time inference and training: python benchmarks/inference.py [--plot scaling.png]

Print frames per second of filtering (frames to states), imagining (state to state), rendering (states to
frames) and a training step, as medians in wall time and CPU time, and the peak memory of the process. Each
number comes from a process of its own. With --plot, also draw how all four scale with the number of objects,
the image size and the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

from training import peak_gigabytes, prepared, seconds

KINDS = ("filter", "imagine", "render", "train")
HORIZON = 50
AXES = {"objects": (3, 4, 6, 8, 10), "size": (32, 48, 64, 96, 128), "batch": (16, 64, 256, 1024)}
USUAL = {"objects": 3, "size": 32, "batch": 256}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs=1, default=["stove"], help="a name in configs/model")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--frames", type=int, default=8, help="frames in a clip")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--plot", help="an image file for the scaling")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    for name, value in USUAL.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options, options.measure)))
        return
    usual = {name: getattr(options, name) for name in USUAL}
    print(f"{options.model[0]}, {usual}, clips of {options.frames} frames, {HORIZON} imagined")
    print(f"{'threads':>7}" + "".join(f"{kind + ', frames/s':>20}{'of CPU':>10}{'GB':>6}" for kind in KINDS))
    for threads in options.threads:
        cells = [alone(options, kind, threads, usual) for kind in KINDS]
        row = "".join(f"{c['wall']:>20,.0f}{c['cpu']:>10,.0f}{c['gigabytes']:>6.2f}" for c in cells)
        print(f"{threads:>7}" + row, flush=True)
    if options.plot:
        plot(options, usual)


def alone(options: argparse.Namespace, kind: str, threads: int, sizes: dict[str, int]) -> dict[str, float]:
    """Run `measure` in a process of its own, with its own threads and memory."""
    flags = [f"--{name}={value}" for name, value in sizes.items()]
    flags += [f"--model={options.model[0]}", f"--frames={options.frames}", f"--threads={threads}"]
    flags += ["--compile"] if options.compile else []
    command = [sys.executable, __file__, f"--measure={kind}", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def measure(options: argparse.Namespace, kind: str) -> dict[str, float]:
    """Return frames per second in wall and CPU time, and peak memory in GB."""
    import torch

    from seqvae.objectives import ELBO
    from seqvae.train.graphs import compile_parts
    from seqvae.train.runtime import keep_freed_memory

    keep_freed_memory()
    model, batch = prepared(options)
    if options.compile:
        compile_parts(model)
    if kind == "train":
        objective, optimiser = ELBO(start=3), torch.optim.Adam(model.parameters(), 1e-3)

        def run() -> None:
            optimiser.zero_grad()
            (-objective(model, batch, 0.0)[0].objective().mean()).backward()
            optimiser.step()

    else:
        model.eval()
        with torch.no_grad():
            trace = model.filter(batch.video)
        tasks = {
            "filter": lambda: model.filter(batch.video, sample=False),
            "imagine": lambda: model.imagine(trace.carry, HORIZON),
            "render": lambda: model.decode(trace),
        }

        def run() -> None:
            with torch.no_grad():
                tasks[kind]()

    frames = options.batch * (HORIZON if kind == "imagine" else options.frames)
    for _ in range(2):  # to warm up
        run()
    clocks = (time.perf_counter, time.process_time)
    wall, cpu = (median(seconds(run, clock) for _ in range(7)) for clock in clocks)
    return {"wall": frames / wall, "cpu": frames / cpu, "gigabytes": peak_gigabytes()}


def plot(options: argparse.Namespace, usual: dict[str, int]) -> None:
    """Draw frames per second of CPU time along each axis of AXES, on one thread."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(AXES), figsize=(11, 3.4), sharey=True, layout="constrained")
    for panel, (axis, values) in zip(panels, AXES.items(), strict=True):
        for kind in KINDS:
            rates = [alone(options, kind, 1, usual | {axis: value})["cpu"] for value in values]
            panel.plot(values, rates, "o-", label=kind)
            line = " ".join(f"{value}: {rate:,.0f}" for value, rate in zip(values, rates, strict=True))
            print(f"{axis:>8} {kind:>8}  {line}", flush=True)
        panel.set(xlabel=axis, xscale="log", yscale="log", xticks=values, xticklabels=values)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("frames per second, one core")
    panels[0].legend(frameon=False)
    figure.savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
