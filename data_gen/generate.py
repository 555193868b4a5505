"""`python -m data_gen sim=billiards`: make train.h5, val.h5 and test.h5 of a simulator."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.card import CARD, remove_card, write_card
from data_gen.cli.command import CONFIGS, Job
from data_gen.cli.configs import compose, read_options, without_foreign_arguments
from data_gen.errors import DataError, require_number
from data_gen.locks import output_folder
from data_gen.schema import read_info
from data_gen.simulator import build_simulator, world_arguments
from data_gen.splits import SPLITS, Split, describe, write_split

_RANGES = {
    "train": (0, 10**9),
    "val": (0, 10**9),
    "test": (0, 10**9),
    "length": (1, 10**6),
    "image_size": (1, 4096),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True)
class Settings:
    """Options of configs/generate.yaml, composed and checked."""

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
    plugins: Sequence[str] = ()

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


def read_settings(overrides: Sequence[str] = ()) -> Settings:
    """Compose configs/generate.yaml with key=value overrides; raises DataError for unknown keys."""
    return read_options(Settings, compose("generate", overrides), Job())


def run(config: Mapping[str, Any], job: Job) -> None:
    """Make the files that a composed config asks for."""
    if "sim._target_" in job.asked and "name" not in job.asked:
        target = config["sim"]["_target_"]
        raise DataError(f"sim._target_={target}: also give its data a name, name=NAME")
    config = without_foreign_arguments(config, job.asked, world_arguments)
    settings = read_options(Settings, config, job)
    generate(settings)


def generate(settings: Settings) -> None:
    """Write the files of the splits that have a size, and print what was written.

    A file that exists with the same configuration is left as it is.

    Raises:
        DataError: a file exists with another configuration (unless settings.overwrite), which is checked
            before anything is made; or a file cannot be made.
    """
    simulator, folder = build_simulator(settings.sim), Path(settings.out)
    splits = [
        Split(simulator, name, getattr(settings, name), settings.length, settings.image_size, settings.seed)
        for name in SPLITS
        if getattr(settings, name)
    ]
    if _unwritten(splits, settings) or not (folder / CARD).exists():
        with output_folder(folder):
            _write(splits, settings)
    else:
        for split in splits:
            _print_kept(_path(split, settings))


def _write(splits: list[Split], settings: Settings) -> None:
    folder = Path(settings.out)
    unwritten = _unwritten(splits, settings)  # looked at again, now that nobody else writes there
    if unwritten:
        remove_card(folder)  # that of the files that are replaced
    for split in splits:
        path, began = _path(split, settings), time.perf_counter()
        if path not in unwritten:
            _print_kept(path)
            continue
        write_split(path, split, settings.name, settings.workers)
        print(
            f"{path}: {split.sequences} sequences of {split.length} frames, "
            f"{split.image_size}x{split.image_size}, in {time.perf_counter() - began:.1f} s"
        )
    if unwritten or not (folder / CARD).exists():
        write_card(folder)


def _path(split: Split, settings: Settings) -> Path:
    return Path(settings.out) / f"{split.name}.h5"


def _unwritten(splits: list[Split], settings: Settings) -> list[Path]:
    """Return the files that are to be made; raise DataError for a file of another configuration."""
    unwritten = []
    for split in splits:
        path = _path(split, settings)
        if settings.overwrite or not path.exists():
            unwritten.append(path)
        else:
            _require_same(path, describe(split))
    return unwritten


def _print_kept(path: Path) -> None:
    print(f"{path}: already there, made from the same configuration; left as it is")


def _require_same(path: Path, wanted: dict[str, Any]) -> None:
    """Raise DataError unless the dataset at `path` was made with the configuration `wanted`."""
    remedy = "overwrite=true replaces it, out=FOLDER leaves it"
    try:
        existing = read_info(path).config
    except DataError as error:
        raise DataError(f"{path}: exists, but is no whole dataset of this format; {remedy}") from error
    if existing == wanted:
        return
    for key, value in wanted.items():
        if existing.get(key) != value:
            raise DataError(f"{path}: exists, made with {key}={existing.get(key)}, not {value}; {remedy}")
    raise DataError(f"{path}: exists, made from another configuration; {remedy}")


def _simulators() -> list[str]:
    return sorted(file.stem for file in (CONFIGS / "sim").glob("*.yaml"))
