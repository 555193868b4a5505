"""`python -m data_gen import` and `export`: foreign data to dataset files, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data_gen.card import write_card
from data_gen.cli import quoted, read_options, run, yaml_of
from data_gen.errors import DataError, require_choice, require_flags, require_words
from data_gen.formats import EXPORTS, Options, Source, exporter, files_in, reader, reading
from data_gen.schema import open_dataset, read_info
from data_gen.writer import create_dataset


@dataclass(frozen=True)
class ExportOptions:
    """configs/data_export.yaml, composed and checked."""

    format: str
    data: str
    out: str
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_words(self, "format", "data", "out")
        require_choice("format", self.format, EXPORTS)
        require_flags(self, "overwrite")


def import_data(options: Options, stop: threading.Event | None = None) -> list[Path]:
    """Write the dataset files that foreign data become, and say on stdout what was written and left out.

    Raises DataError for what cannot be read, and where a file is there already (unless options.overwrite);
    KeyboardInterrupt once `stop` is set. Files that are finished by then stay.
    """
    _make_folder(Path(options.out))
    written: list[Path] = []
    for source in reader(options.format)(Path(options.data), options):
        path = Path(options.out) / f"{source.split}.h5"
        if path in written:
            raise DataError(f"data={options.data}: has several files for {source.split}; import one by one")
        _require_room(path, options.overwrite)
        _write(path, source, options, stop)
        written.append(path)
        print(*source.notes, sep="\n", end="\n" if source.notes else "")
        info = read_info(path)
        print(f"{path}: {info.sequences} sequences of {info.length} frames, {info.width}x{info.height}")
    write_card(Path(options.out))
    return written


def _write(path: Path, source: Source, options: Options, stop: threading.Event | None) -> None:
    attributes = {
        "simulator": options.name or options.format,
        "config": {"import": options.said()},
        "seed": 0,
        "dt": 1.0,
        **source.attributes,
    }
    bar = tqdm(total=source.sequences, desc=str(path), unit="seq", disable=None, leave=False)
    start = 0
    with bar, create_dataset(path, source.sequences, attributes) as writer:
        for arrays in _until(stop, source.blocks):
            writer.write(start, arrays)
            start += len(arrays["imgs"])
            bar.update(len(arrays["imgs"]))


def export_data(options: ExportOptions) -> list[Path]:
    """Write dataset files in another format, one foreign file for each, and say so on stdout.

    Raises DataError where a file is there already (unless options.overwrite), or does not fit the format.
    """
    module = exporter(options.format)
    written = []
    for source in files_in(Path(options.data), (".h5",)):
        path = Path(options.out) / f"{source.stem}{module.SUFFIX}"
        _require_room(path, options.overwrite)
        info = read_info(source)
        with open_dataset(source) as file, reading(source):
            module.write(path, file, info)
        written.append(path)
        print(f"{path}: {info.sequences} sequences of {info.length} frames, {info.width}x{info.height}")
    return written


def _until(stop: threading.Event | None, blocks: Iterator) -> Iterator:
    for block in blocks:
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        yield block


def _require_room(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise DataError(f"{path}: exists; overwrite=true replaces it, out=FOLDER leaves it")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"out={folder}: cannot be made ({error.strerror}); choose another folder") from None


def import_main(arguments: list[str]) -> int:
    """The command line of import; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(yaml_of("import").read_text(), end="")
        return 0
    return run(lambda stop: import_data(read_options(Options, "import", quoted(arguments)), stop))


def export_main(arguments: list[str]) -> int:
    """The command line of export; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(yaml_of("export").read_text(), end="")
        return 0
    return run(lambda stop: export_data(read_options(ExportOptions, "export", quoted(arguments))))
