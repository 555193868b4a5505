"""Configs from yaml files and key=value overrides, as plain data; a fault becomes one line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import seqvae
from seqvae.errors import UserError, did_you_mean

# values that are paths: taken literally, with whatever characters a file name may hold
PATHS = ("run", "data", "val", "out", "init")


def configs_folder() -> Path:
    """`configs/`, inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(seqvae.__file__).parent
    return next(p for p in (package / "configs", package.parent / "configs") if p.is_dir())


def compose(name: str, overrides: list[str], paths: tuple[str, ...] = PATHS) -> dict[str, Any]:
    """The config `configs/NAME.yaml` with `overrides` ("key=value", "group=option"), as plain data.

    The choice made for each group (`experiment`, `model`, ...) is kept under the key `choices`.

    Raises:
        UserError: an override is malformed, or names an unknown key, option or experiment.
    """
    overrides = [_checked(text, paths) for text in overrides]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs_folder()), version_base="1.3"):
        kinds = groups()
        for text in overrides:
            _check_option(text, kinds)
        chosen = [text for text in overrides if _key(text) in kinds]
        known = set(_keys(_compose(name, chosen))) | kinds
        config = _compose(name, [_known(text, known) for text in overrides])
    choices = {key: value for key, value in config.hydra.runtime.choices.items() if key in kinds}
    del config["hydra"]
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"config {name}: {_one_line(error)}") from None
    return plain | {"choices": choices}


def said(overrides: list[str], paths: tuple[str, ...] = PATHS) -> dict[str, Any]:
    """What the overrides themselves say: key -> value, whether or not there is such a key.

    Raises:
        UserError: an override is malformed.
    """
    parse = OverridesParser.create().parse_override
    return {_key(text): parse(_checked(text, paths)).value() for text in overrides}


def groups() -> set[str]:
    """The groups of configs (`experiment`, `model`, ...): the folders of configs/ that hold yamls."""
    return {file.parent.name for file in configs_folder().glob("*/*.yaml")}


def no_such_key(key: str, known: Collection[str]) -> str:
    """The message about a key that is none of the known, dotted ones."""
    inside = key.rpartition(".")[0]
    near = get_close_matches(key, known, n=3)
    beside = [k for k in known if k.rpartition(".")[0] == (inside if inside in known else "")]
    return f"{key}: no such key; {did_you_mean(key, near or beside)}"


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(config, Mapping):
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _compose(name: str, overrides: list[str]) -> Any:
    try:
        config = hydra_compose(name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"config {name}: {_one_line(error)}") from None
    OmegaConf.set_struct(config, False)
    return config


def _checked(text: str, paths: tuple[str, ...]) -> str:
    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        raise UserError(f"{text}: expected key=value")
    if not _key(text):
        raise UserError(f"{text}: expected key=value, the key is missing")
    if key in paths:
        text = f"{key}='{_escaped(value)}'" if value else f"{key}=null"
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UserError(f"{text}: {_one_line(error)}") from None
    if override.is_sweep_override():
        raise UserError(f"{text}: one value a key; quote a value that holds commas: '{key}=\"a,b\"'")
    return text


def _escaped(value: str) -> str:
    # a backslash needs escaping only before a quote, and so only there
    value = re.sub(r"(\\*)'", lambda m: m.group(1) * 2 + r"\'", value)
    trailing = len(value) - len(value.rstrip("\\"))
    return value + "\\" * trailing


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _value(override: str) -> str:
    return override.partition("=")[2].strip("'\"")


def _check_option(override: str, kinds: set[str]) -> None:
    group, option = _key(override), _value(override)
    if group not in kinds or option == "null" or override.startswith("~"):
        return
    options = {file.stem for file in (configs_folder() / group).glob("*.yaml")}
    if option not in options:
        raise UserError(f"{group}={option}: no such {group}; {did_you_mean(option, options)}")


def _known(override: str, known: set[str]) -> str:
    """The override, if its key exists, or is an argument of a part whose yaml leaves it at its default.

    Whether the part has such an argument is checked where it is made.
    """
    key = _key(override)
    inside = key.rpartition(".")[0]
    if key in known:
        return override
    if f"{inside}._target_" in known and not override.startswith("~"):
        return "++" + override.lstrip("+")
    raise UserError(no_such_key(key, known))


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(config, DictConfig):
        for key in config:
            if not prefix and key == "hydra":
                continue
            name = f"{prefix}.{key}" if prefix else str(key)
            yield name
            if not OmegaConf.is_missing(config, key):
                yield from _keys(config[key], name)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
