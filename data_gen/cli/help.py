"""The help of a command: its yaml with the comments in it, and the options of its groups."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from data_gen.cli.command import CONFIGS, Command

PACKAGE = "# @package _global_\n"  # first line of a yaml whose keys stand at the top
WIDTH = 110
FOOTER = """\
-m                a sweep: key=a,b runs a job for each value
--cfg job         print the config and end
--config-dir DIR  folder with configs of yours, such as DIR/{group}/NAME.yaml
--hydra-help      all flags, and Hydra's own groups, such as hydra/launcher"""


def help_text(command: Command, folder: str | None = None, worlds: Sequence[str] = ()) -> str:
    """Return the help text.

    folder: folder with configs of the user, whose options are listed too.
    worlds: of plugins, options of `sim` without a yaml.
    """
    text = (CONFIGS / f"{command.config}.yaml").read_text()
    chosen = _defaults(text)
    parts = [_without_defaults(text).strip()]
    if chosen:
        parts.append(
            "\n".join(
                ["Groups, GROUP=OPTION:", *(_list(g, folder, worlds if g == "sim" else ()) for g in chosen)]
            )
        )
    parts += [_contents(group, option) for group, option in chosen.items() if option is not None]
    return "\n\n".join([*parts, FOOTER.format(group=list(chosen)[-1] if chosen else "GROUP")])


def _defaults(text: str) -> dict[str, str | None]:
    """Return group -> option of a yaml's defaults list."""
    groups: dict[str, str | None] = {}
    config = OmegaConf.to_container(OmegaConf.create(text))
    for entry in config.get("defaults", []) if isinstance(config, dict) else []:
        if isinstance(entry, dict):
            groups |= entry
    return groups


def _without_defaults(text: str) -> str:
    """Return a yaml without its defaults list; the list of groups replaces it."""
    return re.sub(r"^defaults:\n(?: .*\n)+\n?", "", text, flags=re.MULTILINE)


def _list(group: str, folder: str | None, more: Sequence[str]) -> str:
    places = [CONFIGS / group, *([Path(folder) / group] if folder else [])]
    files = [file.relative_to(place) for place in places for file in place.rglob("*.yaml")]
    options = ", ".join([*sorted(file.with_suffix("").as_posix() for file in files), *more])
    return textwrap.fill(f"{group:<12}{options}", WIDTH, initial_indent="  ", subsequent_indent=14 * " ")


def _contents(group: str, option: str) -> str:
    text = (CONFIGS / group / f"{option}.yaml").read_text()
    title = f"# {group}={option}"
    if text.startswith(PACKAGE):
        return f"{title}\n{text.removeprefix(PACKAGE).strip()}"
    return f"{group}:  {title}\n{textwrap.indent(text.strip(), '  ')}"
