"""Commands, and the choice of one by its name; without Hydra, so that usage texts come at once."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from data_gen import __version__
from data_gen.ending import set_title, speaks
from data_gen.errors import DataError, did_you_mean
from data_gen.plugins import load_plugins

_PACKAGE = Path(__file__).resolve().parents[1]
# inside the package when installed from a wheel, beside it in a checkout
CONFIGS = next(p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir())

HELP = ("-h", "--help", "help")
VERSION = ("-V", "--version")
COMPLETION = ("-sc", "--shell-completion")


class Stop(Exception):
    """End of a command before its work is done, with a line of explanation and an exit code."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Job:
    """One call of a command.

    asked: keys on the command line
    choices: option chosen for each group of configs
    folder: folder of a job of a sweep, its own unless the jobs share one, or None
    """

    asked: frozenset[str] = frozenset()
    choices: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


ALONE = Job()


@dataclass(frozen=True)
class Command:
    """A command of a program.

    function: "module:name"; takes the config as plain data and a Job, returns a score for sweepers to
        minimise, or None
    config: name of its yaml in configs/
    folder: key of the folder that it writes to
    sweeps: default folder for the folders of sweeps
    first: key of a first word that is no key=value, or None
    faults: exceptions for bad input
    shared: keys whose values are jobs of a sweep that write into one folder
    own_keys: function of the overrides: whether the command knows keys that its yaml does not have
    title: beginning of its messages; by default program and name
    """

    program: str
    name: str
    function: str
    config: str
    folder: str = "out"
    sweeps: str = "runs"
    first: str | None = None
    shared: tuple[str, ...] = ()
    faults: tuple[type[Exception], ...] = (DataError,)
    own_keys: Callable[[Sequence[Any]], bool] | None = None
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or f"{self.program} {self.name}")

    def call(self, config: dict[str, Any], job: Job) -> float | None:
        """Load the plugins of the config, import the function, which may take seconds, and call it."""
        load_plugins(config.get("plugins"))
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)(config, job)

    def tell(self, message: object, job: str = "") -> None:
        """Print a line on stderr, in one of processes that work together."""
        if speaks():
            print(f"{self.title}{f' [{job}]' if job else ''}: {message}", file=sys.stderr, flush=True)


def dispatch(commands: Mapping[str, Command], words: Sequence[str], usage: str, default: str = "") -> int:
    """Run the command that the first word names, or the default one; return the exit code.

    If the reader of the output is gone, as in `... | head`, the command ends there, without a word; code 1.
    """
    try:
        code = _dispatch(commands, words, usage, default)
        if sys.stdout is not None:
            sys.stdout.flush()  # at the exit of Python nothing could catch the error
        return code
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if stream is not None and _is_closed(stream)]
        if not closed:  # another pipe is broken
            raise
        for stream in closed:  # what is left in their buffers has a place to go
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        return 1


def _is_closed(stream: TextIO) -> bool:
    """Return whether nobody reads the pipe that a stream writes to."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _dispatch(commands: Mapping[str, Command], words: Sequence[str], usage: str, default: str) -> int:
    program = next(iter(commands.values())).program
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    if set(COMPLETION) & set(words):
        from data_gen.cli.completion import complete

        return complete(commands, words, default)
    if not words:
        print(usage, file=sys.stderr)
        return 2
    if words and words[0] in VERSION:
        print(f"{program} {__version__}")
        return 0
    if words and words[0] in HELP:
        print(usage, end="\n\n" if default else "\n")
        return _print_help(commands[default], []) if default else 0
    if default and set("=-") & set(words[0]):
        words = [default, *words]
    if words[0] not in commands:
        near = did_you_mean(words[0], commands)
        known = near if near.startswith("did") else f"known: {', '.join(commands)}"
        print(f"{program}: no command {words[0]}; {known}", file=sys.stderr)
        return 2
    command, words = commands[words[0]], words[1:]
    set_title(command.title)
    if set(HELP[:2]) & set(words):
        return _print_help(command, words)
    from data_gen.cli.run import run_command  # Hydra takes a moment to import

    return run_command(command, words)


def _print_help(command: Command, words: Sequence[str]) -> int:
    from data_gen.cli.flags import read_flags
    from data_gen.cli.help import help_text

    try:
        flags, worlds = read_flags(words), []
        if any(word.startswith("plugins=") for word in flags.words):
            from data_gen.cli.plugins import worlds_of_plugins

            worlds = worlds_of_plugins(flags.words)
        print(help_text(command, flags.config_dir, worlds))
    except DataError as error:
        command.tell(error)
        return 2
    return 0
