"""The card of a dataset: a README.md beside its files that says what they hold and how to make them again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from data_gen.blocks import SPLITS
from data_gen.disk import whole
from data_gen.recipe import recipes
from data_gen.schema import ACTION_CONVENTION, DatasetInfo, read_info
from data_gen.statistics import statistics

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
