"""The page of one run."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from data_gen.errors import DataError
from seqvae.evaluate.by_sequence import MODEL
from seqvae.evaluate.quantities import is_higher_better
from seqvae.evaluate.report import SCHEMA
from seqvae.provenance import UNKNOWN, environment, git_commit
from seqvae.report import curves, tables
from seqvae.report.data import DataRecord
from seqvae.report.evaluation import Evaluation
from seqvae.report.figures import Figure
from seqvae.report.page import render
from seqvae.report.pictures import ModelPictures, Picture, Video, picture_file, video_file
from seqvae.report.read import OPTIONAL, PARTS, RunRecord
from seqvae.report.tables import Table, cell
from seqvae.sequence import SequenceModel
from seqvae.shipped import shown_path
from seqvae.train.progress import clock

HEADLINES = (  # numbers at the top of the page, as far as a model has them
    "position_error_1_10",
    "found",
    "mota",
    "pixel_mse_1_10",
    "fg_ari_attention",
    "fg_ari_at_10",
    "count_accuracy",
    "pixel_mse_reconstruction",
    "iwae",
    "objective",
)
SHOWN = 4  # of them


@dataclass(frozen=True)
class Missing:
    """Something that a page cannot show: why, and the command that makes it, or None."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Headline:
    """A number at the top of the page. beside: the strongest baseline, or what it is a mean of."""

    name: str
    text: str
    se: str
    beside: str


@dataclass(frozen=True)
class RunPage:
    """Content of the page of a run.

    facts: what was trained on what, name -> text
    images: whether the data are single images
    commands: title -> commands that repeat it
    missing: section -> why it is not there
    """

    title: str
    subtitle: str
    made: str
    folder: str
    facts: tuple[tuple[str, str], ...]
    headlines: tuple[Headline, ...]
    notes: tuple[str, ...]
    videos: tuple[Video, ...]
    strips: tuple[Picture, ...]
    images: bool
    errors: tuple[Figure, ...]
    still_errors: Picture | None
    tables: tuple[Table, ...]
    differences: tuple[Table, ...]
    slots: Picture | None
    counts: Picture | None
    count_table: Table | None
    calibration: Figure | None
    prior: Picture | None
    training: tuple[Figure, ...]
    optimiser: tuple[Figure, ...]
    validation: Table | None
    warnings: tuple[tuple[int, str], ...]
    data: DataRecord
    card: str | None
    config: str
    environments: tuple[tuple[str, dict[str, str]], ...]
    commands: dict[str, list[str]]
    missing: dict[str, Missing] = field(default_factory=dict)


def make_report(
    run: RunRecord,
    data: DataRecord,
    pictures: ModelPictures,
    commands: dict[str, list[str]],
    videos: int = 3,
    missing: dict[str, Missing] | None = None,
) -> str:
    """Return the page of a run as HTML.

    commands: title -> commands that repeat the run
    videos: most videos that are embedded
    missing: section -> why it is not there, as far as the caller knows
    """
    evaluation, log = run.evaluation, run.log
    missing = _missing(run, data, pictures) | (missing or {})
    embedded, notes = _videos(run, videos)
    page = RunPage(
        title=run.name,
        subtitle=_subtitle(run),
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
        folder=str(run.folder),
        facts=tuple(_facts(run, data).items()),
        headlines=_headlines(evaluation),
        notes=(*_notes(run), *notes),
        videos=embedded,
        strips=pictures.strips,
        images=evaluation is not None and evaluation.is_of_images,
        errors=tuple(curves.error_figures(evaluation)) if evaluation else (),
        still_errors=picture_file(evaluation.folder / "errors.png", "Errors over time")
        if evaluation
        else None,
        tables=_tables(evaluation) if evaluation else (),
        differences=tuple(tables.difference_tables(evaluation)) if evaluation else (),
        slots=pictures.slots,
        counts=_counts(evaluation),
        count_table=tables.count_table(evaluation) if evaluation else None,
        calibration=curves.calibration_figure(evaluation) if evaluation else None,
        prior=pictures.prior,
        training=tuple(curves.training_figures(log)) if log else (),
        optimiser=(*curves.optimiser_figures(log), *curves.slot_figure(log)) if log else (),
        validation=_validation(run),
        warnings=log.warnings if log else (),
        data=data,
        card=run.card,
        config=config_text(run.config),
        environments=_environments(run),
        commands=commands,
        missing=missing,
    )
    return render("report.html.jinja", {"page": page})


def config_text(config: Any) -> str:
    """Return a config as yaml."""
    try:
        return OmegaConf.to_yaml(OmegaConf.create(json.loads(json.dumps(config)))).rstrip()
    except Exception:  # a text with ${...}, which OmegaConf would resolve
        return json.dumps(config, indent=2, default=str)


def evaluate_command(run: RunRecord, data: str | None = None) -> str:
    """Return the command that evaluates a run."""
    words = [f"run={run.folder}", f"data={data}" if data else "data=FILE", "sample=true"]
    return shlex.join(["python", "-m", "seqvae", "evaluate", *words])


