"""The entrance: which command, and how faults are told."""

from __future__ import annotations

import importlib
import os
import sys

USAGE = """\
usage: python -m seqvae COMMAND [key=value ...]

  train      experiment=stove_billiards data=data/billiards   train a model; run=DIR resume=true goes on
  rollout    run=DIR data=FILE index=0                        see and store a model's future of a sequence
  evaluate   run=DIR data=FILE                                score a model by the evaluation protocol
  inspect    PATH                                             what a data set, checkpoint or run is
  export     run=DIR out=pretrained/NAME                      a model's weights and a card, to give away

The keys and their meaning are in configs/COMMAND.yaml. In Python, seqvae.load("RUN") gives the model."""

COMMANDS = ("train", "rollout", "evaluate", "inspect", "export")


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, else the command's own."""
    if not arguments:
        print(USAGE, file=sys.stderr)
        return 2
    command, *overrides = arguments
    if {"-h", "--help", "help"} & set(arguments):
        print(USAGE)
        return 0
    if command not in COMMANDS:
        print(f"seqvae: no command {command}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    # imported late: the usage text and a misspelt command need no torch
    from data_gen.errors import DataError
    from seqvae.types import UserError

    try:
        return importlib.import_module(f"seqvae.cli.{command}").main(overrides) or 0
    except (UserError, DataError) as error:
        if os.environ.get("RANK", "0") == "0":  # processes that train together fail alike: one tells
            print(f"seqvae {command}: {error}", file=sys.stderr)
        return 2
