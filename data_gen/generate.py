"""`python -m data_gen sim=billiards`: make train.h5, val.h5 and test.h5 of a simulator.

With `shard=3 shards=64` a job makes train-00003-of-00064.h5, one of 64 files that together are the training
set; that of shard 0 makes val.h5 and test.h5 as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.card import CARD, remove_card, write_card
from data_gen.cli.command import CONFIGS, Job
from data_gen.cli.configs import compose, read_options, without_foreign_arguments
from data_gen.errors import DataError, require_number
from data_gen.locks import output_folder
from data_gen.schema import read_info
from data_gen.shards import MOST_SHARDS, missing_shards, shard_files, shard_path
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
    shard: int | None = None
    shards: int | None = None
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
        self._require_shard()

    def _require_shard(self) -> None:
        """Raise DataError unless shard and shards are both given, or neither is."""
        if self.shards is None:
            if self.shard is not None:
                raise DataError(f"shard={self.shard}: say of how many, shards=N")
            return
        require_number("shards", self.shards, minimum=2, maximum=MOST_SHARDS - 1, integer=True)
        last = self.shards - 1
        if self.shard is None:
            raise DataError(
                f"shards={self.shards}: say which one this job makes, shard=0 to shard={last}, "
                f"or all of them: -m 'shard=range({self.shards})'"
            )
        require_number("shard", self.shard, minimum=0, maximum=last, integer=True)
        if not self.train:
            raise DataError(f"shards={self.shards}: divide the training set, so give train= a size")

    def splits(self) -> Iterator[Split]:
        """Yield what this job makes: all splits with a size, or a shard, and with shard 0 the other splits.

        Raises:
            DataError: the simulator cannot be made, or the training set has too few sequences for the shards.
        """
        simulator = build_simulator(self.sim)
        for name in SPLITS:
            size, common = getattr(self, name), (self.length, self.image_size, self.seed)
            if size and name == "train" and self.shard is not None and self.shards is not None:
                yield Split(simulator, name, size, *common, self.shard, self.shards)
            elif size and not self.shard:
                yield Split(simulator, name, size, *common)


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
        DataError: a file exists with another configuration (unless settings.overwrite), or a dataset of the
            same name in other shards, which is checked before anything is made; or a file cannot be made.
    """
    splits, folder = list(settings.splits()), Path(settings.out)
    if _unwritten(splits, settings) or not (folder / CARD).exists():
        name = "" if settings.shard is None else f"{settings.shard}of{settings.shards}"
        with output_folder(folder, part=name):  # other jobs may make other shards there
            _write(splits, settings)
    else:
        for split in splits:
            _print_kept(_file(folder, split))


def _write(splits: list[Split], settings: Settings) -> None:
    folder = Path(settings.out)
    unwritten = _unwritten(splits, settings)  # looked at again, now that nobody else writes them
    if unwritten:
        remove_card(folder)  # that of the files that are replaced
    for split in splits:
        path, began = _file(folder, split), time.perf_counter()
        if path not in unwritten:
            _print_kept(path)
            continue
        write_split(path, split, settings.name, settings.workers)
        print(
            f"{path}: {len(split.rows)} sequences of {split.length} frames, "
            f"{split.image_size}x{split.image_size}, in {time.perf_counter() - began:.1f} s"
        )
    if missing := [file for name in SPLITS for file in missing_shards(folder / f"{name}.h5")]:
        print(f"{folder}: shards still to be made: {len(missing)}; the last one writes the card")
    elif unwritten or not (folder / CARD).exists():
        write_card(folder)


def _unwritten(splits: list[Split], settings: Settings) -> list[Path]:
    """Return the files that are to be made; raise DataError for one of another configuration or number."""
    folder, unwritten = Path(settings.out), []
    for split in splits:
        path = _file(folder, split)
        _require_alone(path, folder / f"{split.name}.h5", split.shards)
        if settings.overwrite or not path.exists():
            unwritten.append(path)
        else:
            _require_same(path, describe(split))
    return unwritten


def _print_kept(path: Path) -> None:
    print(f"{path}: already there, made from the same configuration; left as it is")


def _file(folder: Path, split: Split) -> Path:
    """Return the file of a split, or of its shard."""
    path = folder / f"{split.name}.h5"
    return path if split.shards == 1 else shard_path(path, split.shard, split.shards)


def _require_alone(path: Path, dataset: Path, shards: int) -> None:
    """Raise DataError if the dataset that `path` is a file of exists in another number of files."""
    others = [file for (count, _), file in shard_files(dataset).items() if count != shards]
    others += [dataset] if dataset.exists() and shards > 1 else []
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise DataError(
            f"{path}: {others[0].name}{more} of the same dataset exists; remove it, or choose out=FOLDER"
        )


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
