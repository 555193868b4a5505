"""Memory under repetition: python benchmarks/repetition.py [--validations N] [--sequences N] [--frames N]

Print, per kind of work, the memory of the process after a tenth of it and at the end, and how many MiB it has
grown in between. Validate a model again and again, evaluate blocks of sequences one after the other, and
imagine one long future, with the pretrained model of billiards. The memory is flat if it grows by less than
32 MiB.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import seqvae
from data_gen.simulator import build_simulator
from data_gen.splits import Split, make_sequences
from seqvae.config import make
from seqvae.data.sequences import Sequences, fields_of
from seqvae.evaluate.protocol import score
from seqvae.objectives import ELBO
from seqvae.rollout import imagine_far
from seqvae.sequence import SequenceModel
from seqvae.train.stages import TrainerOptions
from seqvae.train.validation import Validation

MODEL = "stove_billiards"
WORLD = {"_target_": "data_gen.sims.billiards.Billiards"}
BLOCK, LENGTH, SIZE = 64, 24, 32  # sequences, frames, pixels
GROWTH = 32  # MiB


def sequences(start: int, count: int) -> Sequences:
    """Simulate sequences start ... start + count - 1 of a test set."""
    split = Split(build_simulator(WORLD), "test", 2**31, LENGTH, SIZE, seed=1)
    arrays = make_sequences(split, start, start + count)
    limit = split.simulator.limit
    return Sequences(name="billiards", coord_limit=limit, simulator="billiards", **fields_of(arrays, limit))


def validations(model: SequenceModel, count: int) -> Iterator[int]:
    """Make a validation anew, and validate; yield after each."""
    options = make(TrainerOptions, {"steps": 1, "clip_length": 8, "validation_sequences": 4}, "trainer")
    data = sequences(0, 4)
    for number in range(count):
        Validation(data, ELBO(start=3), options, torch.device("cpu"))(model)
        yield number + 1


def evaluations(model: SequenceModel, count: int) -> Iterator[int]:
    """Evaluate `count` sequences, a block at a time; yield after each block."""
    for start in range(0, count, BLOCK):
        number = min(BLOCK, count - start)
        score(model, sequences(start, number), decode=True)
        yield start + number


def frames(model: SequenceModel, count: int) -> Iterator[int]:
    """Imagine `count` frames after 8 given ones; yield as often as a part of them is there."""
    done = 0
    for states in imagine_far(model, sequences(0, 1).frames, 8, count, chunk=1000):
        done += states.shape[1]
        yield done


WORK: dict[str, Callable[[SequenceModel, int], Iterator[int]]] = {
    "validations": validations,
    "sequences evaluated": evaluations,
    "frames imagined": frames,
}


def resident() -> float:
    """Return the memory that this process holds, in MiB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def measure(name: str, count: int) -> tuple[float, float, float]:
    """Return the memory after a tenth of the work and at the end, in MiB, and the seconds that it took."""
    model, begin, early = seqvae.load(MODEL), time.monotonic(), None
    for done in WORK[name](model, count):
        if early is None and done >= count / 10:
            early = resident()
    assert early is not None
    return early, resident(), time.monotonic() - begin


def report(counts: dict[str, int]) -> bool:
    """Print the table; return whether the memory is flat."""
    torch.set_num_threads(1)
    columns = "repeated", "times", "MiB after a tenth", "MiB at the end", "seconds", "flat"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    good = True
    for name, count in counts.items():
        early, late, seconds = measure(name, count)
        good &= late - early < GROWTH
        flat = "yes" if late - early < GROWTH else "**no**"
        print(f"| {name} | {count:,} | {early:.0f} | {late:.0f} | {seconds:.0f} | {flat} |", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--validations", type=int, default=2000)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=1_000_000)
    given = parser.parse_args()
    counts = dict(zip(WORK, (given.validations, given.sequences, given.frames), strict=True))
    return 0 if report(counts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
