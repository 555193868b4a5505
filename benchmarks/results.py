"""Make the tables of docs/results.md, from data to numbers: python benchmarks/results.py [--only WORD ...]

Generate the data, train every row with every seed, evaluate on the test split, and print the tables of these
rows; runs/results/table.md keeps those of all rows evaluated so far. Complete runs are skipped, so a stopped
script goes on where it was. Each training uses one thread, and --jobs trainings run side by side. Rows that
take a night are only trained if --only names them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import tables
from tables import QUANTITIES, Row

from seqvae.evaluate.report import SCHEMA

FULL = ("videos=3", "sample=true", "samples=20")
NIGHT = ("trainer.steps=null", "trainer.minutes=480")
OURS = "experiment=stove_billiards"
ROWS = (
    Row("ours", "billiards", (OURS,), evaluate=(*FULL, "long=10000")),
    Row("ours", "gravity", ("experiment=stove_gravity",), evaluate=FULL),
    Row("ours", "billiards6", ("experiment=stove_billiards6",), evaluate=FULL),
    Row("supervised dynamics", "billiards", (OURS, "stages.motion.source=states")),
    Row("without velocity", "billiards", (OURS, "model.frame.velocity=false")),
    Row("without latents", "billiards", (OURS, "model.dynamics.latent=0")),
    Row("dynamics not reused", "billiards", (OURS, "model=stove_double")),
    Row("frame by frame", "billiards", (OURS, "model.posterior.fuse=false")),
    Row("spatial_vae", "billiards", (OURS, "model=spatial_vae")),
    Row("VRNN", "billiards", ("experiment=vrnn_billiards",)),
    Row("as published, 8 hours", "billiards", ("experiment=stove_billiards_paper", *NIGHT), 1, asked=True),
)


def main() -> None:
    measured(__doc__, ROWS, "table.md", report)


def report(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables of some rows: errors per world, long rollouts, sampled futures."""
    for sim in dict.fromkeys(row.sim for row in rows):
        for quantity in QUANTITIES:
            yield "\n".join(tables.error_table(sim, quantity, rows))
    yield "\n".join(tables.long_table(rows))
    yield "\n".join(tables.sample_table(rows))


def measured(
    about: str | None, rows: Sequence[Row], name: str, report: Callable[[Sequence[Row]], Iterator[str]]
) -> None:
    """Train and evaluate the rows that the command line selects, and print their tables."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose world or name holds one of these")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--seeds", type=int, help="most seeds per row; by default those of the row")
    options = parser.parse_args()
    wanted = chosen(rows, options.only, options.seeds)
    for sim, make in dict.fromkeys((row.sim, row.make) for row in wanted):
        command("data_gen", *(make or (f"sim={sim}",)), f"out=data/{sim}")
    for late in (False, True):
        jobs = [(row, seed) for row in wanted if row.late == late for seed in range(row.seeds)]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: measure(*job), jobs))
    keep(rows, name, report)
    print(joined(report(wanted)))


def chosen(rows: Sequence[Row], words: Sequence[str], seeds: int | None) -> list[Row]:
    """Return the rows that contain one of the words, or without words all that need not be asked for."""
    selected = [r for r in rows if any(w in f"{r.sim} {r.name}" for w in words) or not (words or r.asked)]
    return selected if seeds is None else [replace(row, seeds=min(row.seeds, seeds)) for row in selected]


def keep(rows: Sequence[Row], name: str, report: Callable[[Sequence[Row]], Iterator[str]]) -> None:
    """Write the tables of all rows evaluated so far into the folder of the runs."""
    text = joined(report([row for row in rows if row.done()]))
    (tables.ROOT / name).write_text(text + "\n", encoding="utf-8")


def joined(parts: Iterator[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def measure(row: Row, seed: int) -> None:
    """Train and evaluate one row with one seed, unless that is done."""
    run = f"run={row.run(seed)}"
    where = (f"data={row.data}", run, f"seed={seed}", "threads=1", "resume=auto")
    command("seqvae", "train", *row.train, *where)
    if not up_to_date(row, seed):
        command("seqvae", "evaluate", run, f"data={row.data}/test.h5", "threads=1", *row.evaluate)


def up_to_date(row: Row, seed: int) -> bool:
    """Return whether there is an evaluation with the keys of this version."""
    path = row.metrics(seed)
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return metrics.get("schema_version") == SCHEMA and "chosen_by" in metrics


def command(module: str, *arguments: str) -> None:
    """Run a command of the project with its output on the terminal; exit if it fails."""
    done = subprocess.run([sys.executable, "-m", module, *arguments])
    if done.returncode:
        sys.exit(f"stopped: {module} {' '.join(arguments)} ended with {done.returncode}")


if __name__ == "__main__":
    main()
