"""Compose configs from yaml files and key=value overrides, and report faults in one line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_gen.cli.command import CONFIGS, Command, Job
from data_gen.cli.overrides import PATHS, literal, one_line, parse_overrides, quote, text_of, values_of
from data_gen.errors import DataError, did_you_mean

VERSION = "1.3"  # of Hydra's behaviour
SEARCH = "hydra.searchpath"
WORDS = {"sim": "simulator"}  # for groups whose name is none
MEANINGS = {  # key -> words of other programs for it
    "lr": ("learning_rate", "learningrate", "step_size"),
    "batch_size": ("batch", "batchsize", "bs", "minibatch"),
    "steps": ("epochs", "epoch", "num_epochs", "iterations", "iters", "updates", "num_steps", "max_steps"),
    "minutes": ("time", "max_time", "hours"),
    "seed": ("random_seed", "rng_seed", "rng"),
    "device": ("gpu", "gpus", "cuda", "accelerator"),
    "workers": ("num_workers", "n_workers", "jobs", "n_jobs", "processes"),
    "data": ("dataset", "data_dir", "data_path", "datapath", "input", "inputs", "file"),
    "out": ("output", "output_dir", "outdir", "out_dir", "save_dir", "dir", "folder"),
    "run": ("output", "output_dir", "outdir", "out_dir", "save_dir", "dir", "folder", "name", "run_name"),
    "checkpoint": ("ckpt",),
    "init": ("pretrained", "weights", "load_from", "ckpt", "checkpoint"),
    "length": ("frames", "num_frames", "sequence_length", "seq_len", "timesteps"),
    "clip_length": ("sequence_length", "seq_len", "num_frames", "timesteps", "length"),
    "horizon": ("num_frames", "timesteps", "length", "prediction_length"),
    "train": ("sequences", "num_sequences", "samples", "num_samples", "size", "n"),
    "image_size": ("size", "resolution", "img_size", "width", "height"),
    "num_balls": ("balls", "objects", "num_objects", "n_objects"),
    "slots": ("num_slots", "n_slots", "objects", "num_objects"),
    "clip": ("grad_clip", "clip_norm", "gradient_clip", "max_grad_norm"),
    "optim": ("optimizer", "optimiser"),
    "sim": ("simulator", "env", "environment", "world", "scenario"),
    "tracker": ("logger", "trackers", "wandb", "tensorboard", "mlflow"),
    "precision": ("amp", "dtype", "fp16", "bf16"),
    "threads": ("num_threads", "cpus"),
    "samples": ("num_samples", "n_samples"),
}
SYNONYMS = {  # word -> keys
    word: tuple(key for key, words in MEANINGS.items() if word in words)
    for word in {word for words in MEANINGS.values() for word in words}
}
Options = TypeVar("Options")


def compose(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the config `configs/NAME.yaml` with `overrides` ("key=value", "group=option") as plain data.

    The options chosen for its groups (`experiment`, `model`, ...) are under the key `choices`.

    Raises:
        DataError: an override is malformed, or names an unknown key or option.
    """
    checked = check_overrides(name, parse_overrides(overrides, PATHS.get(name, ())))
    with _hydra():
        config = _compose(name, checked)
    choices = our_choices(config.hydra.runtime.choices)
    del config["hydra"]
    return plain(config, choices)


