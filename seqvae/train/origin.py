"""The training behind a checkpoint, read from the config in the file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqvae.provenance import UNKNOWN
from seqvae.train.stages import CRITERIA, OLDER_CRITERION, PARTS


@dataclass(frozen=True)
class Origin:
    """Training of a model, as far as the config in a checkpoint records it.

    targets: classes of frame model, posterior, dynamics and, if there is one, reward part, dotted
    command: command of the training, without changes to the experiment
    chosen_by: criteria by which the stages chose their checkpoints, in words
    data, val: paths of training and validation data, or None
    """

    targets: tuple[str, ...]
    command: str
    chosen_by: str
    data: str | None
    val: str | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Origin:
        """Read the config of a checkpoint."""
        parts = [config["model"][part] for part in PARTS if config["model"].get(part) is not None]
        targets = tuple(part["_target_"] for part in parts)
        return cls(targets, _command(config), _chosen_by(config), config.get("data"), config.get("val"))

    @property
    def parts(self) -> tuple[str, ...]:
        """Class names of the parts."""
        return tuple(target.rpartition(".")[2] for target in self.targets)


def _command(config: Mapping[str, Any]) -> str:
    choices = config.get("choices") or {}
    chosen = [f"{group}={choices[group]}" for group in ("experiment", "model") if choices.get(group)]
    if not chosen:
        return UNKNOWN
    plugins = [f"plugins=[{','.join(config['plugins'])}]"] if config.get("plugins") else []
    words = shlex.join([chosen[0], f"data={config.get('data')}", *plugins])
    return f"python -m seqvae train {words} seed={config.get('seed')}"


def _chosen_by(config: Mapping[str, Any]) -> str:
    if "trainer" not in config:
        return UNKNOWN
    trainer = {"criterion": OLDER_CRITERION} | config["trainer"]
    stages: Mapping[str, Any] = config.get("stages") or {"": None}
    chosen: dict[str, list[str]] = {}  # criterion in words -> its stages
    for name, own in stages.items():
        criterion = (trainer | ((own or {}).get("trainer") or {}))["criterion"]
        chosen.setdefault(CRITERIA.get(str(criterion), UNKNOWN), []).append(name)
    if len(chosen) == 1:
        return next(iter(chosen))
    return "; ".join(f"{words} ({', '.join(names)})" for words, names in chosen.items())
