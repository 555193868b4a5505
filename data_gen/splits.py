"""Splits of a dataset: their sequences, made in blocks, and their files, written by any number of processes.

Block b of split s is seeded by SeedSequence(seed, s, b) and by nothing else. So a dataset holds the same
arrays whatever the number of processes, and a smaller one is the beginning of a larger one.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_gen.errors import DataError
from data_gen.schema import FIELDS
from data_gen.simulator import Emulator, Simulator, State, Trajectory, simulate, simulator_config
from data_gen.writer import SEQUENCES, Packed, chunk_shape, create_dataset, pack

BLOCK = 64
SPLITS = ("train", "val", "test")

_PATIENCE = 100  # rounds in a row in which every sequence is rejected


@dataclass(frozen=True)
class Split:
    """What determines the arrays of one dataset file.

    A simulator with a method `for_split(name)` gives the one for this split, with objects of its own.
    """

    simulator: Simulator | Emulator
    name: str
    sequences: int
    length: int
    image_size: int
    seed: int

    def __post_init__(self) -> None:
        if hasattr(self.simulator, "for_split"):
            object.__setattr__(self, "simulator", self.simulator.for_split(self.name))


def make_sequences(split: Split, start: int, stop: int) -> dict[str, np.ndarray]:
    """Sequences start ... stop - 1 of a split, as far as it goes, by the keys of the dataset.

    The blocks they lie in are simulated whole, but only they are rendered, or recorded. Raises DataError
    where the simulator rejects everything it draws.
    """
    index = SPLITS.index(split.name)
    stop = min(stop, split.sequences)
    blocks = range(start // BLOCK, -(-stop // BLOCK))
    rngs = [np.random.default_rng(np.random.SeedSequence((split.seed, index, block))) for block in blocks]
    wanted = slice(start - blocks[0] * BLOCK, stop - blocks[0] * BLOCK)
    if hasattr(split.simulator, "record"):
        seeds = np.concatenate([rng.integers(2**63, size=BLOCK) for rng in rngs])
        return split.simulator.record(seeds[wanted], split.length, split.image_size)
    trajectory = _simulate_accepted(split.simulator, split.length, rngs)
    arrays = {key: array[wanted] for key, array in _by_key(trajectory).items()}
    states = trajectory.states.map(lambda array: array[wanted])
    frames, masks = split.simulator.render(states, split.image_size)
    truth = split.simulator.truth(states)
    if masks is not None:
        truth |= {"masks": masks, **_seen(masks, split.simulator.num_objects)}
    return {"imgs": frames, **arrays, **truth}


def _seen(masks: np.ndarray, num_objects: int) -> dict[str, np.ndarray]:
    """Which objects show at least one pixel, and the numbers of those: truth from masks "n t h w"."""
    seen = np.stack([(masks == k + 1).any(axis=(2, 3)) for k in range(num_objects)], axis=-1)
    return {"in_camera": seen, "ids": np.where(seen, np.arange(1, num_objects + 1), 0)}


def _simulate_accepted(simulator: Simulator, length: int, rngs: list[np.random.Generator]) -> Trajectory:
    """BLOCK accepted sequences from each generator; all blocks run together, which is faster."""
    kept = None
    places = np.arange(BLOCK * len(rngs))  # those still to be filled
    barren = 0
    while places.size:
        counts = np.bincount(places // BLOCK, minlength=len(rngs))
        draws = [
            (simulator.reset(m, rng), simulator.sample_actions(m, length, rng))
            for m, rng in zip(counts, rngs, strict=True)
            if m
        ]
        start = _concatenate([state for state, _ in draws])
        actions = None if draws[0][1] is None else np.concatenate([a for _, a in draws])
        trial = simulate(simulator, start, length, actions)
        if kept is None:
            kept = trial
        else:
            for target, source in zip(_all_arrays(kept), _all_arrays(trial), strict=True):
                target[places] = source
        accepted = simulator.accept(trial)
        places = places[~accepted]
        barren = 0 if accepted.any() else barren + 1
        if barren == _PATIENCE:
            raise DataError(
                f"length={length}: the simulator rejects all sequences of this length; make them shorter"
            )
    return kept


def _concatenate(states: list[State]) -> State:
    arrays = [state.arrays() for state in states]
    joined = {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}
    return State(joined.pop("positions"), joined.pop("velocities"), joined)


def _all_arrays(trajectory: Trajectory) -> list[np.ndarray]:
    return [*_by_key(trajectory).values(), *trajectory.states.extra.values()]


def _by_key(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """The arrays of a trajectory by their key in the dataset."""
    arrays = {
        "positions": trajectory.states.positions,
        "velocities": trajectory.states.velocities,
        "rewards": trajectory.rewards,
        "dones": trajectory.dones,
        "collisions": trajectory.collisions,
    }
    return arrays if trajectory.actions is None else {**arrays, "actions": trajectory.actions}


# What one process makes at a time: several blocks, for physics is faster on many sequences, but no more
# than fits into this memory (256 sequences of 100 frames at 32x32 are 79 MB).
_TASK_BLOCKS, _TASK_BYTES = 4, 200 * 10**6


def write_split(
    path: Path, split: Split, name: str, workers: int | None = None, stop: threading.Event | None = None
) -> None:
    """Write one dataset file, with a progress bar; `name` is the simulator's name in the file.

    workers: number of processes, by default one a core where there is work for it.
    stop: raises KeyboardInterrupt between two blocks once it is set.

    Raises DataError when the file cannot be written. Nothing is left behind but whole files.
    """
    simulator = split.simulator
    attributes = {
        "simulator": name,
        "config": describe(split),
        "seed": split.seed,
        "dt": 1.0,
        "coord_limit": simulator.limit,
        "num_actions": simulator.num_actions,
        "shape_names": simulator.shape_names,
    }
    bar = tqdm(total=split.sequences, desc=str(path), unit="seq", disable=None, leave=False)
    with bar, create_dataset(path, split.sequences, attributes) as writer:
        for start, arrays in _run_tasks(split, workers):
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            writer.write(start, arrays)
            bar.update(arrays["imgs"].shape[0])


def _run_tasks(split: Split, workers: int | None) -> Iterator[tuple[int, dict[str, Packed]]]:
    """The arrays of a split in order and packed, with the index of their first sequence."""
    size = _task_size(split)
    starts = range(0, split.sequences, size)
    workers = min(workers or _cores(), len(starts))
    if workers == 1:
        for start in starts:
            yield start, make_packed(split, start, start + size)
        return
    # Spawned, which works on every platform and with threads; Ctrl-C is for the parent alone.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        ahead: deque = deque()
        try:
            for start in starts:
                ahead.append((start, pool.submit(make_packed, split, start, start + size)))
                if len(ahead) > workers:  # no more than that wait in memory to be written
                    first, future = ahead.popleft()
                    yield first, future.result()
            for first, future in ahead:
                yield first, future.result()
        except BrokenProcessPool:
            raise DataError("a worker process died, perhaps for want of memory; try workers=1") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make_packed(split: Split, start: int, stop: int) -> dict[str, Packed]:
    """What make_sequences makes, in compressed chunks of as many sequences as fit into stop - start."""
    sequences = min(SEQUENCES, stop - start, split.sequences)
    packed = {}
    for key, array in make_sequences(split, start, stop).items():
        field = FIELDS[key]
        packed[key] = pack(array, field.dtype, chunk_shape(field.axes, array.shape, sequences))
    return packed


def _task_size(split: Split) -> int:
    """Sequences in a task: whole blocks, or where even one is too large for memory, a part of one."""
    fitting = _TASK_BYTES // (split.length * split.image_size**2 * 3)
    if fitting >= BLOCK:
        return min(fitting // BLOCK, _TASK_BLOCKS) * BLOCK
    return max(fitting, 1)


def describe(split: Split) -> dict[str, Any]:
    """Everything that determines the arrays of a split, as JSON gives it back."""
    description = {
        "simulator": simulator_config(split.simulator),
        "split": split.name,
        "sequences": split.sequences,
        "length": split.length,
        "image_size": split.image_size,
        "seed": split.seed,
    }
    return json.loads(json.dumps(description))


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
