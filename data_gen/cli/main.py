"""`python -m data_gen [COMMAND] key=value ...`: the commands, and the choice of one."""

from __future__ import annotations

from collections.abc import Sequence

from data_gen.cli.command import Command, dispatch

USAGE = """\
usage: python -m data_gen [COMMAND] key=value ...

  (none)     sim=billiards                         make train.h5, val.h5 and test.h5 of a simulator
  record     env=ID out=FOLDER                     record episodes of a Gymnasium environment
  import     data=FILE out=FOLDER                  turn arrays, pictures, videos and more into dataset files
  export     format=gswm data=FILE out=FOLDER      write dataset files in another format
  preview    data=FILE                             see a dataset: video, contact sheet, statistics

python -m data_gen COMMAND --help lists the keys, their meaning and defaults; the command without a name is
generate. With -m, key=a,b runs a job for each value. --version prints the version."""


def main(words: Sequence[str]) -> int:
    """Run a command; returns the exit code: 0 done, 1 failed, 2 bad input, 128 + signal when stopped."""
    return dispatch(COMMANDS, words, USAGE, default="generate")


def _command(name: str, function: str, config: str, shared: tuple[str, ...] = ()) -> Command:
    return Command("data_gen", name, function, config, sweeps="data", shared=shared, title="data_gen")


COMMANDS = {
    "generate": _command("generate", "data_gen.generate:run", "generate", shared=("shard",)),
    "record": _command("record", "data_gen.recording.command:run", "data_record"),
    "import": _command("import", "data_gen.convert:run_import", "data_import"),
    "export": _command("export", "data_gen.convert:run_export", "data_export"),
    "preview": _command("preview", "data_gen.preview:run", "data_preview"),
}
