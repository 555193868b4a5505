"""Plugins of a command line, loaded before its config is composed: their worlds are options of `sim`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import MISSING
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_gen.cli.overrides import literal, parse_overrides
from data_gen.errors import DataError
from data_gen.plugins import OWN, PluginError, load_installed, load_plugins

KEY = "plugins"
IMAGE_SIZE = 32  # pixels along an edge, for worlds that have no yaml
PROVIDER = "plugins"


def use_plugins(overrides: Sequence[Override]) -> tuple[str, ...]:
    """Load the plugins that a command line names, and offer each of their worlds as `sim=MODULE.CLASS`.

    If such a name is chosen, the plugins of installed packages are loaded too. Returns a line for each of
    these that cannot be loaded.

    Raises:
        PluginError: a plugin cannot be loaded, or the key has several values.
    """
    given = [override for override in overrides if override.key_or_group == KEY]
    if any(override.is_sweep_override() for override in given):
        raise PluginError(f"{KEY}: all jobs of a sweep have the same; give one list, {KEY}=[a,./b.py]")
    names_world = any(o.key_or_group == "sim" and "." in str(o.value()) for o in overrides)
    faults = load_installed() if names_world else ()
    for override in given:
        value = None if override.is_delete() else literal(override)
        load_plugins(list(value) if isinstance(value, ListConfig) else value)
    if given or names_world:
        _offer_worlds()
    return faults


def worlds_of_plugins(words: Sequence[str]) -> list[str]:
    """Load the plugins that words of a command line name; return the worlds of plugins, as `sim=` takes them.

    Raises:
        PluginError: a plugin cannot be loaded, or the key has several values.
    """
    use_plugins(parse_overrides([word for word in words if word.startswith(f"{KEY}=")]))
    return list(_foreign_worlds())


def _foreign_worlds() -> dict[str, type]:
    """Return the worlds that are not of this package, by their dotted names."""
    from data_gen.simulator import worlds  # NumPy takes a moment to import

    return {target: world for target, world in worlds().items() if target.partition(".")[0] not in OWN}


def _offer_worlds() -> None:
    """Store a config of the group `sim` for each world that is not of this package."""
    from data_gen.simulator import world_fields

    for target, world in _foreign_worlds().items():
        options = {name: "???" if value is MISSING else value for name, value in world_fields(world).items()}
        node: dict[str, Any] = {
            "name": re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", world.__name__).lower(),
            "image_size": IMAGE_SIZE,
            "sim": {"_target_": target, **options},
        }
        try:
            config = OmegaConf.create(node)
        except OmegaConfBaseException as error:
            raise DataError(f"{target}: a default is no plain value that a yaml can hold ({error})") from None
        ConfigStore.instance().store(target, config, group="sim", package="_global_", provider=PROVIDER)
