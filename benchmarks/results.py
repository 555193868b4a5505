"""The tables of docs/results.md, from data to numbers: python benchmarks/results.py [--only WORD ...]

Generates the data, trains every row with every seed, evaluates on the test split, and prints the tables; they
are kept as runs/results/table.md. What is complete is not done again, so a stopped run goes on where it was.
Each training gets one thread; --jobs of them run side by side.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path("runs/results")
COLUMNS = ("reconstruction", "predicted 1-10", "each seed", "pixel MSE 1-10", "found", "swaps", "minutes")


@dataclass(frozen=True)
class Row:
    """One model on one world: what is said to `train`, and beside that to `evaluate`.

    sim: the world, or the name of the folder in data/ where `make` says how it is made. late: goes on from
    another row, so it waits for all those that do not.
    """

    name: str
    sim: str
    train: tuple[str, ...]
    seeds: int = 1
    evaluate: tuple[str, ...] = ("videos=1", "iwae=0")
    make: tuple[str, ...] = ()
    late: bool = False

    @property
    def data(self) -> str:
        return f"data/{self.sim}"

    def run(self, seed: int) -> Path:
        slug = "".join(c if c.isalnum() else "_" for c in self.name.lower())
        return ROOT / f"{self.sim}-{slug}-{seed}"

    def results(self) -> list[dict[str, Any]]:
        """What `evaluate` found, seed by seed."""
        runs = [self.run(seed) for seed in range(self.seeds)]
        return [json.loads((run / "evaluation" / "metrics.json").read_text()) for run in runs]


FULL = ("videos=3", "sample=true", "samples=20")
QUARTER = ("trainer.steps=null", "trainer.minutes=15", "trainer.validate_every=200")
OURS = "experiment=stove_billiards"
ROWS = (
    Row("ours", "billiards", (OURS,), seeds=3, evaluate=(*FULL, "long=100000")),
    Row("ours", "gravity", ("experiment=stove_gravity",), seeds=2, evaluate=FULL),
    Row("ours", "billiards6", ("experiment=stove_billiards6",), evaluate=FULL),
    Row("supervised dynamics", "billiards", (OURS, "stages.motion.source=states")),
    Row("without velocity", "billiards", (OURS, "model.frame.velocity=false")),
    Row("without latents", "billiards", (OURS, "model.dynamics.latent=0")),
    Row("dynamics not reused", "billiards", (OURS, "model=stove_double")),
    Row("frame by frame", "billiards", (OURS, "model.posterior.fuse=false")),
    Row("spatial_vae", "billiards", (OURS, "model=spatial_vae")),
    Row("VRNN", "billiards", ("experiment=vrnn_billiards", *QUARTER)),
)


def main() -> None:
    wanted = measured(__doc__, ROWS)
    tell("table.md", ("\n".join(table(sim, wanted)) for sim in dict.fromkeys(row.sim for row in wanted)))


def measured(about: str, rows: tuple[Row, ...]) -> list[Row]:
    """The rows that the command line asks for, once they are trained and evaluated."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose world or name holds one of these")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    wanted = [r for r in rows if not options.only or any(w in f"{r.sim} {r.name}" for w in options.only)]
    for sim, make in dict.fromkeys((row.sim, row.make) for row in wanted):
        command("data_gen", *(make or (f"sim={sim}",)), f"out=data/{sim}")
    for late in (False, True):
        jobs = [(row, seed) for row in wanted if row.late == late for seed in range(row.seeds)]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: measure(*job), jobs))
    return wanted


def tell(name: str, tables: Iterable[str]) -> None:
    """Print the tables, and keep them in the folder of the runs."""
    text = "\n\n".join(tables)
    (ROOT / name).write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(row: Row, seed: int) -> None:
    """Train and evaluate one row with one seed, as far as that is not done."""
    run = row.run(seed)
    where = (f"data={row.data}", f"run={run}")
    command("seqvae", "train", *row.train, *where, f"seed={seed}", "threads=1", "resume=auto")
    if not (run / "evaluation" / "metrics.json").is_file():
        command("seqvae", "evaluate", f"run={run}", f"data={row.data}/test.h5", "threads=1", *row.evaluate)


def command(module: str, *arguments: str) -> None:
    """Run a command of ours; what it says goes to the terminal, a failure ends everything."""
    done = subprocess.run([sys.executable, "-m", module, *arguments])
    if done.returncode:
        sys.exit(f"stopped: {module} {' '.join(arguments)} ended with {done.returncode}")


def table(sim: str, rows: list[Row]) -> Iterator[str]:
    """Markdown lines: one row a model, means over its seeds, and the baselines of the first evaluation."""
    yield f"| {sim} | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    found: dict[str, Any] = {}
    for row in (r for r in rows if r.sim == sim):
        results = row.results()
        found = found or results[0]
        yield line(row.name, results, [minutes(row.run(seed)) for seed in range(row.seeds)])
    for name in ("static", "linear", "linear, from true states, to the wall", "another sequence"):
        if name in found.get("table", {}):
            yield line(name, [found | {"table": {"model": found["table"][name]}, "shares": {}}], [])


def line(name: str, results: list[dict[str, Any]], took: list[float]) -> str:
    """One row of the table; what a model has not stays empty."""

    def values(group: str, key: str) -> list[float]:
        of = [r["table"]["model"] if group == "table" else r["shares"] for r in results]
        return [x[key]["mean"] for x in of if key in x]

    errors = values("table", "position_error_1_10")
    cells = [
        number(values("table", "position_error_reconstruction"), 4),
        number(errors, 4),
        " ".join(f"{e:.4f}" for e in errors) if len(errors) > 1 else "",
        number(values("table", "pixel_mse_1_10"), 4),
        number([100 * x for x in values("shares", "found")], 1, " %"),
        number([100 * x for x in values("shares", "context_swap")], 1, " %"),
        number(took, 1),
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def number(values: list[float], digits: int, unit: str = "") -> str:
    return f"{mean(values):.{digits}f}{unit}" if values else ""


def minutes(run: Path) -> float:
    """Wall time of a training, validation included, as its log has it."""
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    return max(x["elapsed"] for x in lines if "elapsed" in x) / 60


if __name__ == "__main__":
    main()
