"""`python -m data_gen import` and `export`: foreign data to dataset files, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_gen.card import remove_card, write_card
from data_gen.cli.command import Job
from data_gen.cli.configs import read_options
from data_gen.errors import DataError, require_choice, require_flags, require_words
from data_gen.formats import (
    AUTO,
    EXPORTS,
    ForeignSplit,
    ImportOptions,
    exporter,
    reader,
)
from data_gen.formats.recognise import recognise
from data_gen.locks import output_folder
from data_gen.schema import open_dataset, read_info
from data_gen.shards import datasets_in, is_dataset, shard_files
from data_gen.writer import create_dataset


@dataclass(frozen=True)
class ExportOptions:
    """Options of configs/data_export.yaml, composed and checked."""

    format: str
    data: str
    out: str
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_words(self, "format", "data", "out")
        require_choice("format", self.format, EXPORTS)
        require_flags(self, "overwrite")


def import_data(options: ImportOptions) -> list[Path]:
    """Write foreign data as dataset files, and print what was written and what was left out.

    Raises:
        DataError: the data cannot be read, or a file exists (unless options.overwrite).
    """
    with output_folder(Path(options.out)):
        return _import(options)


def _import(options: ImportOptions) -> list[Path]:
    written: list[Path] = []
    if options.format == AUTO:
        options = replace(options, format=recognise(Path(options.data)))
        print(f"{options.data}: read as format={options.format}")
    for foreign in reader(options.format)(Path(options.data), options):
        path = Path(options.out) / f"{foreign.split}.h5"
        if path in written:
            raise DataError(f"data={options.data}: has several files for {foreign.split}; import one by one")
        _require_absent(path, options.overwrite)
        remove_card(Path(options.out))  # that of the files that are replaced
        _write(path, foreign, options)
        written.append(path)
        for note in foreign.notes:
            print(note)
        _print_summary(path)
    write_card(Path(options.out))
    return written


def _write(path: Path, foreign: ForeignSplit, options: ImportOptions) -> None:
    attributes = {
        "simulator": options.name or options.format,
        "config": {"import": options.changed()},
        "seed": 0,
        "dt": 1.0,
        **foreign.attributes,
    }
    bar = tqdm(total=foreign.sequences, desc=str(path), unit="seq", disable=None, leave=False)
    start = 0
    with bar, create_dataset(path, foreign.sequences, attributes) as writer:
        for arrays in foreign.blocks:
            writer.write(start, arrays)
            start += len(arrays["imgs"])
            bar.update(len(arrays["imgs"]))


def export_data(options: ExportOptions) -> list[Path]:
    """Write each dataset file in another format, and print what was written.

    Raises:
        DataError: there is no dataset, or it does not fit the format, or a file exists (unless
            options.overwrite).
    """
    with output_folder(Path(options.out)):
        return _export(options)


def _export(options: ExportOptions) -> list[Path]:
    module, written = exporter(options.format), []
    for dataset_path in _datasets(Path(options.data)):
        path = Path(options.out) / f"{dataset_path.stem}{module.SUFFIX}"
        _require_absent(path, options.overwrite)
        info = read_info(dataset_path)
        with open_dataset(dataset_path) as file:
            module.write(path, file, info)
        written.append(path)
        _print_summary(dataset_path, path)
    return written


def _datasets(path: Path) -> list[Path]:
    """Return the dataset itself, or those of a folder; in several files (data_gen.shards) each once."""
    found = [path] if is_dataset(path) else datasets_in(path, (".h5",)) if path.is_dir() else None
    if not found:
        raise DataError(
            f"data={path}: " + ("no such file or folder" if found is None else "holds no dataset, .h5")
        )
    return found


def _print_summary(dataset_path: Path, path: Path | None = None) -> None:
    """Print the size of a dataset, under the name of the file that it was written to."""
    info = read_info(dataset_path)
    size = f"{info.width}x{info.height}"
    print(f"{path or dataset_path}: {info.sequences} sequences of {info.length} frames, {size}")


def _require_absent(path: Path, overwrite: bool) -> None:
    if shards := shard_files(path):
        first = next(iter(shards.values()))
        raise DataError(
            f"{path}: exists in {len(shards)} files ({first.name}); remove them, or choose out=FOLDER"
        )
    if path.exists() and not overwrite:
        raise DataError(f"{path}: exists; overwrite=true replaces it, out=FOLDER leaves it")


def run_import(config: Mapping[str, Any], job: Job) -> None:
    """Run the command import with a composed config."""
    options = read_options(ImportOptions, config, job)
    import_data(options)


def run_export(config: Mapping[str, Any], job: Job) -> None:
    """Run the command export with a composed config."""
    options = read_options(ExportOptions, config, job)
    export_data(options)
