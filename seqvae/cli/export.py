"""python -m seqvae export: a trained model as a small folder to give away: its weights and a card."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

from seqvae import checkpoint
from seqvae.checkpoint import Checkpoint
from seqvae.cli.compose import compose
from seqvae.cli.data import folder_of, make_folder
from seqvae.errors import require
from seqvae.io import write_whole
from seqvae.provenance import UNKNOWN
from seqvae.train.stages import CRITERIA, OLDER_CRITERION, stages
from seqvae.weights import FILE

CARD = "README.md"
NAMES = {"bound": "unweighted terms, nats a frame"}  # some may be energies, or leave out frames


def main(overrides: list[str]) -> None:
    """Run the command with configs/export.yaml and `overrides`."""
    config = compose("export", overrides)
    require(config, run=(str,), out=(str,))
    content = checkpoint.load(checkpoint.find(config["run"], config["checkpoint"]))
    out = make_folder(config["out"])
    evaluation = folder_of(config["run"]) / "evaluation"
    measured, commit = None, None
    if (evaluation / "table.md").is_file():
        measured = (evaluation / "table.md").read_text(encoding="utf-8")
        commit = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))["git_commit"]
    checkpoint.save_weights(out / FILE, content)
    text = card(str(config["out"]), content, measured, commit)
    write_whole(out / CARD, lambda file: file.write(text.encode()))
    for name in (FILE, CARD):
        print(out / name)
    if measured is None:
        print(f"no numbers on unseen data in the card: evaluate run={config['run']} data=... first")


def card(name: str, content: Checkpoint, measured: str | None, commit: str | None) -> str:
    """What one has to know of the weights, as Markdown. measured: the table of an evaluation, at `commit`."""
    model, spec = content.config["model"], content.spec
    targets = [model[part]["_target_"] for part in ("frame", "posterior", "dynamics")]
    parts = ", ".join(target.rpartition(".")[2] for target in targets)
    actions = f", {spec.actions} actions" if spec.actions else ""
    lines = [
        f"# {Path(name).name}",
        f"Weights of a seqvae model ({parts}), for videos of {spec.width}x{spec.height} pixels"
        f" with {spec.objects} objects{actions}.",
        "",
        f"- Trained with `{command(content.config)}`: {content.step:,} updates.",
        f"- Trained at commit {content.commit or UNKNOWN}.",
        *([] if measured is None else [f"- Evaluated at commit {commit or UNKNOWN}."]),
        f"- Chosen on the validation set by {chosen_by(content.config)}.",
        f"- Use: `python -m seqvae rollout run={name} data=FILE out=DIR`, or `seqvae.load({name!r})`;",
        f"  as a start for a training: `init={name}`.",
        "",
        *_validation(content.scores),
    ]
    if measured is not None:
        lines += ["## On unseen data", measured]
    return "\n".join(lines).rstrip() + "\n"


def command(config: dict[str, Any]) -> str:
    """The command of a training, as far as its config tells."""
    choices = config.get("choices", {})
    what = f"experiment={choices['experiment']}" if choices.get("experiment") else f"model={choices['model']}"
    data = shlex.quote(f"data={config['data']}")
    return f"python -m seqvae train {what} {data} seed={config['seed']}"


def chosen_by(config: dict[str, Any]) -> str:
    """The criterion by which each stage of a training chose its checkpoint, and whether that is labels."""
    trainer = {"criterion": OLDER_CRITERION} | config["trainer"]
    told = [
        f"{CRITERIA[stage.trainer['criterion']]}{f' ({stage.name})' if stage.name else ''}"
        for stage in stages({**config, "trainer": trainer})
    ]
    return "; ".join(told)


def told(scores: dict[str, float]) -> dict[str, float]:
    """Return the scores of a validation that are defined, under names for people."""
    return {NAMES.get(name, name): value for name, value in scores.items() if not math.isnan(value)}


def _validation(scores: dict[str, float]) -> list[str]:
    if not scores:
        return []
    lines = [f"- {name}: {value:.4g}" for name, value in told(scores).items()]
    return ["## On the validation set, during training", *lines, ""]
