"""Splits of a dataset: their sequences, made in blocks, and their files, written by any number of processes.

Block b of split s is seeded by SeedSequence(seed, s, b) and by nothing else. So a dataset holds the same
arrays whatever the number of processes or of shards, and a smaller one is the beginning of a larger one. This
holds for the sequences of a published set too, which a world makes by their numbers
(data_gen.world.Published).
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_gen.errors import DataError
from data_gen.schema import FIELDS, SHARD
from data_gen.simulator import (
    Emulator,
    Published,
    Simulator,
    SplitDependent,
    State,
    Trajectory,
    simulate,
    simulator_config,
)
from data_gen.workers import begin_worker, signals_held
from data_gen.writer import SEQUENCES, Packed, chunk_shape, create_dataset, pack

BLOCK = 64  # sequences
SPLITS = ("train", "val", "test")

_MAX_REJECTIONS = 100  # rounds in a row in which the simulator rejects every sequence

# A process makes several blocks at a time, as physics is faster on many sequences, but no more than fit into
# this many bytes of frames (256 sequences of 100 frames at 32x32 are 79 MB).
_TASK_BLOCKS, _TASK_BYTES = 4, 200 * 10**6


@dataclass(frozen=True)
class Split:
    """Everything that determines the arrays of one dataset file.

    A world that has objects of its own for each split is replaced by the one for this split.

    sequences: of all shards together
    shard, shards: number of the file, from 0, among those that the sequences are divided into

    Raises:
        DataError: there are more shards than blocks.
    """

    simulator: Simulator | Emulator
    name: str
    sequences: int
    length: int
    image_size: int
    seed: int
    shard: int = 0
    shards: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.simulator, SplitDependent):
            object.__setattr__(self, "simulator", self.simulator.for_split(self.name))
        if self.shards > max(self._blocks, 1):
            raise DataError(
                f"shards={self.shards}: {self.name}={self.sequences} has {self._blocks} blocks of {BLOCK} "
                f"sequences, which are not divided; take at most {self._blocks} shards"
            )

    @property
    def _blocks(self) -> int:
        return -(-self.sequences // BLOCK)

    @property
    def rows(self) -> range:
        """Numbers of the sequences in this file: whole blocks, as many in each shard, or one more."""
        first, end = (self._blocks * i // self.shards * BLOCK for i in (self.shard, self.shard + 1))
        return range(first, min(end, self.sequences))


# ---- sequences


def make_sequences(split: Split, start: int, stop: int) -> dict[str, np.ndarray]:
    """Make sequences start ... stop - 1 of a split, as far as they exist, by the keys of the dataset.

    The blocks that contain them are simulated in full, but only these sequences are rendered, or recorded.

    Raises:
        DataError: the simulator rejects everything that it samples.
    """
    stop = min(stop, split.sequences)
    blocks = range(start // BLOCK, -(-stop // BLOCK))
    requested = slice(start - blocks[0] * BLOCK, stop - blocks[0] * BLOCK)
    split_index = SPLITS.index(split.name)
    seeds = [np.random.SeedSequence((split.seed, split_index, block)) for block in blocks]
    rngs = [np.random.default_rng(seed) for seed in seeds]
    if isinstance(split.simulator, Emulator):
        return _record(split.simulator, split, requested, rngs)
    trajectory = _published(split.simulator, split, start, stop)
    if trajectory is None:
        trajectory = _select(_simulate_accepted(split.simulator, split.length, rngs), requested)
    return _render(split.simulator, trajectory, split.image_size)


def _record(
    emulator: Emulator, split: Split, requested: slice, rngs: list[np.random.Generator]
) -> dict[str, np.ndarray]:
    seeds = np.concatenate([rng.integers(2**63, size=BLOCK) for rng in rngs])
    return emulator.record(seeds[requested], split.length, split.image_size)


def _published(simulator: Simulator, split: Split, start: int, stop: int) -> Trajectory | None:
    """Simulate these sequences of a published set, None where the split is no such set."""
    if split.seed != 0 or not isinstance(simulator, Published):
        return None
    starts = simulator.published_starts(split.name, start, stop)
    return None if starts is None else simulate(simulator, starts, split.length)


def _select(trajectory: Trajectory, chosen: slice) -> Trajectory:
    """Return some sequences."""
    return Trajectory(
        trajectory.states.map(lambda array: array[chosen]),
        trajectory.rewards[chosen],
        trajectory.dones[chosen],
        trajectory.collisions[chosen],
        None if trajectory.actions is None else trajectory.actions[chosen],
    )


def _render(simulator: Simulator, trajectory: Trajectory, size: int) -> dict[str, np.ndarray]:
    """Return the arrays of sequences, by the keys of the dataset."""
    drawn = draw_states(simulator, trajectory.states, size)
    return {"imgs": drawn.pop("imgs"), **_arrays_by_key(trajectory), **drawn}


def draw_states(simulator: Simulator, states: State, image_size: int) -> dict[str, np.ndarray]:
    """Return the frames of states "n t k ..." and the other records of their objects, by their keys."""
    frames, masks = simulator.render(states, image_size)
    truth = simulator.truth(states)
    if masks is not None:
        numbers = np.arange(1, simulator.num_objects + 1)
        named = truth.get("ids", numbers)  # 0 where a world takes an object for invisible that shows
        identities = np.where(named > 0, named, numbers)
        truth |= {"masks": masks, **_visibility(masks, identities)}
    return {"imgs": frames, **truth}


def _visibility(masks: np.ndarray, identities: np.ndarray) -> dict[str, np.ndarray]:
    """Return `in_camera` and `ids` of masks "n t h w": an object is visible if it shows a pixel.

    identities: number of each object while it is visible, "k" or "n t k".
    """
    visible = np.stack([(masks == k + 1).any(axis=(2, 3)) for k in range(identities.shape[-1])], axis=-1)
    return {"in_camera": visible, "ids": np.where(visible, identities, 0)}


def _simulate_accepted(simulator: Simulator, length: int, rngs: list[np.random.Generator]) -> Trajectory:
    """Simulate BLOCK accepted sequences from each generator.

    All blocks run together, which is faster; each draws only from its own generator.
    """
    unfilled = np.arange(BLOCK * len(rngs))  # indices of sequences without an accepted one
    accepted = trial = _simulate_trial(simulator, length, rngs, unfilled)
    rejections = 0  # rounds in a row
    while True:
        is_accepted = simulator.accept(trial)
        unfilled = unfilled[~is_accepted]
        if not unfilled.size:
            return accepted
        rejections = 0 if is_accepted.any() else rejections + 1
        if rejections == _MAX_REJECTIONS:
            raise DataError(
                f"length={length}: the simulator rejects all sequences of this length; make them shorter"
            )
        trial = _simulate_trial(simulator, length, rngs, unfilled)
        for target, source in zip(_all_arrays(accepted), _all_arrays(trial), strict=True):
            target[unfilled] = source


def _simulate_trial(
    simulator: Simulator, length: int, rngs: list[np.random.Generator], indices: np.ndarray
) -> Trajectory:
    """Simulate one sequence per index, each from the generator of its block."""
    counts = np.bincount(indices // BLOCK, minlength=len(rngs))
    samples = [
        (simulator.reset(count, rng), simulator.sample_actions(count, length, rng))
        for count, rng in zip(counts, rngs, strict=True)
        if count
    ]
    actions = [actions for _, actions in samples if actions is not None]
    return simulate(
        simulator,
        _concatenate([state for state, _ in samples]),
        length,
        np.concatenate(actions) if actions else None,
    )


def _concatenate(states: list[State]) -> State:
    arrays = [state.arrays() for state in states]
    joined = {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}
    return State(joined.pop("positions"), joined.pop("velocities"), joined)


def _all_arrays(trajectory: Trajectory) -> list[np.ndarray]:
    return [*_arrays_by_key(trajectory).values(), *trajectory.states.extra.values()]


def _arrays_by_key(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """Return the arrays of a trajectory by their keys in the dataset."""
    arrays = {
        "positions": trajectory.states.positions,
        "velocities": trajectory.states.velocities,
        "rewards": trajectory.rewards,
        "dones": trajectory.dones,
        "collisions": trajectory.collisions,
    }
    if trajectory.actions is None:
        return arrays
    return {**arrays, "actions" if trajectory.actions.ndim == 2 else "actions_continuous": trajectory.actions}


# ---- files


def write_split(path: Path, split: Split, name: str, workers: int | None = None) -> None:
    """Write the file of a split, or of its shard, with a progress bar; an incomplete file is removed.

    name: of the simulator, as recorded in the file.
    workers: number of processes, by default one per core as far as there is work for it.

    Raises:
        DataError: the file cannot be written, or the simulator rejects everything.
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
        "action_low": getattr(simulator, "action_low", ()),
        "action_high": getattr(simulator, "action_high", ()),
    }
    rows = split.rows
    bar = tqdm(total=len(rows), desc=str(path), unit="seq", disable=None, leave=False)
    with bar, create_dataset(path, len(rows), attributes) as writer:
        for start, arrays in _run_tasks(split, workers):
            writer.write(start - rows.start, arrays)
            bar.update(arrays["imgs"].shape[0])


