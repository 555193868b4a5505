"""Sequences in arrays: .npy, .npz, HDF5 and Zarr, under any key, with what is known of them beside it.

Frames are the only array that can be pictures, or the one that `key=` names; arrays whose keys differ in
numbers alone, and the .npy files of a folder, are a sequence each. A long array that says where its episodes
begin is cut there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_gen.errors import DataError
from data_gen.formats import AUTO, ForeignSplit, ImportOptions, split_named
from data_gen.formats.array_sequences import Joined, Part, Sequences, find_whites, make_sequences
from data_gen.formats.containers import (
    HDF5,
    Container,
    is_container,
    is_zarr,
    natural,
    open_container,
    open_folder,
)
from data_gen.formats.cutting import cut
from data_gen.formats.episodes import EPISODE_KEYS, find_episodes
from data_gen.formats.frame_keys import find_keys
from data_gen.formats.notes import merge_notes
from data_gen.formats.truth import CHOSEN
from data_gen.frames import FRAME_AXES, find_axes
from data_gen.lazy import LazyArray
from data_gen.numpy_files import NUMPY
from data_gen.splits import SPLITS

SUFFIXES = (*NUMPY, *HDF5, ".zarr")

# First axis of an array n h w c or t h w c, by its name, where the format does not say it.
_FIRST = {"image": "n", "frames": "t", "video": "t"}


def read(path: Path, options: ImportOptions, first: str | None = None) -> Iterator[ForeignSplit]:
    """Read the splits of a file, or of those in a folder.

    first: "n" if an array of pictures without sequences or frames is single images, "t" if one sequence

    Raises:
        DataError: there are no frames, or their axes, white, or truth can mean several things.
    """
    with ExitStack() as stack:
        containers = _open_all(path, options, stack)
        others = _open_others(path, options, stack)
        notes: list[str] = []
        splits = [_split(path, container, "") for container in containers]
        parts = [
            part
            for container, split in zip(containers, splits, strict=True)
            for part in _parts(path, container, splits.count(split) > 1, options, first, notes)
        ]
        whites, more = find_whites(parts, options)
        sequences: dict[str | None, list[Sequences]] = {}
        for part, white in zip(parts, whites, strict=True):
            made = make_sequences(part, white, options, others)
            sequences.setdefault(part.split, []).append(made)
            notes += made.notes
        notes += [*more, *_left_out(parts, [made for group in sequences.values() for made in group])]
        yield from _cut_splits(path, sequences, options, merge_notes(notes))


def read_videos(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read arrays in which t h w c, without an axis of sequences, is one sequence."""
    return read(path, options, first="t")


