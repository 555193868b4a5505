"""The commands that make the files of a dataset again, from what the files say of themselves."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from data_gen.cli.configs import compose
from data_gen.errors import DataError
from data_gen.schema import DatasetInfo
from data_gen.simulator import build_simulator, simulator_config

_SHARED = ("length", "image_size", "seed")  # of a generated file's configuration: the same in all splits


def recipes(infos: list[DatasetInfo], folder: Path) -> list[str]:
    """One command for all files made alike; none for those whose making is not known."""
    made: dict[str, list[DatasetInfo]] = {}
    for info in infos:
        common = {key: value for key, value in info.config.items() if key not in ("split", "sequences")}
        made.setdefault(json.dumps([info.simulator, common], sort_keys=True), []).append(info)
    commands = []
    for group in made.values():
        words = _imported(group[0]) if "import" in group[0].config else _generated(group)
        if words:
            commands.append(shlex.join(["python", "-m", "data_gen", *words, f"out={folder}"]))
    return commands


def _imported(info: DatasetInfo) -> list[str]:
    return ["import", *(f"{key}={_literal(value)}" for key, value in info.config["import"].items())]


def _generated(infos: list[DatasetInfo]) -> list[str]:
    """Options of a simulator that the command sets by itself are left out."""
    name, config = infos[0].simulator, infos[0].config
    try:
        options = compose("generate", [f"sim={name}"])["sim"]
        default = json.loads(json.dumps(simulator_config(build_simulator(options))))
        sizes = {"train": 0, "val": 0, "test": 0} | {i.config["split"]: i.sequences for i in infos}
        shared = {key: config[key] for key in _SHARED}
        wanted = config["simulator"]
    except (DataError, KeyError):
        return []  # a simulator of another version, or not of ours
    if wanted.get("_target_") != default["_target_"]:
        return []
    changed = [
        f"{'' if key in options else '+'}sim.{key}={_literal(value)}"
        for key, value in wanted.items()
        if default.get(key, ...) != value
    ]
    return [f"sim={name}", *(f"{key}={value}" for key, value in (sizes | shared).items()), *changed]


def _literal(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_literal, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)
