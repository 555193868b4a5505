"""Time training steps and their parts: python benchmarks/training.py --model stove vae, or all

Print frames per second of forward and backward pass with the optimiser's step, on clips of moving discs, as
medians in wall time and in CPU time, which other work on the machine disturbs less; and the peak memory of
the process, including interpreter and data. Each line is a process of its own. The shares of the parts in a
step come from further steps, with a clock around each part.
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
from pathlib import Path
from statistics import median
from typing import Any

MODELS = Path(__file__).parents[1] / "configs/model"
SIZES = {
    "batch": (256, "clips per step"),
    "frames": (8, "frames in a clip"),
    "size": (32, "pixels per side of a frame"),
    "channels": (1, "channels of a frame"),
    "objects": (3, "discs in a frame"),
}
COUNTED = {"batch": 64, "frames": 1, "size": 50, "channels": 3}
IMAGES, VIDEOS = {"batch": 128, "frames": 1}, {"batch": 16, "frames": 18}
SPRITES, MOVING = {"batch": 32, "frames": 1, "channels": 3}, {"batch": 8, "frames": 6, "channels": 3}
RECIPES = {  # model -> sizes that differ from SIZES
    **dict.fromkeys(["vae", "vae_broadcast", "vae_fc", "vae_iaf"], IMAGES),
    **dict.fromkeys(["gru_ssm", "vrnn"], VIDEOS),
    **dict.fromkeys(["air", "air_paper"], COUNTED),
    **dict.fromkeys(["monet", "monet_paper"], SPRITES),
    "monet_sequence": MOVING,
}
PARTS = ["encode", "loop over t", "frame terms", "backward", "optimiser"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["stove"], help="names in configs/model, or all")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    for name, (value, what) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, help=f"{what}; {value}, or that of the model's recipe")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--fresh-memory", action="store_true", help="return freed memory after every step")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    shipped = sorted(file.stem for file in MODELS.glob("*.yaml"))
    names = shipped if options.model == ["all"] else options.model
    print(
        f"{'model':<14}{'clips':>9}{'image':>9}{'objects':>8}{'threads':>8}{'frames/s':>10}{'of CPU':>9}"
        f"{'GB':>6}" + "".join(f"{part:>13}" for part in PARTS)
    )
    for name, threads in ((name, threads) for name in names for threads in options.threads):
        sizes = sizes_of(name, options)
        row = alone(name, sizes, threads, options)
        clip, image = f"{sizes['batch']} x {sizes['frames']}", f"{sizes['size']}^2 x {sizes['channels']}"
        print(
            f"{name:<14}{clip:>9}{image:>9}{sizes['objects']:>8}{threads:>8}"
            f"{row['wall']:>10,.0f}{row['cpu']:>9,.0f}{row['gigabytes']:>6.2f}"
            + "".join(f"{row['shares'][part]:>13.0%}" for part in PARTS),
            flush=True,
        )


def sizes_of(name: str, options: argparse.Namespace) -> dict[str, int]:
    """Return the sizes that the options give, else those of the model's recipe, else the usual ones."""
    usual = {size: value for size, (value, _) in SIZES.items()} | RECIPES.get(name, {})
    given = {size: getattr(options, size) for size in SIZES}
    return usual | {size: value for size, value in given.items() if value is not None}


def alone(name: str, sizes: dict[str, int], threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run `measure` in a process of its own, with its own threads and memory."""
    flags = [f"--{size}={value}" for size, value in sizes.items()]
    flags += [f"--model={name}", f"--threads={threads}", f"--steps={options.steps}"]
    flags += ["--fresh-memory"] if options.fresh_memory else []
    command = [sys.executable, __file__, "--measure", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return frames per second, peak memory in GB, and the share of each part in a step."""
    import torch

    from seqvae.objectives import ELBO
    from seqvae.train.runtime import keep_freed_memory

    if not options.fresh_memory:
        keep_freed_memory()
    model, batch = prepared(options, options.channels)
    objective = ELBO(start=min(3, options.frames))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    clock = Clock()

    def step() -> None:
        optimiser.zero_grad()
        loss = -objective(model, batch, 0.0)[0].objective().mean()
        with clock("backward"):
            loss.backward()
        with clock("optimiser"):
            optimiser.step()

    for _ in range(2):  # to warm up
        step()
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


def prepared(options: argparse.Namespace, channels: int = 1) -> tuple[Any, Any]:
    """Return the model of the options and a batch for it; set the number of threads."""
    import torch

    from data_gen.cli.configs import compose
    from seqvae.build import DataSpec, build

    torch.set_num_threads(options.threads[0])
    torch.manual_seed(0)
    (name,) = options.model
    config = compose("train", [f"model={name}"])["model"]
    model = build(config, DataSpec(options.size, options.size, channels, objects=options.objects))
    return model, clips(options, channels)


def peak_gigabytes() -> float:
    """Return the peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return peak / (1e9 if sys.platform == "darwin" else 1e9 / 1024)


def clips(options: argparse.Namespace, channels: int) -> Any:
    """Return a batch of white discs in straight flight on black, as an objective reads it."""
    import types

    import torch

    b, t, k, size = options.batch, options.frames, options.objects, options.size
    start, velocity = 1.4 * torch.rand(b, 1, k, 2) - 0.7, 0.05 * torch.randn(b, 1, k, 2)
    position = start + velocity * torch.arange(t)[:, None, None]
    axis = (2 * torch.arange(size) + 1) / size - 1
    dx, dy = axis - position[..., 0, None, None], axis[:, None] - position[..., 1, None, None]
    shown = (0.5 + (0.24 - (dx.square() + dy.square()).sqrt()) * size / 2).clamp(0, 1).amax(2)
    return types.SimpleNamespace(video=shown[:, :, None].expand(-1, -1, channels, -1, -1), prev_actions=None)


class Clock:
    """Seconds spent in the parts of a step."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began

    def around(self, owner: Any, method: str, part: str) -> None:
        """Count the calls of a method as `part` from now on."""
        inner = getattr(owner, method)

        def clocked(*args, **kwargs):
            with self(part):
                return inner(*args, **kwargs)

        setattr(owner, method, clocked)


def seconds(step: Callable[[], None], clock: Callable[[], float]) -> float:
    """Return the duration of a step."""
    began = clock()
    step()
    return clock() - began


if __name__ == "__main__":
    main()
