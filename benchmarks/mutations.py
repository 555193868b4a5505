"""Mutations of files: damage to their bytes, and hostile structure under intact bytes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

HEAD = 4096  # bytes in which most formats have their structure
EXTREMES = (b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 8, b"\x80\0\0\0")

Mutation = Callable[[random.Random, bytearray], None]


def _place(chance: random.Random, data: bytearray) -> int:
    """Return a place, half of the time near the beginning or the end, where formats keep their structure."""
    size = len(data)
    near = chance.randrange(min(HEAD, size))
    return chance.choice((chance.randrange(size), chance.randrange(size), near, size - 1 - near))


def flip(chance: random.Random, data: bytearray) -> None:
    """Flip 1, 8 or 64 bits."""
    for _ in range(chance.choice((1, 8, 64))):
        data[_place(chance, data)] ^= 1 << chance.randrange(8)


def truncate(chance: random.Random, data: bytearray) -> None:
    """Cut the file off."""
    del data[chance.choice((chance.randrange(len(data)), chance.randrange(min(64, len(data))))) :]


def overwrite(chance: random.Random, data: bytearray) -> None:
    """Replace a range by zeros, ones or noise."""
    start = _place(chance, data)
    size = min(chance.choice((4, 64, 1024)), len(data) - start)
    data[start : start + size] = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))


def insert(chance: random.Random, data: bytearray) -> None:
    """Insert noise, so that everything behind it moves."""
    start = _place(chance, data)
    data[start:start] = chance.randbytes(chance.choice((1, 16, 512)))


def remove(chance: random.Random, data: bytearray) -> None:
    """Remove a range, so that everything behind it moves."""
    start = _place(chance, data)
    del data[start : start + chance.choice((1, 16, 512))]


def extreme(chance: random.Random, data: bytearray) -> None:
    """Write extreme numbers, as in a size or an offset."""
    for _ in range(chance.choice((1, 4))):
        start, number = _place(chance, data), chance.choice(EXTREMES)
        data[start : start + len(number)] = number


def repeat(chance: random.Random, data: bytearray) -> None:
    """Write a copy of one range over another."""
    size = min(chance.choice((16, 256)), len(data) // 2)
    source, target = (chance.randrange(len(data) - size) for _ in range(2))
    data[target : target + size] = data[source : source + size]


MUTATIONS: tuple[Mutation, ...] = (flip, flip, truncate, overwrite, insert, remove, extreme, repeat)


def damage(source: Path, target: Path, seed: int) -> str:
    """Write a damaged copy of a file, or of a folder with one of its files damaged; return what was done."""
    chance = random.Random(seed)
    mutate = MUTATIONS[seed % len(MUTATIONS)]
    if source.is_dir():
        shutil.copytree(source, target)
        target = chance.choice(sorted(path for path in target.rglob("*") if path.is_file()))
        source = target
    data = bytearray(source.read_bytes())
    mutate(chance, data)
    target.write_bytes(data)
    return f"{mutate.__name__}, seed {seed}"