def read_images(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read arrays in which n h w c, without an axis of frames, are single images."""
    return read(path, options, first="n")


# ---- files


def array_files(path: Path) -> list[Path]:
    """Return the files of arrays that a path stands for: itself, or those in a folder, in natural order."""
    if path.is_file() or is_zarr(path):
        return [path]
    if not path.is_dir():
        raise DataError(f"data={path}: no such file or folder")
    visible = sorted((f for f in path.iterdir() if not f.name.startswith(".")), key=natural)
    files = [file for file in visible if is_container(file)]
    if files:
        return files
    inner = [file for folder in visible if folder.is_dir() and split_named(folder.name)
             for file in array_files(folder)]  # fmt: skip
    if not inner:
        raise DataError(f"data={path}: holds no file ending in {' or '.join(SUFFIXES)}; name another")
    return inner


def _open_all(path: Path, options: ImportOptions, stack: ExitStack) -> list[Container]:
    files = array_files(path)
    if len(files) == 1:
        return [open_container(files[0], stack, Path(options.out))]
    folders: dict[Path, list[Path]] = {}
    for file in files:
        if file.suffix.lower() == ".npy":
            folders.setdefault(file.parent, []).append(file)
    containers = [open_folder(folder, inside) for folder, inside in folders.items()]
    rest = [file for file in files if file.suffix.lower() != ".npy"]
    return containers + [open_container(file, stack, Path(options.out)) for file in rest]


def _open_others(path: Path, options: ImportOptions, stack: ExitStack) -> dict[str, Container]:
    """Open the files that the options masks=, positions=, actions= and rewards= name instead of keys."""
    others = {}
    for key in CHOSEN:
        choice = getattr(options, key)
        if choice in (None, AUTO) or not is_container(Path(choice)) or not Path(choice).exists():
            continue
        if len(array_files(path)) > 1:
            raise DataError(f"{key}={choice}: is one file, and data={path} several; name a key in each")
        others[key] = open_container(Path(choice), stack, Path(options.out))
    return others


# ---- parts


def _parts(
    root: Path,
    container: Container,
    is_one_of_many: bool,
    options: ImportOptions,
    first: str | None,
    notes: list[str],
) -> list[Part]:
    keys, more = find_keys(container, options)
    is_one_of_many = is_one_of_many or len(keys) > 1
    parts = [_part(root, container, key, is_one_of_many, options, first) for key in keys]
    for part in parts:
        source, layout = part.frames.source, " ".join(part.frames.axes)
        episodes = "" if part.spans is None else f", {len(part.spans)} episodes"
        notes.append(f"{part.name}: {source.dtype} {tuple(source.shape)} read as {layout}{episodes}")
    notes += more
    return parts


def _part(
    root: Path,
    container: Container,
    key: str,
    is_one_of_many: bool,
    options: ImportOptions,
    first: str | None,
) -> Part:
    source, name = container.arrays[key], container.name(key)
    shape = tuple(source.shape)
    spans = None if len(shape) != 4 else find_episodes(container, key, shape[0])
    is_sequence = spans is not None or is_one_of_many or container.is_folder or (options.length or 1) > 1
    known = first or ("t" if is_sequence else _FIRST.get(key.rpartition("/")[2].lower()))
    axes = find_axes(name, shape, options.layout, known)
    frames = LazyArray(container.path, source, axes, FRAME_AXES)
    return Part(name, _split(root, container, key), container, key, frames, spans if axes[0] == "t" else None)


def _split(root: Path, container: Container, key: str) -> str | None:
    """Return the split that a group, a file, or a folder inside the imported one is named after."""
    path = container.path
    names = [key.partition("/")[0] if "/" in key else "", key if container.is_folder else path.stem]
    folder = path if container.is_folder else path.parent
    names += [folder.name] if root in folder.parents else []
    return next((split for name in names if (split := split_named(name))), None)


# ---- splits


def _cut_splits(
    path: Path,
    sequences: Mapping[str | None, list[Sequences]],
    options: ImportOptions,
    notes: tuple[str, ...],
) -> Iterator[ForeignSplit]:
    """Yield the splits: as options say, else as names say."""
    groups = list(sequences.values())
    if options.split is None and not (options.val or options.test):
        named: dict[str, list[Sequences]] = {}
        for name, group in sequences.items():
            named.setdefault(name or "train", []).extend(group)
        chosen = [(named[split], replace(options, split=split)) for split in SPLITS if split in named]
    elif options.split is None and len(sequences) > 1:
        raise DataError(
            f"val={options.val} test={options.test}: {path} names its splits itself; leave them out"
        )
    else:
        chosen = [([made for group in groups for made in group], options)]
    everything = [made for group in groups for made in group]
    for group, group_options in chosen:
        yield from cut(Joined(_same_truth(group)), group_options, notes, _attributes(everything))
        notes = ()


def _attributes(groups: list[Sequences]) -> dict[str, Any]:
    """Return the attributes of a dataset that the truth of its arrays determines."""
    attributes: dict[str, Any] = {}
    for made in groups:
        for key, value in made.truth.attributes.items():
            attributes[key] = max(value, attributes.get(key, value))
    return attributes


def _same_truth(groups: list[Sequences]) -> list[Sequences]:
    """Return the arrays unchanged, if the same is known of all.

    Raises:
        DataError: something is known of some alone.
    """
    first = groups[0]
    for made in groups:
        differing = made.truth.views.keys() ^ first.truth.views.keys()
        if differing:
            raise DataError(
                f"{made.part.name}: {', '.join(sorted(differing))} is known of it or of {first.part.name}, "
                "not of both; import them one by one"
            )
    return groups


def _left_out(parts: list[Part], sequences: list[Sequences]) -> list[str]:
    """Return a note per file on the arrays in it that were not read."""
    read: dict[Path, set[str]] = {}
    for made in sequences:
        read.setdefault(made.part.container.path, set()).update({made.part.key}, made.truth.used)
    notes = []
    for container in {part.container.path: part.container for part in parts}.values():
        keys = [
            key for key in container.arrays
            if key not in read[container.path] and key.rpartition("/")[2] not in EPISODE_KEYS
        ]  # fmt: skip
        keys += [f"{key} (a link to {target}, where nothing is)" for key, target in container.broken.items()]
        if keys:
            more = f" and {len(keys) - 12} others" if len(keys) > 12 else ""
            notes.append(f"{container.path}: left out {', '.join(keys[:12])}{more}")
    return notes
