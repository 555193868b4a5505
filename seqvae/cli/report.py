"""`python -m seqvae report`: one HTML file on a run, to look at and to send."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data_gen.cli.command import ALONE, Job
from data_gen.cli.configs import compose, flatten
from data_gen.cli.overrides import PATHS, quote
from data_gen.schema import dataset_file
from data_gen.shards import is_dataset
from seqvae.cli import evaluate
from seqvae.cli.data import make_folder, read_config
from seqvae.data.sequences import read_sequences
from seqvae.errors import UserError, require_at_least
from seqvae.report import require_packages
from seqvae.shipped import pretrained_folder, run_folder, suggestion
from seqvae.streams import Stream
from seqvae.train.runtime import pick_device, seed_everything

PAGE = "report.html"
OWN = ("run", "data", "out")  # keys of an evaluation that are written first


@dataclass(frozen=True)
class ReportConfig:
    """The keys of configs/report.yaml."""

    run: str
    out: str | None
    evaluate: bool
    data: str | None
    evaluation: str | None
    videos: int
    sequences: int
    checkpoint: str
    device: str
    threads: int | None
    seed: int

    def __post_init__(self):
        require_at_least(vars(self), videos=0, sequences=0, threads=1)
        if self.out and Path(self.out).suffix not in (".html", ".htm"):
            raise UserError(f"out={self.out}: expected a name ending in .html")
        if self.data and not is_dataset(dataset_file(self.data)):
            raise UserError(f"data={self.data}: no such file; make a dataset with python -m data_gen")
        if not Path(self.run).exists() and pretrained_folder(self.run) is None:
            raise UserError(f"{self.run}: no such run or checkpoint{suggestion(self.run)}")


def run(config: Mapping[str, Any], job: Job) -> None:
    """Write the page of a run."""
    options = read_config(ReportConfig, config, job, out=PAGE)
    options = replace(options, data=str(dataset_file(options.data)) if options.data else None)
    require_packages()
    from seqvae.report.data import read_data
    from seqvae.report.page import write_page
    from seqvae.report.read import EVALUATION, read_run
    from seqvae.report.report import make_report

    results, named = run_folder(options.run), pretrained_folder(options.run)
    folder = Path(options.evaluation) if options.evaluation else results / EVALUATION
    record = read_run(named or Path(options.run), options.checkpoint, folder)
    if options.evaluation and record.evaluation is None and not options.evaluate:
        raise UserError(f"evaluation={options.evaluation}: holds no evaluation (no metrics.json)")
    if options.evaluate and record.evaluation is None:
        _evaluate(record, options, folder)
        record = record.with_evaluation(folder)
    data = read_data(record)
    pictures, missing = _draw(record, options)
    page = Path(options.out or results / PAGE)
    make_folder(page.parent)
    text = make_report(record, data, pictures, _commands(record, data, options), options.videos, missing)
    write_page(page, text)
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, open it in a browser")


def _evaluate(record: Any, options: ReportConfig, out: Path) -> None:
    from seqvae.report.data import test_file

    data = options.data or test_file(record.config)
    if data is None:
        raise UserError(
            "evaluate=true: no test data are known (no test.h5 beside the training data); say data=FILE"
        )
    words = [f"run={options.run}", f"data={data}", f"out={out}", "sample=true"]
    words += [f"checkpoint={options.checkpoint}", f"device={options.device}"]
    words += [f"threads={options.threads}"] if options.threads else []
    evaluate.run(compose("evaluate", words), ALONE)


def _draw(record: Any, options: ReportConfig) -> tuple[Any, dict[str, Any]]:
    """Return the pictures that the model draws, and why some are missing."""
    from seqvae.report.data import find_sequences
    from seqvae.report.pictures import IMAGES, ModelPictures, draw_model
    from seqvae.report.report import Missing

    if record.model is None:
        missing = Missing("There is no model that could draw pictures.")
        return ModelPictures(), {"strips": missing, "slots": missing, "prior": missing}
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    seed_everything(options.seed, Stream.EVALUATION)
    model, found = record.model.to(pick_device(options.device)), find_sequences(record, options.data)
    sequences, missing = None, {}
    if found is not None:
        try:
            size = model.spec.height, model.spec.width
            sequences = read_sequences(found, None, size, first=max(IMAGES, options.sequences))
            if model.actions and sequences.num_actions != model.actions:
                raise UserError(f"{found}: the model follows {model.actions} actions, and it has others")
        except UserError as error:
            if options.data:
                raise
            sequences, missing = None, {"strips": Missing(f"There are no pictures of sequences: {error}")}
    evaluation = record.evaluation
    lengths = (evaluation.context or 8, evaluation.horizon or None) if evaluation else (8, None)
    pictures = draw_model(model, sequences, *lengths, options.sequences)
    if sequences is not None and not options.sequences:
        missing["strips"] = Missing("Pictures of sequences are left out, by sequences=0.")
    return pictures, missing


# Commands that repeat a run.


def _commands(record: Any, data: Any, options: ReportConfig) -> dict[str, list[str]]:
    """Return title -> commands."""
    commands = {"Data": data.commands} if data.commands else {}
    commands["Training"] = [train_command(record.config)]
    if record.evaluation is not None:
        commands["Evaluation"] = [evaluate_command(record.evaluation.options)]
    commands["This page"] = [shlex.join(["python", "-m", "seqvae", "report", f"run={options.run}"])]
    return commands


def train_command(config: Mapping[str, Any]) -> str:
    """Return the command of a training, with every change to its experiment.

    Where no command line has the same config, it is a sentence that says so.
    """
    choices = {k: v for k, v in (config.get("choices") or {}).items() if v is not None}
    try:
        base = [f"{group}={option}" for group, option in choices.items() if group in ("experiment", "sim")]
        known = compose("train", base).get("choices", {})
        rest = [group for group in choices if group in known and group not in ("experiment", "sim")]
        base += [f"{group}={choices[group]}" for group in rest if known[group] != choices[group]]
        before = flatten({k: v for k, v in compose("train", base).items() if k != "choices"})
        wanted = flatten({k: v for k, v in config.items() if k != "choices"})
        skip = ("run", "resume")
        words = base + [
            f"{key}={value if value and key in PATHS['train'] else _literal(value)}"
            for key, value in wanted.items()
            if key.partition(".")[0] not in skip and before.get(key, ...) != value
        ]
        again = flatten({k: v for k, v in compose("train", words).items() if k != "choices"})
        if {k: v for k, v in again.items() if k not in skip} == {
            k: v for k, v in wanted.items() if k not in skip
        }:
            return shlex.join(["python", "-m", "seqvae", "train", *words])
    except (ValueError, TypeError):  # DataError among them: an option or key of another version
        pass
    return "# no command line of this version makes this configuration; it is listed below"


def evaluate_command(options: Mapping[str, Any]) -> str:
    """Return the command of an evaluation, by the options that it stored."""
    defaults = compose("evaluate", ["run=x", "data=x"])
    words = [f"{key}={options[key]}" for key in OWN if options.get(key) is not None]
    words += [
        f"{key}={_literal(value)}"
        for key, value in options.items()
        if key not in (*OWN, "choices") and key in defaults and defaults[key] != value
    ]
    return shlex.join(["python", "-m", "seqvae", "evaluate", *words])


def _literal(value: Any) -> str:
    """Return a value as the command line reads it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_literal, value)) + "]"
    if isinstance(value, str):
        return value if value.replace("_", "").replace("/", "").replace(".", "").isalnum() else quote(value)
    return repr(value)
