"""Mutated and hostile files, each in a process of its own: python benchmarks/mutated.py [COUNT] [READER ...]

Read COUNT (by default 500) mutations of the sound file of each reader (readers.py): every second one hostile
in structure (hostile.py), as far as there are such, the others with damaged bytes (mutations.py). A file must
be read, or refused in one line that names it, within 10 s of CPU time per call and 1 GiB, or twice the file.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from isolated import CRASH, DONE, HANG, REFUSED, SECONDS, TRACEBACK, Outcome, isolated
from mutations import damage
from readers import READERS, Reader, make_samples

from data_gen.errors import DataError
from seqvae.errors import UserError

COUNT = 500
MEMORY = 2**30  # bytes that any file may take


@dataclass
class Tally:
    """Outcomes of the mutations of one reader.

    kinds: number of reads per kind of outcome
    memory, seconds: the most that a read took
    faults: what was done to a file, and what went wrong then
    """

    files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    memory: int = 0
    seconds: float = 0.0
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, path: Path, outcome: Outcome) -> None:
        """Count an outcome, and note what is wrong with it."""
        self.kinds[outcome.kind] += 1
        self.memory, self.seconds = max(self.memory, outcome.memory), max(self.seconds, outcome.seconds)
        wrong = fault(path, outcome)
        if wrong is not None:
            self.faults.append((what, wrong))


def fault(path: Path, outcome: Outcome) -> str | None:
    """Say what is wrong with the outcome of a read; None if nothing is."""
    if outcome.kind in (TRACEBACK, CRASH, HANG):
        return f"{outcome.kind}: {outcome.text or outcome.output}"
    if outcome.memory > max(MEMORY, 2 * size_of(path)):
        return f"{outcome.memory / 2**20:,.0f} MiB of memory for a file of {size_of(path):,} bytes"
    lines = [line for line in (outcome.text, *outcome.output.splitlines()) if line]
    if outcome.kind == REFUSED and (len(lines) != 1 or "\n" in lines[0]):
        return f"not one line: {lines}"
    if outcome.kind == REFUSED and path.name not in lines[0] and path.parent.name not in lines[0]:
        return f"the file is not named: {lines[0]}"
    return None


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def mutate(reader: Reader, source: Path, folder: Path, count: int) -> Iterator[tuple[str, Path]]:
    """Yield what was done, and the path of the mutated file; it is removed afterwards."""
    names = random.Random(0).sample(sorted(reader.hostile), min(count // 2, len(reader.hostile)))
    writers: list[tuple[str, Callable[[Path], object]]] = [
        (name, partial(reader.hostile[name], source)) for name in names
    ]
    seeds = range(count - len(names))
    writers += [(f"seed {seed}", partial(damage, source, seed=seed)) for seed in seeds]
    for name, write in writers:
        place = folder / "mutated"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        path = place / source.name
        what = write(path)
        yield (what if isinstance(what, str) else name), path
        shutil.rmtree(place)


def try_reader(reader: Reader, samples: Path, folder: Path, count: int) -> Tally:
    """Read all mutations of one reader's file by all its calls, each file in a process of its own."""
    tally = Tally()
    if reader.has_threads:
        sound = isolated(partial(read, reader.calls, samples / reader.file), 60)
        assert sound.kind == DONE, sound.text + sound.output
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            read(reader.calls, samples / reader.file)  # imports what the others then need not
    for what, path in mutate(reader, samples / reader.file, folder, count):
        tally.files += 1
        tally.add(what, path, isolated(partial(read, reader.calls, path), SECONDS * len(reader.calls)))
    return tally


def read(calls: Sequence[Callable[[Path], object]], path: Path) -> None:
    """Read a file by each call in turn; raise the worst refusal, after all have had their turn."""
    refusals: list[Exception] = []
    for call in calls:
        try:
            call(path)
        except (DataError, UserError) as error:
            refusals.append(error)
    if refusals:
        raise max(refusals, key=lambda error: fault(path, Outcome(REFUSED, str(error))) is not None)


def report(count: int = COUNT, names: tuple[str, ...] = ()) -> bool:
    """Print the table; return whether nothing was wrong."""
    torch.set_num_threads(1)
    good = True
    columns = "file", "mutated", "read", "refused", "traceback or crash", "over 10 s", "MiB", "s", "wrong"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as work:
        outcome = isolated(partial(make_samples, Path(work) / "samples"), 300)
        assert outcome.kind == DONE, outcome.text + outcome.output
        before = Path.cwd()
        os.chdir(Path(work) / "samples")  # where calls find the other files
        tallies = {}
        for name in names or READERS:
            tally = tallies[name] = try_reader(READERS[name], Path(work) / "samples", Path(work), count)
            kinds, memory = tally.kinds, tally.memory / 2**20
            broken = kinds[TRACEBACK] + kinds[CRASH]
            numbers = f"{tally.files} | {kinds[DONE]} | {kinds[REFUSED]} | {broken} | {kinds[HANG]}"
            line = f"| {name} | {numbers} | {memory:.0f} | {tally.seconds:.1f} | {len(tally.faults)} |"
            print(line, flush=True)
        os.chdir(before)
    for name, tally in tallies.items():
        for what, wrong in tally.faults:
            good = False
            print(f"\n{name}, {what}: {wrong}", file=sys.stderr)
    return good


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[1:] if word.isdigit()]
    sys.exit(0 if report(*counts, names=tuple(w for w in sys.argv[1:] if not w.isdigit())) else 1)
