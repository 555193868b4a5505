"""`python -m seqvae compare`: several runs on the same test sequences, as a page and as tables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_gen.cli.command import Job
from seqvae.cli.data import read_config
from seqvae.data.sequences import read_sequences
from seqvae.errors import UserError, require_at_least
from seqvae.io import atomic_write, output_folder
from seqvae.report import require_packages
from seqvae.train.runtime import pick_device

NAME = "comparison"


@dataclass(frozen=True)
class CompareConfig:
    """The keys of configs/compare.yaml."""

    runs: str
    out: str | None
    against: str | None
    evaluation: str
    sequences: int
    shown: int
    device: str
    threads: int | None

    def __post_init__(self):
        require_at_least(vars(self), sequences=0, shown=1, threads=1)


def run(config: Mapping[str, Any], job: Job) -> None:
    """Write the page and the tables of several runs."""
    options = read_config(CompareConfig, config, job)
    require_packages()
    from seqvae.report.compare import compare, find_group
    from seqvae.report.groups import find_runs, group_runs
    from seqvae.report.read import read_run

    found = find_runs(options.runs)
    records = [read_run(f, evaluation=place / options.evaluation, build=False) for f, place in found.items()]
    groups, folders = group_runs(records), list(found.values())
    against = find_group(groups, options.against) if options.against else 0
    if against is None:
        raise UserError(f"against={options.against}: is none of the runs: {', '.join(map(str, folders))}")
    comparison = compare(groups, against)
    if not any(x is not None for x in comparison.numbers) and not any(r.log for g in groups for r in g.runs):
        raise UserError(
            "runs: none has an evaluation or a log, so there is nothing to compare; evaluate them first"
        )
    out = Path(options.out or _common(folders) / NAME)
    with output_folder(out):
        _write(comparison, folders, options, out)


def _write(comparison: Any, folders: list[Path], options: CompareConfig, out: Path) -> None:
    from seqvae.report.compare import as_csv, as_markdown, make_comparison
    from seqvae.report.page import write_page

    videos, strips, missing = _draw(comparison, options, out)
    command = shlex.join(["python", "-m", "seqvae", "compare", f"runs={options.runs}"])
    page = make_comparison(comparison, _title(options, folders), command, videos, strips, missing)
    markdown = as_markdown(comparison)
    for suffix, text in ((".md", markdown), (".csv", as_csv(comparison))):
        atomic_write(out / f"{NAME}{suffix}", lambda file, text=text: file.write(text.encode()))
    write_page(out / f"{NAME}.html", page)
    print(markdown)
    size = (out / f"{NAME}.html").stat().st_size
    print(f"{out / NAME}.html: {size / 1e6:.1f} MB, open it in a browser")
    print("\n".join(f"{out / NAME}{suffix}" for suffix in (".md", ".csv")))


def _common(folders: list[Path]) -> Path:
    """Return the folder that all runs lie in."""
    return Path(os.path.commonpath([folder.parent for folder in folders]) if _alike(folders) else ".")


def _alike(folders: list[Path]) -> bool:
    """Return whether all paths are absolute, or none is."""
    return len({folder.is_absolute() for folder in folders}) == 1


def _title(options: CompareConfig, folders: list[Path]) -> str:
    path = Path(options.runs)
    return path.resolve().name if path.is_dir() else f"{len(folders)} runs"


def _draw(comparison: Any, options: CompareConfig, out: Path) -> tuple[list[Any], tuple[Any, ...], str]:
    """Return videos and strips of sequences by the first run of each group, or why there are none."""
    from seqvae.report.data import find_sequences
    from seqvae.report.pictures import IMAGES
    from seqvae.report.read import read_run
    from seqvae.report.side_by_side import join_videos, strips_of

    firsts = {group.label: group.runs[0] for group in comparison.alike if group.runs}
    if not options.sequences:
        return [], (), "Left out, by sequences=0."
    if not firsts:
        return [], (), "No run has been evaluated, so it is not known on which sequences to show them."
    notes = []
    if len(firsts) > options.shown:
        notes.append(f"The first {options.shown} of {len(firsts)} groups; shown=N shows more.")
    firsts = dict(list(firsts.items())[: options.shown])
    evaluation = next(iter(firsts.values())).evaluation
    videos = []
    counts = [len(run.evaluation.videos) for run in firsts.values()]
    if evaluation.horizon and len(firsts) > 1 or (evaluation.horizon and counts):
        for i in range(min(options.sequences, *counts, options.sequences)):
            paths = {label: run.evaluation.videos[i] for label, run in firsts.items()}
            still = evaluation.context + min(9, evaluation.horizon - 1)
            video = join_videos(paths, f"test sequence {i}", still, out)
            videos += [] if video is None else [video]
    found = find_sequences(next(iter(firsts.values())))
    if found is None:
        notes.append("The data of the evaluation are not here, so there are no frames by the models.")
        return videos, (), " ".join(notes)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device, models = pick_device(options.device), {}
    for label, record in firsts.items():
        model = read_run(record.file or record.folder).model
        if model is None:
            notes.append(f"{label} is left out, as its model cannot be built.")
        else:
            models[label] = model.to(device)
    count = options.sequences if evaluation.horizon else IMAGES
    try:
        sequences = read_sequences(found, first=count)
        strips = strips_of(models, sequences, evaluation.context, evaluation.horizon)
    except UserError as error:
        return videos, (), " ".join([*notes, f"There are no frames by the models: {error}"])
    return videos, strips, " ".join(notes)