# What was trained on what.


def _subtitle(run: RunRecord) -> str:
    origin = run.origin
    parts = f" ({', '.join(origin.parts)})" if origin else ""
    return f"{run.title}{parts}"


def _facts(run: RunRecord, data: DataRecord) -> dict[str, str]:
    choices, origin, content = run.config.get("choices") or {}, run.origin, run.checkpoint
    facts = {"experiment": str(choices.get("experiment") or ""), "model": str(choices.get("model") or "")}
    numbers = run.parameters
    for part, name in zip((*PARTS, OPTIONAL), () if origin is None else origin.parts, strict=False):
        count = f", {numbers[part]:,} parameters" if part in numbers else ""
        facts[f"{part} model" if part == "frame" else part] = f"{name}{count}"
    if content is not None:
        spec = content.spec
        objects = f", {spec.objects} objects" if spec.objects else ""
        actions = f", {spec.actions} actions" if spec.actions else ""
        facts["frames"] = f"{spec.width}x{spec.height}, {spec.channels} channels{objects}{actions}"
    trained = [file.path for file in data.files if file.role == "training"]
    facts["trained on"] = f"online {data.simulator}" if data.simulator else ", ".join(trained)
    if run.evaluation is not None:
        facts["evaluated on"] = str(run.evaluation.data or UNKNOWN)
    facts["seed"] = str(run.config.get("seed", ""))
    facts["updates"] = _updates(run)
    if run.log is not None and run.log.seconds is not None:
        facts["time of training"] = clock(run.log.seconds)
    if origin is not None:
        facts["checkpoint chosen by"] = origin.chosen_by
    facts["commit of the training"] = _short((content.commit if content else None) or UNKNOWN)
    if run.evaluation is not None:
        facts["commit of the evaluation"] = _short(str(run.evaluation.metrics.get("git_commit") or UNKNOWN))
    facts["checkpoint"] = "none yet" if run.file is None else shown_path(run.file)
    return {name: text for name, text in facts.items() if text}


def _short(commits: str) -> str:
    """Return the first ten signs of each commit."""
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", commits)


def _updates(run: RunRecord) -> str:
    step = run.checkpoint.step if run.checkpoint else None
    last = run.log.last_step if run.log else None
    if step is None:
        return f"{last:,}" if last else ""
    return f"{step:,}" + (f" of {last:,} in the log" if last is not None and last > step else "")


def _notes(run: RunRecord) -> list[str]:
    notes, evaluation = [], run.evaluation
    if run.problem:
        notes.append(f"There are no pictures by the model: {run.problem}")
    if evaluation is not None and not evaluation.is_current:
        notes.append(
            f"The evaluation has schema version {evaluation.schema or UNKNOWN}, this seqvae writes "
            f"{SCHEMA}: a number may have another meaning. Evaluate the run again."
        )
    options = {} if evaluation is None else evaluation.options
    named = options.get("run")
    if evaluation is not None and isinstance(named, str) and run.file is not None:
        step, updates = run.checkpoint.step if run.checkpoint else None, evaluation.metrics.get("updates")
        if updates not in (None, step):
            notes.append(
                f"The evaluation is of the checkpoint after {updates:,} updates, and this page reads the one "
                f"after {step:,}."
            )
    return notes


# Numbers.


def _headlines(evaluation: Evaluation | None) -> tuple[Headline, ...]:
    if evaluation is None:
        return ()
    numbers, found = evaluation.numbers(), []
    for name in HEADLINES:
        if name in numbers and len(found) < SHOWN:
            shown = cell(numbers[name], share=tables.is_share(name))
            strongest = _strongest(evaluation, name)
            beside = f"{numbers[name].n} sequences"
            if strongest is not None:
                beside = f"strongest baseline {strongest[1]}: {strongest[0]}"
            found.append(Headline(tables.title_of(name), shown.text, shown.se, beside))
    return tuple(found)


def _strongest(evaluation: Evaluation, column: str) -> tuple[str, str] | None:
    """Return the strongest baseline in a column of the table, and its number."""
    values = {row: x[column] for row, x in evaluation.table.items() if row != MODEL and column in x}
    finite = {row: value for row, value in values.items() if value.mean == value.mean}
    if not finite:
        return None
    best = max if is_higher_better(column) else min
    row = best(finite, key=lambda name: finite[name].mean)
    return row, cell(finite[row]).text


def _tables(evaluation: Evaluation) -> tuple[Table, ...]:
    single = [tables.value_table(evaluation), tables.long_table(evaluation)]
    found = [*tables.error_tables(evaluation), *tables.mask_tables(evaluation), *single]
    return tuple(table for table in found if table is not None)


def _validation(run: RunRecord) -> Table | None:
    """Return the first and the last validation, to read without the figures."""
    if run.log is None or not run.log.validation:
        return None
    rows = []
    for name, series in run.log.validation.items():
        if not name.endswith(tables.SUM) and not np.isnan(series.value).all():
            value = series.value
            numbers = (value[0], np.nanmin(value), np.nanmax(value), value[-1])
            rows.append((tables.title_of(name), tuple(tables.Cell(f"{number:.4g}") for number in numbers)))
    columns = ("first", "least", "largest", "last")
    return Table("Validation scores in numbers", columns, tuple(rows), strong="")


