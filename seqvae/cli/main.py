"""`python -m seqvae COMMAND key=value ...`: the commands, and the choice of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from data_gen.cli.command import Command, dispatch
from data_gen.errors import DataError
from seqvae.cli.place import Place
from seqvae.errors import UserError

USAGE = """\
usage: python -m seqvae COMMAND [key=value ...]

  train      experiment=stove_billiards data=data/billiards   train a model; run=DIR resume=true goes on
  rollout    run=DIR data=FILE index=0                        imagine the future of a sequence
  evaluate   run=DIR data=FILE                                score a model by the evaluation protocol
  plan       run=DIR sim=avoidance                            act in a simulator by planning, from frames
  play       run=DIR data=FILE                                change objects on a page, and see the future
  inspect    PATH                                             describe a data set, checkpoint or run
  report     run=DIR                                          one page on a run, to look at in a browser
  compare    runs=[A,B]                                       one page on several runs, on the same sequences
  export     run=DIR out=pretrained/NAME                      write weights and a card, for sharing

python -m seqvae COMMAND --help lists the keys, their meaning and defaults. With -m, key=a,b runs a job for
each value. --version prints the version. run= also takes the name of a pretrained model, such as
stove_billiards; in Python, seqvae.load("RUN") gives the model."""


def main(words: Sequence[str]) -> int:
    """Run a command; returns the exit code: 0 done, 1 failed, 2 bad input, 128 + signal when stopped."""
    return dispatch(COMMANDS, words, USAGE)


def continues_run(overrides: Sequence[Any]) -> bool:
    """Return whether train continues a run; then the run's own config has the known keys."""
    from data_gen.cli.overrides import literal

    keys = {f.name for f in fields(Place)}
    given = [o for o in overrides if o.key_or_group in keys and not o.is_sweep_override()]
    place = Place(**{o.key_or_group: literal(o) for o in given})
    return bool(place.resume) and place.checkpoint is not None


def _command(name: str, **options: Any) -> Command:
    faults = (DataError, UserError)
    return Command("seqvae", name, f"seqvae.cli.{name}:run", name, faults=faults, **options)


COMMANDS = {
    "train": _command("train", folder="run", own_keys=continues_run),
    "rollout": _command("rollout"),
    "evaluate": _command("evaluate"),
    "plan": _command("plan"),
    "play": _command("play"),
    "inspect": _command("inspect", first="path"),
    "report": _command("report"),
    "compare": _command("compare"),
    "export": _command("export"),
}
