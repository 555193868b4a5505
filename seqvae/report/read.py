"""A run, as its folder tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from yaml.events import AliasEvent

from seqvae import checkpoint as files
from seqvae import weights
from seqvae.checkpoint import Checkpoint
from seqvae.content import check_config
from seqvae.errors import UserError
from seqvae.report.evaluation import Evaluation, read_evaluation
from seqvae.report.training import Log, read_training
from seqvae.sequence import SequenceModel
from seqvae.train.logging import FILE as LOG
from seqvae.train.origin import Origin

CONFIG, CARD, EVALUATION = "config.yaml", "README.md", "evaluation"
_LONGEST, _DEEPEST = 2**18, 100  # characters of a config, and brackets in each other
PARTS, OPTIONAL = ("frame", "posterior", "dynamics"), "reward"


@dataclass(frozen=True)
class RunRecord:
    """A run, or a folder of pretrained weights.

    folder: its folder
    file: checkpoint that was read, None before the first one
    config: config of its training
    checkpoint: content of the file
    model: the model, None without a checkpoint, or where it cannot be built
    problem: why there is no model, or None
    log: log of the training, None for weights that came without it
    evaluation: evaluation, or None
    card: text of the card of shared weights, or None
    """

    folder: Path
    file: Path | None
    config: Mapping[str, Any]
    checkpoint: Checkpoint | None
    model: SequenceModel | None
    problem: str | None
    log: Log | None
    evaluation: Evaluation | None
    card: str | None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def title(self) -> str:
        """Name of the experiment, else of the model, else of the folder."""
        choices = self.config.get("choices") or {}
        return str(choices.get("experiment") or choices.get("model") or self.name)

    @property
    def origin(self) -> Origin | None:
        """Training of the model, as far as its config tells."""
        parts = self.config.get("model") or {}
        known = all(isinstance(parts.get(p), Mapping) and "_target_" in parts[p] for p in PARTS)
        return Origin.of(self.config) if known else None

    @property
    def parameters(self) -> dict[str, int]:
        """Number of parameters per part of the model."""
        if self.model is None:
            return {}
        modules = {part: getattr(self.model, part) for part in (*PARTS, OPTIONAL)}
        return {p: sum(x.numel() for x in m.parameters()) for p, m in modules.items() if m is not None}

    def with_evaluation(self, folder: Path) -> RunRecord:
        """Return the record with the evaluation in another folder."""
        return replace(self, evaluation=read_evaluation(folder))


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a checkpoint, or the beginning of a training."""
    names = (files.BEST, files.LAST, weights.FILE)
    has_checkpoint = any((folder / name).is_file() for name in names)
    return has_checkpoint or all((folder / name).is_file() for name in (CONFIG, LOG))


def read_run(run: Path, which: str = "best", evaluation: Path | None = None, build: bool = True) -> RunRecord:
    """Read a run's folder, also one without a checkpoint, a log or an evaluation.

    run: folder of a run or of pretrained weights, or a checkpoint in it
    which: checkpoint "best" or "last"
    evaluation: folder of the evaluation; None: the one in the run
    build: whether to build the model

    Raises:
        UserError: it is no run, or a file of it is damaged.
    """
    folder = run if run.is_dir() else run.parent
    if run.is_dir() and not is_run(run):
        raise UserError(f"{run}: is no run (no checkpoint, and no {CONFIG} with {LOG}); give a run's folder")
    has_checkpoint = run.is_file() or any((run / x).is_file() for x in (files.BEST, files.LAST, weights.FILE))
    file = files.find(run, which) if has_checkpoint or not run.exists() else None
    content = None if file is None else files.load(file)
    config = _read_config(folder / CONFIG) if content is None else content.config
    model, problem = _build(content, file) if build else (None, None)
    if content is not None:  # its weights are in the model, and the state of its training is not shown
        content = replace(content, model={}, training=None)
    card = folder / CARD
    return RunRecord(
        folder,
        file,
        config,
        content,
        model,
        problem,
        read_training(folder, config),
        read_evaluation(evaluation or folder / EVALUATION),
        card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None,
    )


def _build(content: Checkpoint | None, file: Path | None) -> tuple[SequenceModel | None, str | None]:
    """Return the model, or why it cannot be built."""
    if content is None or file is None:
        return None, "The training has not written a checkpoint yet."
    try:
        return content.build(file).requires_grad_(False), None
    except UserError as error:
        return None, str(error)


def _brackets(text: str) -> int:
    """Return how deep brackets lie in each other at most."""
    depth = deepest = 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        deepest = max(deepest, depth)
    return deepest


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _LONGEST or _brackets(text) > _DEEPEST:
            raise ValueError("no config of ours")  # the parser's time grows with the square of the depth
        if any(isinstance(event, AliasEvent) for event in yaml.parse(text)):
            raise ValueError("no config of ours")  # aliases of aliases fill any memory
        content = OmegaConf.to_container(OmegaConf.create(text))
        check_config(content)
    except Exception:  # of YAML, OmegaConf and the check
        raise UserError(f"{path}: cannot be read; the run has no other record of its config") from None
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
