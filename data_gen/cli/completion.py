"""Completion of command lines by Hydra, for a program with several commands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path

from data_gen.cli.command import Command
from data_gen.cli.run import run_command

FLAG = "--shell-completion"


def complete(commands: Mapping[str, Command], words: Sequence[str], default: str) -> int:
    """Print shell code that installs completion (`install=bash`), or completions (`query=bash`).

    The line to complete is in the environment variable COMP_LINE, as in `seqvae train mo`. Returns the exit
    code.
    """
    asked = [word for word in words if word.startswith(("install=", "uninstall=", "query="))]
    if len(asked) != 1:
        command = commands[default] if default else next(iter(commands.values()))
        command.tell("-sc: say install=bash, uninstall=bash (or another shell)")
        return 2
    if not asked[0].startswith("query="):
        return run_command(next(iter(commands.values())), [FLAG, *asked])
    line = os.environ.get("COMP_LINE", "")
    program, *words = _words(line)
    is_first = not words or (len(words) == 1 and not line.endswith(" "))
    if is_first:
        print(" ".join(name for name in commands if name.startswith("".join(words))))
    name, rest = (words[0], words[1:]) if words and words[0] in commands else (default, words)
    if name and (default or not is_first):
        os.environ["COMP_LINE"] = " ".join([program, *rest]) + " " * (line.endswith(" ") or not rest)
        with redirect_stderr(StringIO()), suppress(Exception):  # a line that cannot be has no completion
            run_command(commands[name], [FLAG, *asked])
    return 0


def _words(line: str) -> list[str]:
    """Return the words of a line, with `python -m seqvae` as one word."""
    words = line.split() or ["program"]
    if Path(words[0]).name.startswith("python") and words[1:2] == ["-m"]:
        words = words[2:] or ["program"]
    return words
