"""The data of a training and of its evaluation, as far as their files are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.errors import DataError
from data_gen.media.videos import VIDEOS
from data_gen.schema import read_info
from data_gen.shards import is_dataset
from seqvae.report.read import RunRecord
from seqvae.train.config import ONLINE

DATASETS = (".h5", ".hdf5")
CARD, MARK = "README.md", "<!-- Written by data_gen"


@dataclass(frozen=True)
class DataFile:
    """A file of data.

    role: its use: training, validation, evaluation
    path: path as the command had it
    facts: what it holds, in words; None if it is not here or cannot be read
    digest: SHA-256 when it was evaluated, None where that is not known
    in_card: whether the card has this checksum, None where one of the two is missing
    """

    role: str
    path: str
    facts: str | None
    digest: str | None = None
    in_card: bool | None = None


@dataclass(frozen=True)
class DataRecord:
    """The data of a run.

    files: files, in the order of their use
    cards: folder -> text of the card of its dataset
    simulator: name of the world that was simulated while the training ran, or None
    """

    files: tuple[DataFile, ...]
    cards: Mapping[str, str]
    simulator: str | None = None

    @property
    def commands(self) -> list[str]:
        """Commands that make the data again, by the cards."""
        return [line.strip() for card in self.cards.values() for line in card.splitlines() if _makes(line)]


def read_data(run: RunRecord) -> DataRecord:
    """Look at the files that a run names."""
    named = [("training", _training_file(run.config)), ("validation", _validation_file(run.config))]
    if run.evaluation is not None:
        named.append(("evaluation", run.evaluation.data))
    named = [(role, path) for role, path in named if path is not None]
    folders = dict.fromkeys(str(Path(path).parent) for _, path in named if path != ONLINE)
    cards = {folder: card for folder in folders if (card := _read_card(Path(folder))) is not None}
    digests = {} if run.evaluation is None else {"evaluation": run.evaluation.metrics.get("data_sha256")}
    files = [
        _describe(role, path, digests.get(role), cards.get(str(Path(path).parent)))
        for role, path in named
        if path != ONLINE
    ]
    is_online = run.config.get("data") == ONLINE
    return DataRecord(tuple(files), cards, str(run.config.get("name")) if is_online else None)


def find_sequences(run: RunRecord, data: str | None = None) -> Path | None:
    """Return a file to draw pictures from: `data`, that of the evaluation, or of the training."""
    of_evaluation = None if run.evaluation is None else run.evaluation.data
    named = [data, of_evaluation, test_file(run.config), _validation_file(run.config)]
    paths = [Path(path) for path in (*named, _training_file(run.config)) if path is not None]
    return next((path for path in paths if is_dataset(path) and path.suffix.lower() in READABLE), None)


READABLE = (*DATASETS, ".npz", *VIDEOS)


def test_file(config: Mapping[str, Any]) -> str | None:
    """Return the test file beside the training data of a config, if it is here."""
    folder = _folder(config)
    path = None if folder is None else folder / "test.h5"
    return str(path) if path is not None and is_dataset(path) else None


def _folder(config: Mapping[str, Any]) -> Path | None:
    data = config.get("data")
    if not isinstance(data, str) or data == ONLINE:
        return None
    return Path(data).parent if Path(data).suffix in DATASETS else Path(data)


def _training_file(config: Mapping[str, Any]) -> str | None:
    data = config.get("data")
    if not isinstance(data, str):
        return None
    return data if data == ONLINE or Path(data).suffix in DATASETS else str(Path(data) / "train.h5")


def _validation_file(config: Mapping[str, Any]) -> str | None:
    if isinstance(config.get("val"), str):
        return config["val"]
    folder = _folder(config)
    in_folder = folder is not None and Path(str(config.get("data"))).suffix not in DATASETS
    return str(folder / "val.h5") if folder is not None and in_folder else None


def _describe(role: str, path: str, digest: str | None, card: str | None) -> DataFile:
    file = Path(path)
    in_card = None if card is None or not isinstance(digest, str) else digest in card
    facts = None
    if file.suffix in DATASETS and is_dataset(file):
        try:
            info = read_info(file)
            facts = f"{info.sequences:,} sequences of {info.length} frames, {info.width}x{info.height}"
            facts += f", {info.simulator}" if info.simulator else ""
        except (DataError, OSError):
            facts = None
    elif file.is_file():
        facts = f"a file of {file.stat().st_size / 1e6:.1f} MB"
    return DataFile(role, path, facts, digest if isinstance(digest, str) else None, in_card)


def _read_card(folder: Path) -> str | None:
    card = folder / CARD
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    return text.partition("-->")[2].strip() if text.startswith(MARK) else None


def _makes(line: str) -> bool:
    return line.startswith("    python -m data_gen ")
