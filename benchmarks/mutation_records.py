"""Records that mutation.py keeps between runs: lines that tests execute, and outcomes of mutants."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import coverage  # pyright: ignore[reportMissingImports]
from _pytest.runner import runtestprotocol
from mutants import Mutant

ROOT = Path(__file__).parents[1]
KILLED, TIMEOUT, SURVIVED = "killed", "timeout", "survived"


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def in_fork(work: Any) -> tuple[str, int]:
    """Run `work` in a forked process; return the string that it returns, and the exit status."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        try:
            with os.fdopen(write, "w") as pipe:
                pipe.write(work())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    return text, os.waitpid(child, 0)[1]


class Tests:
    """The collected tests, their durations, and the lines of the modules that each executes.

    Durations and lines are measured in a fork, once per test file. If a module has changed since, all tests
    that executed any line of it count for every line.

    items: name -> pytest item
    seconds: name -> processor time, for tests that pass
    failed: names of tests that fail without any mutant
    """

    def __init__(self, items: list[Any], modules: list[Path], folder: Path):
        self.items = {item.nodeid: item for item in items}
        self.files = {name: digest((ROOT / name).read_text()) for name in sorted({*map(file_of, self.items)})}
        self.modules = {str(p.relative_to(ROOT)): digest(p.read_text()) for p in modules}
        path = folder / "executed.json"
        records = json.loads(path.read_text()) if path.exists() else {}
        for name, text in self.files.items():
            measured = records.get(name, {"digest": None, "modules": {}})
            if measured["digest"] != text or not self.modules.keys() <= measured["modules"].keys():
                print(f"measuring {name}", flush=True)
                names = [nodeid for nodeid in self.items if file_of(nodeid) == name]
                measured = json.loads(in_fork(lambda names=names: self._measure(names, modules))[0])
                records[name] = measured | {"digest": text, "modules": self.modules}
                path.write_text(json.dumps(records))
        of_files = [records[name] for name in self.files]
        self.failed = [name for file in of_files for name in file["failed"]]
        self.seconds = {name: t for file in of_files for name, t in file["seconds"].items()}
        self.lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.anywhere: dict[str, set[str]] = defaultdict(set)
        for file in of_files:
            for module, lines in file["lines"].items():
                same = file["modules"][module] == self.modules.get(module)
                for line, names in lines.items():
                    (self.lines[module][int(line)] if same else self.anywhere[module]).update(names)

    def _measure(self, names: list[str], modules: list[Path]) -> str:
        """Run the named tests; return their durations, failures and executed lines as JSON."""
        recorder = coverage.Coverage(data_file=None, include=[str(p) for p in modules], config_file=False)
        seconds, failed, lines = {}, [], {}
        recorder.start()
        for name, after in zip(names, [*names[1:], None], strict=True):
            recorder.switch_context(name)
            start = time.process_time()
            reports = runtestprotocol(self.items[name], log=False, nextitem=self.items.get(after))
            if any(report.failed for report in reports):
                failed.append(name)
            elif not any(report.skipped for report in reports):
                seconds[name] = time.process_time() - start
        recorder.stop()
        for p in modules:
            of_file = recorder.get_data().contexts_by_lineno(str(p))
            lines[str(p.relative_to(ROOT))] = {n: [x for x in names if x] for n, names in of_file.items()}
        return json.dumps({"seconds": seconds, "failed": failed, "lines": lines})

    def executing(self, module: str, first: int, last: int) -> list[str]:
        """Return the tests that execute one of these lines.

        For lines that only run at import, such as constants, return the tests that execute any line of the
        module, and those in files that name it.
        """
        lines = self.lines[module]
        names = set().union(*(lines.get(n, ()) for n in range(first, last + 1)))
        if not names:
            word = re.compile(rf"\b{Path(module).stem}\b")
            files = {name for name in self.files if word.search((ROOT / name).read_text())}
            names = set().union(*lines.values()) | {name for name in self.items if file_of(name) in files}
        return [name for name in names | self.anywhere[module] if name in self.seconds]


class Results:
    """Outcomes of mutants, one line of JSON each.

    An outcome holds as long as neither the mutated module nor the file of the test that killed it changes. A
    survivor is tested again by files that are new since.
    """

    def __init__(self, path: Path, files: dict[str, str]):
        self.path, self.files = path, files
        self.records: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.records[record["code"]] = record

    def add(self, mutant: Mutant, outcome: str, by: str, seconds: float) -> None:
        files = self.files if outcome != KILLED else {file_of(by): self.files.get(file_of(by))}
        record = {
            "code": digest(mutant.code),
            "path": mutant.path,
            "outcome": outcome,
            "by": by,
            "files": files,
            "seconds": round(seconds, 2),
        }
        self.records[record["code"]] = record
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def outcome(self, mutant: Mutant) -> str | None:
        """Return the outcome if it still holds, else None."""
        record = self.records.get(digest(mutant.code))
        if record is None or self.new_files(mutant):
            return None
        return record["outcome"]

    def survived_before(self, mutant: Mutant) -> bool:
        return self.records.get(digest(mutant.code), {}).get("outcome") == SURVIVED

    def new_files(self, mutant: Mutant) -> set[str]:
        """Return the test files that have not tested the mutant."""
        record = self.records.get(digest(mutant.code), {"outcome": None, "files": {}})
        new = {name for name, text in self.files.items() if record["files"].get(name) != text}
        if record["outcome"] == TIMEOUT:  # a loop without end, whatever the tests
            return set()
        if record["outcome"] == KILLED:
            return new & set(record["files"]) and set(self.files)
        return new
