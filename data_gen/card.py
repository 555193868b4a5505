"""The card of a dataset: a README.md beside its files, with statistics and the commands that make them."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.cli.configs import compose
from data_gen.errors import DataError
from data_gen.io import output_path, report_unwritable
from data_gen.plugins import plugin_of
from data_gen.schema import ACTION_CONVENTION, DatasetFile, DatasetInfo, open_dataset, read_info
from data_gen.shards import find_shards, is_dataset
from data_gen.simulator import build_simulator, simulator_config
from data_gen.splits import SPLITS

CARD = "README.md"
LARGE = 2**32  # bytes, whose checksum takes seconds

_MARK = "<!-- Written by data_gen; changes are lost when a file of the dataset is made anew. -->"


def write_card(folder: Path) -> None:
    """Write the card of the dataset files in a folder, in place of an older one.

    A README.md of another origin is left as it is, with a line on stdout.

    Raises:
        DataError: a dataset file cannot be read, or the card cannot be written.
    """
    card = folder / CARD
    if card.exists() and not _is_card(card):
        print(f"{card}: is no card of a dataset; left as it is")
        return
    infos = [read_info(path) for path in (folder / f"{split}.h5" for split in SPLITS) if is_dataset(path)]
    with output_path(card) as temporary:
        text = _card_text(folder, infos)
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # names are any bytes


def remove_card(folder: Path) -> None:
    """Remove the card of the dataset files in a folder, before files that it describes are replaced."""
    card = folder / CARD
    if card.is_file() and _is_card(card):
        with report_unwritable(card):
            card.unlink()


def _is_card(path: Path) -> bool:
    return path.read_text(errors="replace").startswith(_MARK)


def _card_text(folder: Path, infos: list[DatasetInfo]) -> str:
    names = " and ".join(sorted({info.simulator for info in infos}))
    commands = find_commands(infos, folder) or [
        "(not known: the files were made by another program or version)"
    ]
    configs = {json.dumps(_shared_config(info), indent=2): None for info in infos}
    return "\n".join([
        _MARK,
        f"# Dataset: {names}",
        "",
        *_summary(infos[0]),
        "",
        "## Files",
        *_statistics_table(infos),
        "",
        "## Checksums (SHA-256)",
        *(line for info in infos for line in _checksum_lines(info)),
        "",
        "## Make it again",
        *(f"    {command}" for command in commands),
        "",
        "## Configuration",
        *(line for config in configs for line in ("```json", config, "```")),
        "",
    ])  # fmt: skip


def _summary(info: DatasetInfo) -> list[str]:
    """Describe the properties that all files share."""
    size = f"{info.width}x{info.height}"
    lines = [f"Frames of {size}, seed {info.seed}, made by version {info.package_version}."]
    if info.num_objects is not None:
        lines.append(
            f"{info.num_objects} objects; positions lie in [0, {info.coord_limit:g}], x right and y down, "
            "velocities are per frame."
        )
    if info.num_actions:
        lines.append(f"{info.num_actions} actions: {ACTION_CONVENTION}.")
    if info.action_numbers:
        limits = zip(info.action_low, info.action_high, strict=True)
        ranges = ", ".join(f"[{low:g}, {high:g}]" for low, high in limits)
        lines.append(
            f"Continuous actions, {info.action_numbers} numbers per action, in {ranges}: {ACTION_CONVENTION}."
        )
    return [*lines, f"Keys: {', '.join(f'`{key}`' for key in info.keys)}."]


def _statistics_table(infos: list[DatasetInfo]) -> list[str]:
    columns = [_statistics_column(info) for info in infos]
    rows = [" | ".join([name, *(column[name] for column in columns)]) for name in columns[0]]
    head = " | ".join(["", *(f"`{info.path.name}`" for info in infos)])
    return [f"|{head} |", "|" + "---|" * (len(infos) + 1), *(f"| {row} |" for row in rows)]


def _statistics_column(info: DatasetInfo) -> dict[str, str]:
    values = compute_statistics(info)
    return {
        "sequences": f"{info.sequences}",
        "frames per sequence": f"{info.length}",
        "frames": f"{info.sequences * info.length}",
        "mean speed": _format_number(values.speed),
        "collisions per frame": _format_number(values.collisions),
        "visible share of the objects": _format_number(values.visible),
        "size in MB": f"{sum(file.stat().st_size for file in info.files) / 1e6:.1f}",
        "files": f"{len(info.files)}",
    }


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file; of one above LARGE the one on its card, if the card is not older.

    That of a dataset in shards is the SHA-256 of their checksums, each with a line break, in order.

    Raises:
        OSError: a file cannot be read.
        DataError: shards are missing.
    """
    files = find_shards(path) or (path,)
    recorded = _recorded_checksum(path, files) if sum(f.stat().st_size for f in files) > LARGE else None
    return recorded or _join_checksums(list(map(_compute_checksum, files)))


