"""`python -m data_gen record env=ID out=DIR`: any Gymnasium environment as train.h5, val.h5 and test.h5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.card import remove_card, write_card
from data_gen.cli.command import Job
from data_gen.cli.configs import read_options
from data_gen.errors import DataError, require_choice, require_flags, require_number, require_words
from data_gen.locks import output_folder
from data_gen.progress import show_progress, track
from data_gen.recording.environment import FRAMES, Environment, open_environment
from data_gen.recording.episodes import Episode, cut_episodes, record_episode, starts_of
from data_gen.recording.policies import find_policy
from data_gen.schema import read_info
from data_gen.simulator import simulator_config
from data_gen.splits import SPLITS
from data_gen.writer import create_dataset

_STREAM = 3  # in seeds of episodes, (seed, _STREAM, episode), where blocks of generated data have the split
_NOT_RECORDED = ("out", "overwrite")  # options that do not determine the arrays


@dataclass(frozen=True)
class RecordOptions:
    """Options of configs/data_record.yaml, composed and checked."""

    env: str
    out: str
    policy: str = "random"
    episodes: int = 100
    steps: int = 1000
    length: int | None = None
    image_size: int | None = None
    crop: bool = True
    frames: str = "auto"
    arguments: dict[str, Any] = field(default_factory=dict)
    val: float = 0.1
    test: float = 0.2
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_words(self, "env", "out", "policy")
        require_flags(self, "crop", "overwrite")
        require_choice("frames", self.frames, FRAMES)
        for key in ("episodes", "steps", "length", "image_size"):
            if getattr(self, key) is not None:
                require_number(key, getattr(self, key), minimum=1, maximum=10**6, integer=True)
        require_number("seed", self.seed, minimum=0, maximum=2**63 - 1, integer=True)
        for key in ("val", "test"):
            require_number(key, getattr(self, key), minimum=0, maximum=1)
        if not isinstance(self.arguments, dict):
            raise DataError(
                f"arguments={self.arguments}: expected names and values, arguments={{name: value}}"
            )
        if self.val + self.test > 1:
            raise DataError(f"val={self.val} test={self.test}: more than all together; give shares")
        self.division()

    def division(self) -> dict[str, range]:
        """Return the numbers of the episodes of each split; the last ones are those of val and test."""
        sizes = {key: max(1, round(getattr(self, key) * self.episodes)) for key in ("val", "test")}
        sizes = {key: size if getattr(self, key) > 0 else 0 for key, size in sizes.items()}
        sizes["train"] = self.episodes - sizes["val"] - sizes["test"]
        if sizes["train"] < (self.val + self.test < 1):
            raise DataError(
                f"episodes={self.episodes}: too few for val={self.val} and test={self.test}, which get whole "
                "ones; record more, or say val=0 test=0"
            )
        first, numbers = 0, {}
        for split in SPLITS:
            numbers[split] = range(first, first + sizes[split])
            first += sizes[split]
        return {split: found for split, found in numbers.items() if found}


@show_progress()
def run(config: Mapping[str, Any], job: Job) -> None:
    """Run the command record with a composed config."""
    options = read_options(RecordOptions, config, job)
    record(options)


def record(options: RecordOptions) -> list[Path]:
    """Record all episodes, then write the files, and print what was written and what was left out.

    Raises:
        DataError: the environment cannot be recorded, a file exists (unless options.overwrite), or no
            episode is as long as a sequence.
    """
    division, folder = options.division(), Path(options.out)
    for split in division:
        if (folder / f"{split}.h5").exists() and not options.overwrite:
            raise DataError(f"{folder / split}.h5: exists; overwrite=true replaces it, out=FOLDER leaves it")
    environment = open_environment(
        options.env, options.arguments, options.frames, options.image_size, options.crop
    )
    with output_folder(folder):
        return _record(environment, options)


def _record(environment: Environment, options: RecordOptions) -> list[Path]:
    division, folder = options.division(), Path(options.out)
    episodes = _record_all(environment, options)
    lengths = np.array([len(episode) for episode in episodes])
    length = options.length or int(lengths.min())
    for split, numbers in division.items():
        if lengths[numbers].max() < length:
            raise DataError(
                f"length={length}: the longest episode for {split} has {lengths[numbers].max()} frames; take "
                "a smaller length, or more episodes"
            )
    print(_describe(lengths, length))
    remove_card(folder)  # that of the files that are replaced
    paths = [
        _write(folder, split, [(i, episodes[i]) for i in numbers], length, environment, options)
        for split, numbers in division.items()
    ]
    write_card(folder)
    return paths


def _record_all(environment: Environment, options: RecordOptions) -> list[Episode]:
    """Record every episode, each from random streams of its own."""
    make_policy, episodes = find_policy(options.policy), []
    for number in track(range(options.episodes), "episodes"):
        of_env, of_policy = np.random.SeedSequence((options.seed, _STREAM, number)).spawn(2)
        policy = make_policy(environment.env.action_space, np.random.default_rng(of_policy))
        seed = int(of_env.generate_state(1)[0] % 2**31)
        episodes.append(record_episode(environment, policy, seed, options.steps))
    if any(episode.shape[1:] != episodes[0].shape[1:] for episode in episodes):
        raise DataError(f"env={environment.name}: its frames differ in size; image_size= brings them to one")
    environment.env.close()
    return episodes


def _write(
    folder: Path,
    split: str,
    episodes: list[tuple[int, Episode]],
    length: int,
    environment: Environment,
    options: RecordOptions,
) -> Path:
    path = folder / f"{split}.h5"
    sequences = sum(len(starts_of(len(episode), length)) for _, episode in episodes)
    attributes = _attributes(split, sequences, length, episodes[0][1].shape[2], environment, options)
    start = 0
    with create_dataset(path, sequences, attributes) as writer:
        for arrays in cut_episodes(episodes, length):
            writer.write(start, arrays)
            start += len(arrays["imgs"])
    info = read_info(path)
    size = f"{info.width}x{info.height}"
    print(f"{path}: {sequences} sequences of {length} frames, {size}, episodes: {len(episodes)}")
    return path


def _attributes(
    split: str, sequences: int, length: int, width: int, environment: Environment, options: RecordOptions
) -> dict[str, Any]:
    """Return the root attributes of a file."""
    defaults = {f: x.default for f, x in RecordOptions.__dataclass_fields__.items()}
    chosen = {
        key: value
        for key, value in asdict(options).items()
        if key not in _NOT_RECORDED and value != defaults[key] and value != {}
    }
    config = {
        "record": chosen,
        "split": split,
        "sequences": sequences,
        "length": length,
        "seed": options.seed,
    }
    simulator, actions = environment.simulator, environment.actions
    if simulator is not None:
        config["simulator"] = simulator_config(simulator)
    return {
        "simulator": options.env,
        "config": config,
        "seed": options.seed,
        "dt": 1.0,
        "coord_limit": float(width) if simulator is None else simulator.limit,
        "num_actions": actions.count,
        "shape_names": () if simulator is None else simulator.shape_names,
        "action_low": actions.low,
        "action_high": actions.high,
    }


def _describe(lengths: np.ndarray, length: int) -> str:
    text = f"{len(lengths)} episodes of {lengths.min()} to {lengths.max()} frames"
    short = int((lengths < length).sum())
    left_out = f"; {short} left out, for they have less" if short else ""
    return f"{text}, cut into sequences of {length}{left_out}"
