"""python -m data_gen [COMMAND] key=value ..."""

from __future__ import annotations

from data_gen.ending import run_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run a command as a part of this process; return its exit code, as data_gen.cli.main.main does."""
    from data_gen.cli.main import main  # after `console` has begun to handle signals

    return main(words)


def console() -> None:
    """Run the console script `data_gen`."""
    run_process("data_gen", main)


if __name__ == "__main__":
    console()
