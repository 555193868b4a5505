"""`python -m data_gen sim=billiards`: make train.h5, val.h5 and test.h5 of a simulator."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from data_gen.blocks import BLOCK, SPLITS, Split, make_sequences
from data_gen.errors import DataError, require_number
from data_gen.schema import create_dataset, read_info
from data_gen.simulator import build_simulator, simulator_config

_PACKAGE = Path(__file__).resolve().parent
# inside the package when installed from a wheel, beside it in a checkout
CONFIGS = next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir())

# What one process makes at a time: physics likes many sequences, memory few (256 of 100 frames at 32x32
# are 79 MB).
_TASK = 4 * BLOCK

_INTERRUPTED = 130  # what a shell reports for a process stopped by Ctrl-C

# Set by Ctrl-C, and looked at between blocks: an exception out of a signal handler is lost where it hits a
# destructor, and h5py has many.
_stop = threading.Event()


@dataclass(frozen=True)
class Settings:
    """configs/generate.yaml, composed and checked."""

    name: str
    sim: dict[str, Any]
    out: str
    train: int
    val: int
    test: int
    length: int
    image_size: int
    seed: int
    workers: int | None
    overwrite: bool

    def __post_init__(self) -> None:
        for key, minimum in dict(train=0, val=0, test=0, length=1, image_size=1, seed=0).items():
            require_number(key, getattr(self, key), minimum=minimum, integer=True)
        if self.workers is not None:
            require_number("workers", self.workers, minimum=1, integer=True)
        if not isinstance(self.overwrite, bool):
            raise DataError(f"overwrite={self.overwrite}: must be true or false")
        for key in ("name", "out"):
            if not isinstance(getattr(self, key), str) or not getattr(self, key):
                raise DataError(f"{key}={getattr(self, key)}: must be a word")
        if not isinstance(self.sim, dict):
            raise DataError(f"sim={self.sim}: must name one of {', '.join(_simulators())}")
        if not self.train + self.val + self.test:
            raise DataError("train=0 val=0 test=0: nothing to make; give at least one a size")


def read_settings(overrides: list[str]) -> Settings:
    """Compose configs/generate.yaml with key=value overrides; raises DataError for unknown keys."""
    for override in overrides:
        choice = override.removeprefix("sim=")
        if choice != override and choice not in _simulators():
            raise DataError(f"{override}: there is no such simulator; choose from {', '.join(_simulators())}")
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = OmegaConf.to_container(compose("generate", overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        problem = str(error).strip().splitlines()[0].rstrip(".")
        raise DataError(f"{problem}; python -m data_gen --help lists the options") from None
    known = [field.name for field in fields(Settings)]
    for key in config:
        if key not in known:
            raise DataError(f"{key}: unknown option; python -m data_gen --help lists them")
    return Settings(**config)


def generate(settings: Settings) -> None:
    """Write the files that `settings` asks for, and say on stdout what was written.

    A file that is already there with the same configuration is left as it is; one with another
    configuration raises DataError, before anything is made, unless settings.overwrite.
    """
    simulator = build_simulator(settings.sim)
    folder = Path(settings.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"out={folder}: cannot be made ({error.strerror}); choose another folder") from None
    splits = [
        Split(simulator, name, getattr(settings, name), settings.length, settings.image_size, settings.seed)
        for name in SPLITS
        if getattr(settings, name)
    ]
    wanted = []
    for split in splits:
        path = folder / f"{split.name}.h5"
        if path.exists() and not settings.overwrite:
            _require_same(path, _description(split))
            print(f"{path}: already there, made from the same configuration; left as it is")
        else:
            wanted.append((path, split))
    for path, split in wanted:
        began = time.perf_counter()
        write_split(path, split, settings.name, settings.workers)
        print(
            f"{path}: {split.sequences} sequences of {split.length} frames, "
            f"{split.image_size}x{split.image_size}, in {time.perf_counter() - began:.1f} s"
        )


def write_split(path: Path, split: Split, name: str, workers: int | None = None) -> None:
    """Write one dataset file, with a progress bar; `name` is the simulator's name in the file.

    workers: number of processes, by default one a core where there is work for it.
    """
    simulator = split.simulator
    attributes = {
        "simulator": name,
        "config": _description(split),
        "seed": split.seed,
        "dt": 1.0,
        "coord_limit": simulator.limit,
        "num_actions": simulator.num_actions,
        "shape_names": simulator.shape_names,
    }
    bar = tqdm(total=split.sequences, desc=str(path), unit="seq", disable=None, leave=False)
    with bar, create_dataset(path, split.sequences, attributes) as writer:
        for start, arrays in _run_tasks(split, workers):
            if _stop.is_set():
                raise KeyboardInterrupt
            writer.write(start, arrays)
            bar.update(len(arrays["imgs"]))


def _run_tasks(split: Split, workers: int | None) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The arrays of a split in order, with the index of their first sequence."""
    tasks = [(start, min(start + _TASK, split.sequences)) for start in range(0, split.sequences, _TASK)]
    workers = min(workers or _cores(), len(tasks))
    if workers == 1:
        for start, stop in tasks:
            yield start, make_sequences(split, start, stop)
        return
    # Spawned, which works on every platform and with threads; Ctrl-C is for the parent alone.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        ahead: deque = deque()
        try:
            for start, stop in tasks:
                ahead.append((start, pool.submit(make_sequences, split, start, stop)))
                if len(ahead) > workers:  # no more than that wait in memory to be written
                    first, future = ahead.popleft()
                    yield first, future.result()
            for first, future in ahead:
                yield first, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _description(split: Split) -> dict[str, Any]:
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


def _require_same(path: Path, wanted: dict[str, Any]) -> None:
    """Raise DataError unless the dataset at `path` was made from the configuration `wanted`."""
    remedy = "overwrite=true replaces it, out=FOLDER leaves it"
    try:
        found = read_info(path).config
    except DataError as error:
        raise DataError(f"{path}: exists, but is no whole dataset of this format; {remedy}") from error
    if found == wanted:
        return
    for key in wanted:
        if found.get(key) != wanted[key]:
            raise DataError(f"{path}: exists, made with {key}={found.get(key)}, not {wanted[key]}; {remedy}")
    raise DataError(f"{path}: exists, made from another configuration; {remedy}")


def _simulators() -> list[str]:
    return sorted(file.stem for file in (CONFIGS / "sim").glob("*.yaml"))


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _help() -> str:
    return (
        "usage: python -m data_gen [sim=NAME] [key=value ...]\n\n"
        f"Makes train.h5, val.h5 and test.h5 of a simulator: {', '.join(_simulators())}.\n\n"
        f"{(CONFIGS / 'generate.yaml').read_text()}"
    )


def _interrupt(*_: object) -> None:
    if _stop.is_set():
        raise KeyboardInterrupt  # asked for twice: at once
    _stop.set()


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    if {"-h", "--help"} & set(arguments):
        print(_help())
        return 0
    for stopping in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stopping, _interrupt)
    try:
        generate(read_settings(arguments))
    except DataError as error:
        print(f"data_gen: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("data_gen: interrupted; the unfinished file is removed, finished ones stay", file=sys.stderr)
        return _INTERRUPTED
    return 0
