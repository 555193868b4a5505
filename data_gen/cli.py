"""What the commands share: options from a yaml and key=value, interrupts, and faults told in one line."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_gen.errors import DataError

_PACKAGE = Path(__file__).resolve().parent
# inside the package when installed from a wheel, beside it in a checkout
CONFIGS = next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir())

_INTERRUPTED = 130  # what a shell reports for a process stopped by Ctrl-C
_PATHS = ("data", "out")  # taken literally, with whatever characters a file name may hold

Options = TypeVar("Options")


def read_options(kind: type[Options], command: str, overrides: list[str]) -> Options:
    """The yaml of a command with key=value overrides, as a dataclass `kind`, which checks its values.

    Raises DataError for unknown keys.
    """
    config = compose_config(command, overrides)
    known = [field.name for field in fields(cast(Any, kind))]
    for key in config:
        if key not in known:
            raise DataError(f"{key}: unknown option; {_remedy(command)} them")
    return kind(**config)


def compose_config(command: str, overrides: list[str]) -> dict[str, Any]:
    """The yaml of a command with overrides, as plain data; raises DataError where they do not fit."""
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = OmegaConf.to_container(compose(yaml_of(command).stem, overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        problem = str(error).strip().splitlines()[0].rstrip(".")
        raise DataError(f"{problem}; {_remedy(command)} the options") from None
    return cast(dict[str, Any], config)


def yaml_of(command: str) -> Path:
    """The file with the options of a command; data_ keeps them apart from the commands of seqvae."""
    return CONFIGS / ("generate.yaml" if command == "generate" else f"data_{command}.yaml")


def _remedy(command: str) -> str:
    return f"python -m data_gen {command} --help lists"


def quoted(overrides: list[str]) -> list[str]:
    """Overrides in which the values of data= and out= stand in quotes, so that any path is a word."""
    return [_quoted(text) for text in overrides]


def _quoted(text: str) -> str:
    key, _, value = text.partition("=")
    if key not in _PATHS or not value:
        return text
    kept = value.rstrip("\\")
    escaped = kept.replace("'", r"\'") + "\\\\" * (len(value) - len(kept))
    return f"{key}='{escaped}'"


def run(job: Callable[[threading.Event], object]) -> int:
    """Do a command's job; returns the exit code: 0, 2 for bad input, 130 when interrupted.

    The job gets an event, set by Ctrl-C or SIGTERM, after which it is to raise KeyboardInterrupt.
    """
    try:
        with _interrupts_noted() as stop:
            job(stop)
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
