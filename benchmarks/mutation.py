"""Mutation tests of the core: python benchmarks/mutation.py [--sample N] [MODULE ...]

Change the code in many small ways (mutants.py), one at a time, and run the fast tests that execute the
changed lines until one of them fails. Needs `pip install cosmic-ray==8.7.0` beside the test extra. Print a
table (module, mutants, killed, timeouts, survived) and the survivors with their diffs, last those with a
reason in survivors.toml. All outcomes are kept in OUT, so a stopped run goes on where it was.

    --sample N    number of mutants, from each module in proportion; a --seed always gives the same ones
    --survivors   test only the mutants that survived before
    --out OUT     default runs/mutation

All tests are imported and collected once. Each mutant is a fork of that process which exchanges the code of
functions in place, so it costs little more than the tests that it fails. One process, one thread.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import sys
import time
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from mutants import Mutant, Site, apply, sites
from mutation_records import KILLED, ROOT, SURVIVED, TIMEOUT, Results, Tests, file_of, in_fork

CORE = (
    "seqvae/elbo.py",
    "seqvae/objectives.py",
    "seqvae/prediction.py",
    "seqvae/distributions.py",
    "seqvae/matching.py",
    "seqvae/posteriors/",
    "seqvae/dynamics/",
    "seqvae/frames/",
    "seqvae/metrics/",
    "data_gen/physics/",
    "data_gen/sims/_bouncing.py",
)
TESTS = (
    "tests/laws",
    "tests/metrics",
    "tests/data_gen/test_laws.py",
    "tests/data_gen/test_collisions.py",
    "tests/data_gen/test_particles.py",
    "tests/data_gen/test_opacity.py",
    "tests/data_gen/test_bouncing.py",
    "tests/data_gen/test_forces.py",
)
SLACK = 10  # seconds of processor time that a test may take beyond ten times what it takes unchanged


def modules(names: list[str]) -> list[Path]:
    """Return the files of the named modules and folders, by default those of CORE."""
    paths = []
    for name in names or CORE:
        path = ROOT / name
        paths += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [path for path in paths if path.stat().st_size]


def chosen(paths: list[Path], sample: int | None, seed: int) -> list[Mutant]:
    """Return all mutants, each once, or a sample with the same share of every module."""
    everything: dict[Path, list[Site]] = {path: list(sites(path)) for path in paths}
    total, some = sum(map(len, everything.values())), {}
    for path, of_module in everything.items():
        order = random.Random(f"{seed} {path.relative_to(ROOT)}").sample(of_module, len(of_module))
        share = len(order) if sample is None else max(1, round(sample * len(order) / total))
        some |= {mutant.code: mutant for site in order[:share] if (mutant := site.mutant(ROOT))}
    return list(some.values())


class Driver:
    """Pytest plugin that runs the collected tests once per mutant, instead of once."""

    def __init__(self, paths: list[Path], options: argparse.Namespace):
        self.paths, self.options = paths, options

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.tests = Tests(session.items, self.paths, self.options.out)
        self.results = Results(self.options.out / "results.jsonl", self.tests.files)
        todo = chosen(self.paths, self.options.sample, self.options.seed)
        if self.options.survivors:
            todo = [mutant for mutant in todo if self.results.survived_before(mutant)]
        self.kills: dict[tuple[str, str], int] = defaultdict(int)
        gc.collect()
        gc.freeze()
        for number, mutant in enumerate(todo, 1):
            if self.results.outcome(mutant) is None:
                self._test(mutant, f"{number}/{len(todo)}")
        self.todo = todo
        return True

    def _test(self, mutant: Mutant, progress: str) -> None:
        new, seconds = self.results.new_files(mutant), self.tests.seconds
        names = [n for n in self.tests.executing(mutant.path, *mutant.lines) if file_of(n) in new]
        # quick tests that killed other mutants of the module come first, then the others from quick to slow
        names.sort(key=lambda n: (-self.kills[n, mutant.path] if seconds[n] < 0.5 else 0, seconds[n], n))
        start = time.monotonic()
        by, status = in_fork(lambda: self._first_failure(mutant, names))
        outcome = TIMEOUT if os.WIFSIGNALED(status) else KILLED if by else SURVIVED
        self.kills[by, mutant.path] += 1
        spent = time.monotonic() - start
        self.results.add(mutant, outcome, by, spent)
        place = f"{mutant.path}:{mutant.lines[0]} {mutant.operator}"
        print(f"{progress} {place}: {outcome}, {spent:.1f} s {by}", flush=True)

    def _first_failure(self, mutant: Mutant, names: list[str]) -> str:
        """Return the name of the first test that the mutant fails, or an empty text."""
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process if a test takes too long
        signal.setitimer(signal.ITIMER_PROF, SLACK)
        try:
            apply(mutant)
        except Exception as error:
            return f"import: {type(error).__name__}"
        for name, after in zip(names, [*names[1:], None], strict=True):
            signal.setitimer(signal.ITIMER_PROF, SLACK + 10 * self.tests.seconds[name])
            items = self.tests.items
            reports = runtestprotocol(items[name], log=False, nextitem=items.get(after))
            if any(report.failed for report in reports):
                return name
        return ""


def report(driver: Driver) -> None:
    """Print the table and the survivors."""
    reasons = tomllib.loads((ROOT / "benchmarks/survivors.toml").read_text()).get("survivor", [])
    reasons = {(r["module"], r["line"], r["becomes"]): r["reason"] for r in reasons}
    counts, survivors = defaultdict(lambda: defaultdict(int)), []
    for mutant in driver.todo:
        outcome = driver.results.outcome(mutant)
        counts[mutant.path][outcome] += 1
        if outcome == SURVIVED:
            change = mutant.change((ROOT / mutant.path).read_text())
            survivors.append((mutant, change, reasons.get((mutant.path, *change))))
    print("\n| module | mutants | killed | timeouts | survived | share killed |\n|---|---|---|---|---|---|")
    total = defaultdict(int)
    for path, of in counts.items():
        print(_row(path, of))
        for outcome, n in of.items():
            total[outcome] += n
    print(_row("all", total))
    explained = sum(reason is not None for *_, reason in survivors)
    print(f"\n{len(survivors)} survived, {explained} of them with a reason in benchmarks/survivors.toml")
    for mutant, (old, new), reason in sorted(survivors, key=lambda x: x[2] is not None):
        print(f"\n{mutant.path}:{mutant.lines[0]} {mutant.operator}\n  - {old}\n  + {new}")
        print(f"  {reason or 'NO REASON'}")


def _row(name: str, of: dict[str, int]) -> str:
    total = sum(of.values())
    share = (of[KILLED] + of[TIMEOUT]) / total
    return f"| {name} | {total} | {of[KILLED]} | {of[TIMEOUT]} | {of[SURVIVED]} | {share:.1%} |"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("modules", nargs="*", help="files or folders; by default the core")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/mutation")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    driver = Driver(modules(options.modules), options)
    quiet = ["-q", "-s", "--tb=no", "-p", "no:cacheprovider", "-m", "not slow"]
    code = pytest.main([*quiet, *TESTS], plugins=[driver])
    if not hasattr(driver, "todo"):
        sys.exit(f"pytest ended with code {code} before any mutant")
    if driver.tests.failed:
        print("these tests fail without any change and were left out:", *driver.tests.failed, sep="\n  ")
    report(driver)


if __name__ == "__main__":
    main()