def _checksum_lines(info: DatasetInfo) -> list[str]:
    """Return the lines of the card: of a dataset in shards its own, and one per shard."""
    checksums = list(map(_compute_checksum, info.files))
    lines = [f"    {_join_checksums(checksums)}  {info.path.name}"]
    if len(checksums) > 1:
        lines += [f"    {x}  {file.name}" for x, file in zip(checksums, info.files, strict=True)]
    return lines


def _join_checksums(checksums: list[str]) -> str:
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("".join(f"{checksum}\n" for checksum in checksums).encode()).hexdigest()


def _compute_checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded_checksum(path: Path, files: Sequence[Path]) -> str | None:
    """Return the checksum of a dataset on the card beside it; None if the card is older or foreign."""
    card = path.with_name(CARD)
    if not card.is_file() or card.stat().st_mtime < max(file.stat().st_mtime for file in files):
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^    ([0-9a-f]{{64}})  {re.escape(path.name)}$", text, re.MULTILINE)
    return found[1] if found and text.startswith(_MARK) else None


def _format_number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _shared_config(info: DatasetInfo) -> dict[str, Any]:
    """Return the part of a configuration that is the same for all files made together."""
    return {key: value for key, value in info.config.items() if key not in ("split", "sequences", "shards")}


# ---- commands


def find_commands(infos: list[DatasetInfo], folder: Path) -> list[str]:
    """Return the commands that make the files again: one per configuration, none where it is not known."""
    groups: dict[str, list[DatasetInfo]] = {}
    for info in infos:
        key = json.dumps([info.simulator, _shared_config(info)], sort_keys=True)
        groups.setdefault(key, []).append(info)
    commands = []
    for group in groups.values():
        config = group[0].config
        foreign = next((name for name in ("import", "record") if name in config), None)
        words = [foreign, *_option_words(config[foreign])] if foreign else _generate_words(group)
        if words:
            commands.append(shlex.join(["python", "-m", "data_gen", *words, f"out={folder}"]))
    return commands


def _option_words(options: dict[str, Any]) -> list[str]:
    return [f"{key}={_literal(value)}" for key, value in options.items()]


def _generate_words(infos: list[DatasetInfo]) -> list[str]:
    """Return sim=NAME, the sizes, and those options of the simulator that differ from its yaml."""
    name, config = infos[0].simulator, infos[0].config
    target = str(config.get("simulator", {}).get("_target_"))
    plugin = plugin_of(target)
    world = name if plugin is None else target
    try:
        composed = compose("generate", [f"sim={world}"])
        options = composed["sim"]
        defaults = json.loads(json.dumps(simulator_config(build_simulator(options))))
        sizes = {"train": 0, "val": 0, "test": 0} | {i.config["split"]: i.sequences for i in infos}
        sizes |= {key: config[key] for key in ("length", "image_size", "seed")}
        wanted = config["simulator"]
    except (DataError, KeyError):
        return []  # a simulator of another version, or of another program
    if wanted.get("_target_") != defaults["_target_"]:
        return []
    changed = [
        f"{'' if key in options else '+'}sim.{key}={_literal(value)}"
        for key, value in wanted.items()
        if defaults.get(key, ...) != value
    ]
    loaded = [] if plugin is None else [f"plugins=[{plugin}]"]
    named = [] if name == composed["name"] else [f"name={name}"]
    sized = [f"{key}={value}" for key, value in sizes.items()]
    shards = max(info.config.get("shards", 1) for info in infos)
    divided = [] if shards == 1 else ["-m", f"shard=range({shards})", f"shards={shards}"]
    return [*loaded, f"sim={world}", *named, *sized, *changed, *divided]


