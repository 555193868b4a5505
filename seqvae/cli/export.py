"""`python -m seqvae export`: a trained model as a small folder for sharing, with weights and a card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.cli.command import Job
from seqvae import checkpoint
from seqvae.checkpoint import Checkpoint
from seqvae.cli.data import read_config
from seqvae.errors import UserError
from seqvae.evaluate.report import METRICS
from seqvae.io import atomic_write, output_folder, parse_json, report_unwritable
from seqvae.provenance import UNKNOWN, Provenance
from seqvae.shipped import run_folder
from seqvae.train.origin import Origin
from seqvae.weights import FILE

CARD = "README.md"
NAMES = {"bound": "unweighted terms, nats per frame"}  # some may be energies, or leave out frames


@dataclass(frozen=True)
class ExportConfig:
    """The keys of configs/export.yaml."""

    run: str
    out: str
    checkpoint: str
    plugins: tuple = ()


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a run.

    table: table of scores, as Markdown
    commit: commit of the code that made it
    """

    table: str
    commit: str | None

    @classmethod
    def of(cls, run: Path) -> Evaluation | None:
        """Read the evaluation in the folder of a run, if there is one."""
        folder = run / "evaluation"
        if not (folder / METRICS).is_file() or not (folder / "table.md").is_file():
            return None
        table = (folder / "table.md").read_text(encoding="utf-8")
        try:
            content = parse_json((folder / METRICS).read_text(encoding="utf-8"))
            commit = content["git_commit"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{folder / METRICS}: is damaged; evaluate the run again") from None
        return cls(table, commit if isinstance(commit, str) else None)


def run(config: Mapping[str, Any], job: Job) -> None:
    """Write the weights of a model and a card."""
    options = read_config(ExportConfig, config, job)
    content = checkpoint.load(checkpoint.find(options.run, options.checkpoint))
    out, evaluation = Path(options.out), Evaluation.of(run_folder(options.run))
    text = write_card(options.out, content, evaluation)
    with output_folder(out):
        with report_unwritable(out / CARD):
            (out / CARD).unlink(missing_ok=True)  # that of the weights that are replaced
        checkpoint.save_weights(out / FILE, content)
        atomic_write(out / CARD, lambda file: file.write(text.encode()))
    for name in (FILE, CARD):
        print(out / name)
    if evaluation is None:
        print(f"no numbers on unseen data in the card: evaluate run={options.run} data=... first")


def write_card(name: str, content: Checkpoint, evaluation: Evaluation | None) -> str:
    """Return a text on the weights for their users, as Markdown."""
    spec, origin = content.spec, Origin.of(content.config)
    actions = f", {spec.actions} actions" if spec.actions else ""
    plugins = f" plugins=[{','.join(content.plugins)}]" if content.plugins else ""
    given = f", plugins={content.plugins}" if content.plugins else ""
    lines = [
        f"# {Path(name).name}",
        f"Weights of a seqvae model ({', '.join(origin.parts)}), for videos of {spec.width}x{spec.height} "
        f"pixels with {spec.objects} objects{actions}.",
        "",
        f"- Trained with `{origin.command}`: {content.step:,} updates.",
        f"- Trained at commit {content.commit or UNKNOWN}.",
        *_trained_with(content.provenance),
        *([] if evaluation is None else [f"- Evaluated at commit {evaluation.commit or UNKNOWN}."]),
        f"- Chosen on the validation set by {origin.chosen_by}.",
        *([f"- Needs the plugins {', '.join(content.plugins)}, which hold its code."] if plugins else []),
        f"- Use: `python -m seqvae rollout run={name} data=FILE out=DIR{plugins}`, or "
        f"`seqvae.load({name!r}{given})`;",
        f"  as a start for a training: `init={name}`.",
        "",
        *_validation(content.scores),
    ]
    if evaluation is not None:
        lines += ["## On unseen data", evaluation.table]
    return "\n".join(lines).rstrip() + "\n"


def _trained_with(origin: Provenance) -> list[str]:
    """Return list entries on the versions and data of a training, as far as they are known."""
    names = {"python": "Python", "numpy": "NumPy"}
    packages = [f"{names.get(name, name)} {version}" for name, version in (origin.versions or {}).items()]
    files = [f"- Data: `{file}`, SHA-256 {digest}." for file, digest in (origin.data or {}).items()]
    return [*([f"- Trained with {', '.join(packages)}."] if packages else []), *files]


def defined_scores(scores: dict[str, float]) -> dict[str, float]:
    """Return the scores of a validation that are numbers, under names for people."""
    return {NAMES.get(name, name): value for name, value in scores.items() if not math.isnan(value)}


def _validation(scores: dict[str, float]) -> list[str]:
    if not scores:
        return []
    lines = [f"- {name}: {value:.4g}" for name, value in defined_scores(scores).items()]
    return ["## On the validation set, during training", *lines, ""]