def describe(split: Split) -> dict[str, Any]:
    """Return everything that determines the arrays of a file, in the types that JSON restores."""
    description = {
        "simulator": simulator_config(split.simulator),
        "split": split.name,
        "sequences": split.sequences,
        "length": split.length,
        "image_size": split.image_size,
        "seed": split.seed,
    }
    description |= {SHARD: split.shard, "shards": split.shards} if split.shards > 1 else {}
    return json.loads(json.dumps(description))


def _run_tasks(split: Split, workers: int | None) -> Iterator[tuple[int, dict[str, Packed]]]:
    """Yield the packed arrays of a file in order, with the number of their first sequence in the split."""
    size = _task_size(split)
    starts = range(split.rows.start, split.rows.stop, size)
    workers = min(workers or _num_cores(), len(starts))
    if workers == 1:
        for start in starts:
            yield start, make_packed(split, start, start + size)
        return
    context = multiprocessing.get_context("spawn")  # works on every platform and with threads
    with ProcessPoolExecutor(workers, context, begin_worker) as pool:
        pending: deque[tuple[int, Future[dict[str, Packed]]]] = deque()
        try:
            for start in starts:
                with signals_held():
                    future = pool.submit(make_packed, split, start, start + size)
                pending.append((start, future))
                if len(pending) > workers:  # no more than that wait in memory to be written
                    first, future = pending.popleft()
                    yield first, future.result()
            for first, future in pending:
                yield first, future.result()
        except BrokenProcessPool:
            raise DataError("a worker process died, perhaps for lack of memory; try workers=1") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make_packed(split: Split, start: int, stop: int) -> dict[str, Packed]:
    """Return the arrays of make_sequences in compressed chunks of at most stop - start sequences."""
    rows = split.rows
    sequences = min(SEQUENCES, stop - start, len(rows))
    packed = {}
    for key, array in make_sequences(split, start, min(stop, rows.stop)).items():
        field = FIELDS[key]
        packed[key] = pack(array, field.dtype, chunk_shape(field.axes, array.shape, sequences))
    return packed


def _task_size(split: Split) -> int:
    """Return the sequences per task: full blocks, or a part of one where a block exceeds the memory."""
    fitting = _TASK_BYTES // (split.length * split.image_size**2 * 3)
    if fitting >= BLOCK:
        return min(fitting // BLOCK, _TASK_BLOCKS) * BLOCK
    return max(fitting, 1)


def _num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