def _literal(value: Any) -> str:
    """Write a value as the command line reads it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_literal, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


# ---- statistics

_BLOCK = 512  # sequences that are read at a time


@dataclass(frozen=True)
class Statistics:
    """Means over a file, and "t" over its sequences at each frame; None where the file lacks their keys.

    speed: units of the positions per frame
    speeds: those of the first sequences, for a histogram
    kinetic_energy: "t", of all objects together, with mass 1 where the file has no masses
    collisions: per frame
    collisions_over_time: "t"
    visible: share of the existing objects that is in the picture
    visible_over_time: "t"
    """

    speed: float | None = None
    speeds: np.ndarray | None = None
    kinetic_energy: np.ndarray | None = None
    collisions: float | None = None
    collisions_over_time: np.ndarray | None = None
    visible: float | None = None
    visible_over_time: np.ndarray | None = None


def compute_statistics(info: DatasetInfo) -> Statistics:
    """Compute the statistics of a dataset file, which is read block by block."""
    values: dict[str, Any] = {}
    with open_dataset(info.path) as file:
        if "velocities" in file:
            values |= _motion(file, info)
        if "collisions" in file:
            values |= _collisions(file, info)
        if "in_camera" in file:
            values |= _visibility(file, info)
    return Statistics(**values)


def _motion(file: DatasetFile, info: DatasetInfo) -> dict[str, Any]:
    energy, total, count = np.zeros(info.length), 0.0, 0
    first_speeds = None
    for block in _blocks(info):
        squared = (file["velocities"][block] ** 2).sum(-1)
        exists = _existing(file, block, "velocities")
        masses = file["masses"][block] if "masses" in file else 1.0
        energy += (0.5 * masses * squared * exists).sum((0, 2))
        speeds = np.sqrt(squared[exists])
        total, count = total + speeds.sum(), count + speeds.size
        first_speeds = speeds if first_speeds is None else first_speeds
    return {
        "speed": float(total / max(count, 1)),
        "speeds": first_speeds,
        "kinetic_energy": energy / info.sequences,
    }


def _collisions(file: DatasetFile, info: DatasetInfo) -> dict[str, Any]:
    counts = np.sum([file["collisions"][block].sum(0) for block in _blocks(info)], axis=0)
    return {
        "collisions": float(counts.mean() / info.sequences),
        "collisions_over_time": counts / info.sequences,
    }


def _visibility(file: DatasetFile, info: DatasetInfo) -> dict[str, Any]:
    visible, existing = np.zeros(info.length, int), np.zeros(info.length, int)
    for block in _blocks(info):
        exists = _existing(file, block, "in_camera")
        visible += (file["in_camera"][block] & exists).sum((0, 2))
        existing += exists.sum((0, 2))
    return {
        "visible": float(visible.sum() / max(existing.sum(), 1)),
        "visible_over_time": visible / np.maximum(existing, 1),
    }


def _existing(file: DatasetFile, block: slice, like: str) -> np.ndarray:
    """Return the objects that exist, bool "n t k": all where the file has no `present`."""
    if "present" in file:
        return file["present"][block]
    return np.ones((block.stop - block.start, *file[like].shape[1:3]), bool)


def _blocks(info: DatasetInfo) -> Iterator[slice]:
    for start in range(0, info.sequences, _BLOCK):
        yield slice(start, min(start + _BLOCK, info.sequences))
