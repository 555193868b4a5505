"""The card of a dataset: a README.md beside its files, with statistics and the commands that make them."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.cli import compose_config
from data_gen.errors import DataError
from data_gen.io import whole
from data_gen.schema import ACTION_CONVENTION, DatasetInfo, open_dataset, read_info
from data_gen.simulator import build_simulator, simulator_config
from data_gen.splits import SPLITS

CARD = "README.md"
_MARK = "<!-- Written by data_gen; changes are lost when a file of the dataset is made anew. -->"


def write_card(folder: Path) -> None:
    """Write, or write anew, the card of the dataset files in a folder.

    A README.md that somebody else wrote is left alone, which is said on stdout. Raises DataError where a
    dataset file cannot be read, or the card not be written.
    """
    card = folder / CARD
    if card.exists() and not card.read_text(errors="replace").startswith(_MARK):
        print(f"{card}: is no card of a dataset; left as it is")
        return
    infos = [read_info(path) for path in (folder / f"{split}.h5" for split in SPLITS) if path.is_file()]
    with whole(card) as temporary:
        temporary.write_text(_text(folder, infos), encoding="utf-8")


def _text(folder: Path, infos: list[DatasetInfo]) -> str:
    names = " and ".join(sorted({info.simulator for info in infos}))
    commands = recipes(infos, folder) or ["(not known: the files were made by another program or version)"]
    configs = {json.dumps(_common(info.config), indent=2): None for info in infos}
    return "\n".join([
        _MARK,
        f"# Dataset: {names}",
        "",
        *_about(infos[0]),
        "",
        "## Files",
        *_table(infos),
        "",
        "## Checksums (SHA-256)",
        *(f"    {_checksum(info.path)}" for info in infos),
        "",
        "## Make it again",
        *(f"    {command}" for command in commands),
        "",
        "## Configuration",
        *(line for config in configs for line in ("```json", config, "```")),
        "",
    ])  # fmt: skip


def _about(info: DatasetInfo) -> list[str]:
    """What is the same in all files."""
    size = f"{info.width}x{info.height}"
    lines = [f"Frames of {size}, seed {info.seed}, made by version {info.package_version}."]
    if info.num_objects is not None:
        lines.append(
            f"{info.num_objects} objects; positions lie in [0, {info.coord_limit:g}], x right and y down, "
            "velocities are per frame."
        )
    if info.num_actions:
        lines.append(f"{info.num_actions} actions: {ACTION_CONVENTION}.")
    return [*lines, f"Keys: {', '.join(f'`{key}`' for key in info.keys)}."]


def _table(infos: list[DatasetInfo]) -> list[str]:
    columns = [_column(info) for info in infos]
    rows = [" | ".join([name, *(column[name] for column in columns)]) for name in columns[0]]
    head = " | ".join(["", *(f"`{info.path.name}`" for info in infos)])
    return [f"|{head} |", "|" + "---|" * (len(infos) + 1), *(f"| {row} |" for row in rows)]


def _column(info: DatasetInfo) -> dict[str, str]:
    found = statistics(info)
    return {
        "sequences": f"{info.sequences}",
        "frames in a sequence": f"{info.length}",
        "frames": f"{info.sequences * info.length}",
        "mean speed": _number(found.speed),
        "collisions a frame": _number(found.collisions),
        "visible share of the objects": _number(found.visible),
        "size in MB": f"{info.path.stat().st_size / 1e6:.1f}",
    }


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}"


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _common(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("split", "sequences")}


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
        options = compose_config("generate", [f"sim={name}"])["sim"]
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


_AT_ONCE = 512  # sequences


@dataclass(frozen=True)
class Statistics:
    """Means over a file, and over its sequences at each frame; None where the file lacks what they need.

    Speeds are in units of the positions per frame, those of the first sequences in `speeds`, for a histogram.
    kinetic_energy "t": of all objects together, whose masses are 1 where the file has none.
    visible: the share of existing objects that is in the picture.
    """

    speed: float | None = None
    speeds: np.ndarray | None = None
    kinetic_energy: np.ndarray | None = None
    collisions: float | None = None
    collisions_over_time: np.ndarray | None = None
    visible: float | None = None
    visible_over_time: np.ndarray | None = None


def statistics(info: DatasetInfo) -> Statistics:
    """Statistics of a dataset file, which is read block by block."""
    with open_dataset(info.path) as file:
        return _statistics(file, info)


def _statistics(file: Mapping, info: DatasetInfo) -> Statistics:
    found = {}
    if "velocities" in file:
        found |= _motion(file, info)
    if "collisions" in file:
        counts = sum(file["collisions"][part].sum(0) for part in _parts(info))
        found["collisions_over_time"] = counts / info.sequences
        found["collisions"] = float(counts.mean() / info.sequences)
    if "in_camera" in file:
        seen, existing = 0, 0
        for part in _parts(info):
            present = _present(file, part, "in_camera")
            seen += (file["in_camera"][part] & present).sum((0, 2))
            existing += present.sum((0, 2))
        found["visible_over_time"] = seen / np.maximum(existing, 1)
        found["visible"] = float(seen.sum() / max(existing.sum(), 1))
    return Statistics(**found)


def _motion(file: Mapping, info: DatasetInfo) -> dict[str, float | np.ndarray]:
    energy, total, count, first = 0.0, 0.0, 0, None
    for part in _parts(info):
        squared = (file["velocities"][part] ** 2).sum(-1)
        present = _present(file, part, "velocities")
        masses = file["masses"][part] if "masses" in file else 1.0
        energy += (0.5 * masses * squared * present).sum((0, 2))
        speeds = np.sqrt(squared[present])
        total, count = total + speeds.sum(), count + speeds.size
        first = speeds if first is None else first
    return {"speed": float(total / max(count, 1)), "speeds": first, "kinetic_energy": energy / info.sequences}


def _present(file: Mapping, part: slice, like: str) -> np.ndarray:
    """Which objects exist, "n t k"; all where the file does not say."""
    if "present" in file:
        return file["present"][part]
    return np.ones((part.stop - part.start, *file[like].shape[1:3]), bool)


def _parts(info: DatasetInfo) -> Iterator[slice]:
    for start in range(0, info.sequences, _AT_ONCE):
        yield slice(start, min(start + _AT_ONCE, info.sequences))
