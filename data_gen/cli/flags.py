"""Separate Hydra's flags from the other words of a command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from data_gen.errors import DataError

SWITCHES = {
    "--help": "-h",
    "--run": "-r",
    "--multirun": "-m",
    "--shell-completion": "-sc",
    "--hydra-help": None,
    "--version": None,
    "--resolve": None,
}
WITH_VALUE = {
    "--package": "-p",
    "--config-path": "-cp",
    "--config-name": "-cn",
    "--config-dir": "-cd",
    "--experimental-rerun": None,
}
INFOS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        remedy = "options are key=value, without dashes, and " if "unrecognized" in message else ""
        raise DataError(f"{message}; {remedy}--hydra-help lists the flags")


def read_flags(words: Sequence[str]) -> Namespace:
    """Return the values of the flags, which may stand anywhere, and the other words as `words`.

    Raises:
        DataError: a flag is unknown, its value is missing, or two of them exclude each other.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name, short in SWITCHES.items():
        parser.add_argument(*filter(None, (short, name)), action="store_true")
    for name, short in WITH_VALUE.items():
        parser.add_argument(*filter(None, (short, name)))
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-i", "--info", nargs="?", const="all", choices=INFOS)
    parser.add_argument("words", nargs="*")
    flags = parser.parse_intermixed_args(words)
    if sum(map(bool, (flags.run, flags.multirun, flags.shell_completion, flags.cfg, flags.info))) > 1:
        raise DataError("give one of --run, --multirun, --cfg, --info and --shell-completion")
    if flags.resolve and not flags.cfg:
        raise DataError("--resolve goes with --cfg")
    if flags.config_dir and not Path(flags.config_dir).is_dir():
        raise DataError(f"--config-dir {flags.config_dir}: no such folder")
    return flags


def hydra_words(flags: Namespace) -> list[str]:
    """Return the flags as Hydra reads them."""
    words: list[str] = []
    for name, value in vars(flags).items():
        if name != "words" and value:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    return words
