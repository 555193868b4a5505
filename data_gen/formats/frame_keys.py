"""The choice of the arrays in a file that hold its frames."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from data_gen.errors import DataError
from data_gen.formats import AUTO, ImportOptions, split_named
from data_gen.formats.containers import Container, natural, numbered
from data_gen.formats.truth import CHOSEN
from data_gen.frames import NO_PICTURES, could_be_pictures, has_channels

_OWN_NAMES = ("frames", "image", "imgs", "pixels")  # taken before others that could be pictures as well


def find_keys(container: Container, options: ImportOptions) -> tuple[list[str], tuple[str, ...]]:
    """Return the keys of the arrays with frames, in natural order, and notes on their choice.

    Raises:
        DataError: there is none, or several that do not belong together.
    """
    if options.key is not None:
        return _named(container, options.key), ()
    taken = {getattr(options, key) for key in CHOSEN} - {None, AUTO}
    free = [key for key in container.arrays if key not in taken and _plain_name(key) not in NO_PICTURES]
    candidates = _likely(container, sorted(free, key=natural), options.layout)
    broken = [key for key in container.broken if _plain_name(key) in _OWN_NAMES]
    if broken and not any(_plain_name(key) in _OWN_NAMES for key in candidates):
        container.require(broken[0], "key")
    if not candidates:
        raise DataError(
            f"{container.path}: has no array that can be pictures, but {container.describe()}; "
            "key= names one, layout= its axes"
        )
    if len(candidates) == 1:
        own = _plain_name(candidates[0]) in _OWN_NAMES
        return candidates, () if own else (f"{container.path}: {candidates[0]} is taken for the frames",)
    if container.is_folder or numbered(candidates) or _are_splits(candidates):
        return candidates, (f"{container.path}: {len(candidates)} arrays of frames, from {candidates[0]} on",)
    own = [key for key in candidates if _plain_name(key) in _OWN_NAMES]
    if len(own) == 1 or numbered(own):
        return own, ()
    patterns = dict.fromkeys(re.sub(r"\d+", "*", key) for key in candidates)
    raise DataError(
        f"{container.path}: several arrays can be the frames; say key=NAME, one of "
        f"{', '.join(list(patterns)[:12])}"
    )


def _likely(container: Container, keys: list[str], layout: str | None) -> list[str]:
    """Return the keys of arrays that can be pictures: with channels, or else grey ones, of more axes first.

    States "n t d" look like grey pictures as well, so these count only where nothing else does.
    """
    ranks = {}
    for key in keys:
        array = container.arrays[key]
        if could_be_pictures(tuple(array.shape), array.dtype, layout):
            ranks[key] = (_plain_name(key) in _OWN_NAMES, has_channels(tuple(array.shape)), array.ndim > 3)
    if ranks:
        best = max(rank[1:] for rank in ranks.values())
        return [key for key, rank in ranks.items() if rank[0] or rank[1:] == best]
    # tiny pictures, and single ones, whose axes find_axes may ask for
    numbers = [key for key in keys if container.arrays[key].dtype.kind in "biuf"]
    tiny = [key for key in numbers if container.arrays[key].ndim in (4, 5)]
    if container.is_folder:
        tiny += [
            key for key in numbers if key not in tiny and has_channels(tuple(container.arrays[key].shape))
        ]
    return tiny if len(tiny) == 1 or container.is_folder else []


def _named(container: Container, pattern: str) -> list[str]:
    """Return the keys that a key, or a pattern such as demo_*/image, stands for."""
    pattern = pattern.strip("/")
    if pattern in container.arrays or pattern in container.broken:
        return [container.require(pattern, "key")]
    keys = sorted((key for key in container.arrays if fnmatchcase(key, pattern)), key=natural)
    return keys or [container.require(pattern, "key")]


def _plain_name(key: str) -> str:
    """Return the last part of a key, without a number at its end."""
    return re.sub(r"[_-]?\d+$", "", key.rpartition("/")[2].lower())


def _are_splits(keys: list[str]) -> bool:
    """Return whether keys are the same in groups that are named after splits."""
    splits = [split_named(key.partition("/")[0]) for key in keys]
    return (
        None not in splits and len(set(splits)) == len(keys) and len({k.partition("/")[2] for k in keys}) == 1
    )