# Pictures and videos.


def _videos(run: RunRecord, most: int) -> tuple[tuple[Video, ...], list[str]]:
    """Return the videos of the evaluation, else those of a rollout, and notes on those left out."""
    evaluation, found, notes = run.evaluation, [], []
    if evaluation is not None and evaluation.is_of_images:
        return (), []  # which the strips show
    still = 8 if evaluation is None else evaluation.context + min(4, evaluation.horizon - 1)
    paths = [] if evaluation is None else list(evaluation.videos)
    names = [f"test sequence {i}" for i in range(len(paths))]
    rollout = run.folder / "rollout" / "rollout.mp4"
    if not paths and rollout.is_file():
        paths, names = [rollout], ["rollout"]
    for path, name in zip(paths[:most], names, strict=False):
        try:
            video = video_file(path, name, still)
        except DataError as error:
            notes.append(f"A video is left out: {error}")
            continue
        if video is None:
            notes.append(f"{path} is left out, as it is too large to be embedded.")
        else:
            found.append(video)
    if len(paths) > most:
        notes.append(f"{len(paths) - most} more videos are in {paths[0].parent}; videos=N shows more here.")
    return tuple(found), notes


def _counts(evaluation: Evaluation | None) -> Picture | None:
    if evaluation is None:
        return None
    alt = "First frames with boxes, the model's frames below, and the count above: orange where it is wrong"
    return picture_file(evaluation.folder / "counts.png", alt)


# The rest.


def _environments(run: RunRecord) -> tuple[tuple[str, dict[str, str]], ...]:
    found = []
    if run.log is not None:
        found += [(f"training, from update {step}", dict(x)) for step, x in run.log.environments.items()]
    if run.evaluation is not None and (of_evaluation := run.evaluation.mapping("environment")):
        found.append(("evaluation", {str(k): str(v) for k, v in of_evaluation.items()}))
    now = environment() | {"commit": git_commit() or UNKNOWN}
    return (*found, ("this page", now))


def _missing(run: RunRecord, data: DataRecord, pictures: ModelPictures) -> dict[str, Missing]:
    """Return section -> why it is not there, and the command that makes it."""
    missing, evaluation = {}, run.evaluation
    here = [file.path for file in data.files if file.role != "training" and file.facts is not None]
    command = evaluate_command(run, here[-1] if here else None)
    if evaluation is None:
        text = "This run has not been evaluated, so there are no numbers on unseen data."
        missing["evaluation"] = Missing(text, command)
    else:
        missing |= _missing_in(evaluation, run, command)
    if run.log is None:
        missing["training"] = Missing(
            "The folder holds weights without the log of their training."
            if run.checkpoint
            else "The log holds no lines yet."
        )
    if pictures.slots is None and run.model is not None:
        missing["slots"] = Missing(_about_slots(run.model))
    if not pictures.strips:
        missing["strips"] = Missing(
            "There are no pictures of sequences, since none of the data that the run names is here. "
            "Name a file of data.",
            shlex.join(["python", "-m", "seqvae", "report", f"run={run.folder}", "data=FILE"]),
        )
    return missing


def _about_slots(model: SequenceModel) -> str:
    """Return how the slots of a model without pictures of masks show."""
    if model.frame.slots == 1:
        return "This model has one latent state for the whole frame, and neither slots nor masks."
    if "position" in model.layout:
        return "This model has no masks. Its slots are boxes, which the strips of frames show."
    return "There are no pictures of masks, since no data are here."


def _missing_in(evaluation: Evaluation, run: RunRecord, command: str) -> dict[str, Missing]:
    missing = {}
    if evaluation.is_of_images:
        missing["videos"] = Missing("The data are single images: there is nothing to predict, and no video.")
    elif not evaluation.videos:
        missing["videos"] = Missing("The evaluation has made no videos.", command)
    positions = any(c.startswith("position_error") for c in evaluation.table.get(MODEL, {}))
    if "presence" in (run.model.layout if run.model is not None else ()):
        text = "The slots of a model that counts follow no object over time, so it has no position error."
        missing["positions"] = Missing(text)
    elif not positions and evaluation.horizon:
        text = "Model or data have no positions of objects, so only pixels are scored."
        missing["positions"] = Missing(text)
    if not evaluation.mapping("uncertainty"):
        if positions and evaluation.horizon:
            missing["calibration"] = Missing("No futures were sampled in the evaluation.", command)
        elif evaluation.horizon:
            text = (
                "The coverage of sampled futures needs positions of objects, which model or data do not have."
            )
            missing["calibration"] = Missing(text)
    if evaluation.scores is None:
        text = "An earlier version evaluated this run, without the scores of each sequence."
        missing["differences"] = Missing(text, command)
    return missing