def plain(config: DictConfig, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return a composed config, without Hydra's part, as plain data, with `choices` under that key.

    Raises:
        DataError: an interpolation leads nowhere.
    """
    try:
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise DataError(one_line(error)) from None
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()} | {"choices": dict(choices)}


@contextmanager
def _hydra() -> Iterator[None]:
    """Initialise Hydra on CONFIGS inside the context, also within a command that Hydra calls."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIGS), version_base=VERSION):
            yield
    finally:
        GlobalHydra.instance().hydra = outer


def our_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option chosen for each group that is not Hydra's."""
    return {group: option for group, option in choices.items() if not f"{group}/".startswith("hydra/")}


# The check before a command begins: every key and option that is named must exist.


def check_overrides(
    name: str, overrides: Sequence[Override], search: Sequence[str] = (), new_keys: bool = False
) -> list[str]:
    """Check that all keys and options in overrides of `configs/NAME.yaml` exist; return them for Hydra.

    A key beside a `_target_`, or in such a key, is added to the config: it is an argument at its default, and
    the part itself checks it. So is every key in a mapping that the yaml leaves empty (`arguments: {}`).

    search: folders with configs of the user
    new_keys: whether to add every unknown key, if no option of a group is chosen

    Raises:
        DataError: a key or option is unknown.
    """
    own = [o for o in overrides if not o.is_hydra_override()]
    hydras = _hydra_words(overrides, search)
    with _hydra():
        groups = group_options(name, hydras)
        chosen = [o for o in own if o.key_or_group in groups]
        for override in chosen:
            _require_options(override, groups)
        keys, empty = set[str](), set[str]()
        for choice in _choices(chosen):
            config = _compose(name, [*hydras, *choice])
            keys |= {*_keys(config), *our_choices(config.hydra.runtime.choices)}
            empty |= {key for key in _keys(config) if OmegaConf.select(config, key) == {}}
    new_keys = new_keys and not chosen
    return [
        text_of(o) if o.is_hydra_override() or o.key_or_group in groups else _known(o, keys, empty, new_keys)
        for o in overrides
    ]


def _hydra_words(overrides: Sequence[Override], search: Sequence[str]) -> list[str]:
    """Return the overrides of Hydra's own config, with the folders `search` in its search path."""
    hydras = [o for o in overrides if o.is_hydra_override()]
    given = [literal(o) for o in hydras if o.key_or_group == SEARCH]
    folders = [*search, *(path for paths in given for path in paths)]
    words = [text_of(o) for o in hydras if o.key_or_group != SEARCH]
    return [*words, f"{SEARCH}=[{','.join(map(quote, folders))}]"] if folders else words


def group_options(name: str, overrides: list[str]) -> dict[str, list[str]]:
    """Return the options per group of configs (`experiment`, `model`, ...); needs Hydra initialised."""
    loader = GlobalHydra.instance().config_loader()

    def options(group: str, kind: ObjectType) -> list[str]:
        return loader.get_group_options(group, kind, config_name=name, overrides=overrides)

    def walk(group: str) -> Iterator[str]:
        """Yield the options of a group, those of folders in it as `folder/option`."""
        yield from options(group, ObjectType.CONFIG)
        for inner in options(group, ObjectType.GROUP):
            if inner not in options(group, ObjectType.CONFIG):
                yield from (f"{inner}/{option}" for option in walk(f"{group}/{inner}"))

    groups = [group for group in options("", ObjectType.GROUP) if group != "hydra"]
    return {group: found for group in groups if (found := list(walk(group)))}


def _choices(groups: list[Override]) -> Iterator[list[str]]:
    """Yield selections of options, so that each option of each swept group occurs in one."""
    values = [values_of(override) for override in groups]
    for number in range(max((len(v) for v in values), default=1)):
        yield [
            text_of(override)
            if not override.is_sweep_override()
            else f"{override.get_key_element()}={option}"
            for override, options in zip(groups, values, strict=True)
            for option in [options[min(number, len(options) - 1)]]
        ]


def _require_options(override: Override, groups: Mapping[str, list[str]]) -> None:
    group = override.key_or_group
    values = [] if override.is_delete() else values_of(override)
    for value in values:
        for option in value if isinstance(value, list) else [value]:
            if option is not None and option not in groups[group]:
                known = did_you_mean(str(option), groups[group])
                if group == "sim" and "." in str(option):
                    known = f"load the plugin that registers it, plugins=[MODULE or ./FILE.py]; {known}"
                raise DataError(f"{group}={option}: no such {WORDS.get(group, group)}; {known}")


def _known(override: Override, known: Collection[str], empty: Collection[str], new_keys: bool) -> str:
    """Return an override as text, with ++ if its key is, or lies in, an argument that the yaml leaves out.

    empty: keys of mappings without content
    """
    key, text = override.key_or_group, text_of(override)
    if key in known and key not in empty:
        return text
    inside = key.rpartition(".")[0]
    while inside and inside not in known:
        inside = inside.rpartition(".")[0]
    is_free = key in empty or inside in empty or f"{inside}._target_" in known
    if (new_keys or is_free) and not override.is_delete():
        return "++" + text.lstrip("+")
    raise DataError(no_such_key(key, known))


def no_such_key(key: str, known: Collection[str]) -> str:
    """Return the message about an unknown, dotted key, with the known ones that it may stand for."""
    inside, _, name = key.rpartition(".")
    beside = [k for k in known if k.rpartition(".")[0] == (inside if inside in known else "")]
    near = _same_meaning(name, known, beside) or get_close_matches(key, known, n=3)
    return f"{key}: no such key; " + (
        f"did you mean {' or '.join(near)}?" if near else did_you_mean(key, beside)
    )


def _same_meaning(name: str, known: Collection[str], beside: Collection[str]) -> list[str]:
    """Return the known keys that are called `name`, or as the project calls it: beside it, else anywhere."""
    ours = (name, *SYNONYMS.get(name.lower().replace("-", "_"), ()))
    for keys in (beside, known):
        found = [key for our in ours for key in sorted(keys) if key.rpartition(".")[2] == our]
        if found:
            return found[:3]
    return []


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys."""
    if not isinstance(config, Mapping):
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _compose(name: str, overrides: list[str]) -> DictConfig:
    try:
        config = hydra.compose(name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise DataError(f"config {name}: {one_line(error)}") from None
    OmegaConf.set_struct(config, False)
    return config


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(config, DictConfig):
        for key in config:
            if not prefix and key == "hydra":
                continue
            name = f"{prefix}.{key}" if prefix else str(key)
            yield name
            if not OmegaConf.is_missing(config, key):
                yield from _keys(config[key], name)


def sweep_folder(
    command: Command, overrides: Sequence[Override], checked: Sequence[str], search: Sequence[str]
) -> str:
    """Return the folder of a sweep of checked overrides.

    The command line gives it by hydra.sweep.dir or the command's own key; else it is named by experiment or
    model. Jobs that differ in shared keys alone have the folder of a single job.
    """
    swept = {o.key_or_group for o in overrides if o.is_sweep_override()}
    given = {o.key_or_group: literal(o) for o in overrides if o.key_or_group not in swept}
    fixed = [
        text
        for override, text in zip(overrides, checked, strict=True)
        if override.key_or_group not in swept and not override.is_hydra_override()
    ]
    with _hydra():
        config = _compose(command.config, [*fixed, *_hydra_words(overrides, search)])
    if given.get(command.folder) and "hydra.sweep.dir" not in given:
        return str(given[command.folder])
    if not OmegaConf.is_missing(config.hydra.sweep, "dir"):
        return str(config.hydra.sweep.dir)
    if swept and swept <= set(command.shared):
        return str(config[command.folder])
    choices = {} if swept & {"experiment", "model"} else config.hydra.runtime.choices
    return f"{command.sweeps}/{choices.get('experiment') or choices.get('model') or command.name}"


def without_foreign_arguments(
    config: Mapping[str, Any], asked: Collection[str], takes: Callable[[str], Collection[str] | None]
) -> dict[str, Any]:
    """Return a composed config without the arguments of parts that the command line has replaced.

    The yaml's arguments beside a `_target_` of the command line are those of another part. They stay where
    the new part takes them, or where the command line names them too.

    takes: function from a `_target_` to the names of its arguments, None for any
    """
    changed = deepcopy(dict(config))
    for key in asked:
        *path, name = key.split(".")
        if name != "_target_":
            continue
        part: Any = changed
        for step in path:
            part = part.get(step) if isinstance(part, dict) else None
        accepted = takes(part[name]) if isinstance(part, dict) and isinstance(part.get(name), str) else None
        if accepted is None:
            continue
        inside = ".".join(path)
        for argument in [*part]:
            is_asked = any(f"{other}.".startswith(f"{inside}.{argument}.") for other in asked)
            if argument not in ("_target_", "_partial_", *accepted) and not is_asked:
                del part[argument]
    return changed


def option_values(config: Mapping[str, Any], job: Job, out: str = "") -> dict[str, Any]:
    """Return the options in a composed config; in a sweep `out` is the job's own folder, or a file in it."""
    values = {key: value for key, value in config.items() if key != "choices"}
    return values if job.folder is None else values | {"out": str(job.folder / out)}


def read_options(kind: type[Options], config: Mapping[str, Any], job: Job) -> Options:
    """Return the options in a composed config as a dataclass `kind`, which checks its values.

    Raises:
        DataError: a key is unknown, or a value is wrong.
    """
    values, known = option_values(config, job), [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise DataError(no_such_key(key, known))
    return kind(**values)
