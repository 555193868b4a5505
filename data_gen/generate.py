"""`python -m data_gen sim=billiards`: make train.h5, val.h5 and test.h5 of a simulator."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_gen.blocks import SPLITS, Split
from data_gen.errors import DataError, require_number
from data_gen.schema import read_info
from data_gen.simulator import build_simulator
from data_gen.splits import describe, write_split

_PACKAGE = Path(__file__).resolve().parent
# inside the package when installed from a wheel, beside it in a checkout
CONFIGS = next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir())

_RANGES = {
    "train": (0, 10**9),
    "val": (0, 10**9),
    "test": (0, 10**9),
    "length": (1, 10**6),
    "image_size": (1, 4096),
    "seed": (0, 2**63 - 1),
}

_INTERRUPTED = 130  # what a shell reports for a process stopped by Ctrl-C


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
        for key, (minimum, maximum) in _RANGES.items():
            require_number(key, getattr(self, key), minimum=minimum, maximum=maximum, integer=True)
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


def generate(settings: Settings, stop: threading.Event | None = None) -> None:
    """Write the files that `settings` asks for, and say on stdout what was written.

    A file that is already there with the same configuration is left as it is; one with another
    configuration raises DataError, before anything is made, unless settings.overwrite. Once `stop` is set,
    raises KeyboardInterrupt.
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
            _require_same(path, describe(split))
            print(f"{path}: already there, made from the same configuration; left as it is")
        else:
            wanted.append((path, split))
    for path, split in wanted:
        began = time.perf_counter()
        write_split(path, split, settings.name, settings.workers, stop)
        print(
            f"{path}: {split.sequences} sequences of {split.length} frames, "
            f"{split.image_size}x{split.image_size}, in {time.perf_counter() - began:.1f} s"
        )


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


def _help() -> str:
    return (
        "usage: python -m data_gen [sim=NAME] [key=value ...]\n\n"
        f"Makes train.h5, val.h5 and test.h5 of a simulator: {', '.join(_simulators())}.\n\n"
        f"{(CONFIGS / 'generate.yaml').read_text()}"
    )


@contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """Inside, Ctrl-C and SIGTERM set an event, which is looked at between blocks; a second one raises.

    An exception out of a signal handler is lost where it hits a destructor, and h5py has many.
    """
    stop = threading.Event()

    def note(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    if {"-h", "--help"} & set(arguments):
        print(_help())
        return 0
    try:
        with _interrupts_noted() as stop:
            generate(read_settings(arguments), stop)
    except DataError as error:
        print(f"data_gen: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("data_gen: too little memory; take a smaller image_size or length", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("data_gen: interrupted; the unfinished file is removed, finished ones stay", file=sys.stderr)
        return _INTERRUPTED
    return 0
