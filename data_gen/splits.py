"""Writes one dataset file, block by block, with any number of processes."""

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
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_gen.blocks import BLOCK, Split, make_sequences
from data_gen.chunks import SEQUENCES, Packed, chunk_shape, pack
from data_gen.errors import DataError
from data_gen.schema import FIELDS, create_dataset
from data_gen.simulator import simulator_config

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
