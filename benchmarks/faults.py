"""Everything that may go wrong: python benchmarks/faults.py [--mutations N] [--kills N] [--share S]

Print the tables of bad_inputs.py, mutated.py, kills.py, survival.py and repetition.py, whose docstrings say
what they try, and a table of how many cases of each went as they must. Exit with code 1 unless all did.

    --mutations N   files per reader (500)
    --kills N       commands that are killed (100)
    --share S       of the repetitions: 1 for 2,000 validations, 10,000 sequences and 1,000,000 frames (1)
    --only NAME ... tables to print: inputs, mutated, kills, survival, repetition

Commands and reads run in forks of this process, so that none of them waits for imports.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import bad_inputs
import kills
import mutated
import repetition
import survival

REPETITIONS = {"validations": 2000, "sequences evaluated": 10_000, "frames imagined": 1_000_000}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=mutated.COUNT)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    counts = {name: max(10, round(given.share * count)) for name, count in REPETITIONS.items()}
    tables: dict[str, Callable[[], bool]] = {
        "inputs": bad_inputs.report,
        "mutated": lambda: mutated.report(given.mutations),
        "kills": lambda: kills.report(given.kills),
        "survival": survival.report,
        "repetition": lambda: repetition.report(counts),
    }
    good = {}
    for name, report in tables.items():
        if not given.only or name in given.only:
            print(f"\n## {name}\n", flush=True)
            good[name] = report()
    print("\n| table | all as they must |\n|---|---|")
    for name, is_good in good.items():
        print(f"| {name} | {'yes' if is_good else '**no**'} |")
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
