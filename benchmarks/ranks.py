"""Time an update of one training in one process and in two: python benchmarks/ranks.py [--rounds N]

One process of one thread, one of two threads, and two of one thread each (Gloo), in turns, for a stage of
frames and a stage of motion of STOVE, on clips of moving discs. Print medians over updates, in wall time and
in CPU time of the process that takes most; on a machine with other work the first says little.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median

WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
STAGES = {"frames": (64, 12, 6), "motion": (128, 16, 12)}  # clips of all processes, frames of a clip, updates
FIRST = 2  # updates that are not timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # in a process that is timed
    options = parser.parse_args()
    if options.threads is not None:
        return time_updates(options.threads)
    for number in range(options.rounds):
        for name, (processes, threads) in WAYS.items():
            print(f"round {number + 1}, {name}", flush=True)
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
            command = [
                sys.executable,
                *(torchrun if processes > 1 else []),
                __file__,
                "--threads",
                str(threads),
            ]
            subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    return None


def time_updates(threads: int) -> None:
    """Time updates in this process, with those that torchrun has started beside it."""
    import torch

    from data_gen.cli.configs import compose
    from seqvae.build import build
    from seqvae.contracts.scenes import as_batch, video
    from seqvae.objectives import ELBO, LatentELBO
    from seqvae.prediction import PositionPrediction
    from seqvae.train.encodings import EncodingBatch, track_slots
    from seqvae.train.learner import Learner
    from seqvae.train.optim import Optim
    from seqvae.train.runtime import join_ranks, keep_freed_memory
    from seqvae.types import DataSpec, Encoding

    torch.set_num_threads(threads)
    keep_freed_memory()
    ranks = join_ranks("cpu")
    for stage, (batch, frames, updates) in STAGES.items():
        torch.manual_seed(0)
        model = build(compose("train", ["model=stove"])["model"], DataSpec(32, 32, 1, actions=0, objects=3))
        clips = as_batch(video=video(batch=batch // ranks.size, frames=frames))
        objective = ELBO(start=3)
        if stage == "motion":
            objective = LatentELBO(start=3, rollout=PositionPrediction(context=8, scale=0.02))
            with torch.no_grad():
                seen = model.frame.encode(clips.video)
            clips = EncodingBatch(track_slots(model, Encoding(seen.mean, seen.precision)), None)
        learner = Learner(model, objective, Optim(lr=1e-4, clip=10), ranks=ranks)
        wall, cpu = [], []
        for step in range(FIRST + updates):
            ranks.wait()
            begin = time.monotonic(), time.process_time()
            learner.gradient(clips, 0.0)
            learner.apply(step, 0.0)
            ranks.wait()
            wall.append(time.monotonic() - begin[0])
            cpu.append(time.process_time() - begin[1])
        most = ranks.agree(median(cpu[FIRST:]))[0]
        if ranks.first:
            print(f"  {stage}: {1e3 * median(wall[FIRST:]):.0f} ms, {1e3 * most:.0f} ms of CPU", flush=True)
    ranks.close()


if __name__ == "__main__":
    main()
