"""The help of a command: its yaml with the comments in it, and the options of its groups."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from data_gen.cli.command import Command
from data_gen.cli.configs import CONFIGS

FOOTER = """\
-m                a sweep: key=a,b runs a job for each value
--cfg job         print the config and end
--config-dir DIR  folder with configs of yours, such as DIR/{group}/NAME.yaml
--hydra-help      all flags, and Hydra's own groups, such as hydra/launcher
"""


def help_text(command: Command, folder: str | None = None) -> str:
    """Return the help text. folder: configs of the user's, whose options are listed too."""
    text = (CONFIGS / f"{command.config}.yaml").read_text()
    chosen = _defaults(text)
    lines = [_without_defaults(text).strip(), ""]
    if chosen:
        lines += ["Groups, GROUP=OPTION:"]
        width = max(map(len, chosen))
        lines += [f"  {group:<{width}}  {', '.join(_options(group, folder))}" for group in chosen]
        lines += [""]
    for group, option in chosen.items():
        if option is not None:
            body = (CONFIGS / group / f"{option}.yaml").read_text().strip()
            lines += [
                f"{group}:  # {group}={option}",
                *(f"  {line}".rstrip() for line in body.splitlines()),
                "",
            ]
    return "\n".join(lines) + "\n" + FOOTER.format(group=list(chosen)[-1] if chosen else "GROUP")


def _defaults(text: str) -> dict[str, str | None]:
    """Return group -> option of a yaml's defaults list."""
    groups: dict[str, str | None] = {}
    for entry in yaml.safe_load(text).get("defaults", []):
        if isinstance(entry, dict):
            groups |= entry
    return groups


def _without_defaults(text: str) -> str:
    """Return a yaml without its defaults list, which the text about groups stands for."""
    return re.sub(r"^defaults:\n(?: .*\n)+\n?", "", text, flags=re.MULTILINE)


def _options(group: str, folder: str | None) -> list[str]:
    places = [CONFIGS / group, *([Path(folder) / group] if folder else [])]
    return sorted(
        file.relative_to(place).with_suffix("").as_posix()
        for place in places
        for file in place.rglob("*.yaml")
    )
