"""Runs to compare: found by folders and patterns, and grouped by what differs in their configs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from data_gen.cli.configs import flatten
from seqvae.errors import UserError
from seqvae.report.read import RunRecord, is_run
from seqvae.shipped import pretrained_folder, run_folder, suggestion

SAME = (
    "choices",
    "compile",
    "device",
    "memory",
    "resume",
    "run",
    "seed",
    "threads",
    "workers",
)  # no difference
LABELLED = 3  # differences in the label of a group
ABSENT = "-"


@dataclass(frozen=True)
class Group:
    """Runs of one config that differ by their seeds.

    label: name of the experiment or model, and what differs from its other groups
    differences: key -> value, of the keys that differ between the groups
    """

    label: str
    differences: Mapping[str, str]
    runs: tuple[RunRecord, ...]

    @property
    def seeds(self) -> tuple[Any, ...]:
        """Seeds of the trainings."""
        return tuple(run.config.get("seed", "?") for run in self.runs)


def find_runs(text: str) -> dict[Path, Path]:
    """Return the folder of each run that a text names, and the folder of its results.

    The text is "[A,B]", a folder, a pattern, or the name of a pretrained model. Names may hold commas, as
    those of sweeps do: a part of the list ends where a path with this name exists.

    Raises:
        UserError: a name leads nowhere, a folder holds no run, or there are fewer than two runs.
    """
    inner = text.strip()
    is_list = inner.startswith("[") and inner.endswith("]") and not _matches(inner)
    found: dict[Path, tuple[Path, Path]] = {}
    for name in _split(inner[1:-1] if is_list else inner):
        for path in _matches(name):
            for run in _runs_in(path):
                results = run if pretrained_folder(name) is None else run_folder(name)
                found.setdefault(run.resolve(), (run, results))
    if len(found) < 2:
        names = ", ".join(str(results) for _, results in found.values())
        raise UserError(f"runs={text}: one run alone ({names}); name two or more, or use report")
    return dict(found.values())


def _split(text: str) -> list[str]:
    """Split a list at those commas behind which a path ends."""
    names, pending = [], ""
    for piece in text.split(","):
        pending = f"{pending},{piece}" if pending else piece.strip().strip("'\"")
        if _matches(pending):
            names.append(pending)
            pending = ""
    if pending or not names:
        first, _, _ = (pending or text).partition(",")
        raise UserError(f"runs: {pending or text}: no such run or folder{suggestion(first)}")
    return names


def _matches(name: str) -> list[Path]:
    if not name:
        return []
    if (shipped := pretrained_folder(name)) is not None:
        return [shipped]
    return [Path(name)] if Path(name).exists() else sorted(map(Path, glob(name)))


def _runs_in(path: Path) -> list[Path]:
    """Return a folder that is a run, or the runs in it; raise UserError where there are none."""
    if path.is_file():
        raise UserError(f"runs: {path} is a file; give the folders of runs")
    if is_run(path):
        return [path]
    inside = sorted(p for p in path.glob("**/") if p != path and is_run(p))
    if not inside:
        raise UserError(f"runs: {path} holds no run")
    return inside


def group_runs(runs: Sequence[RunRecord]) -> list[Group]:
    """Group runs by their configs, in the order in which they come; runs of a group differ by their seed."""
    members: dict[str, list[RunRecord]] = {}
    for run in runs:
        members.setdefault(_identity(run), []).append(run)
    flat = [_flat(group[0]) for group in members.values()]
    titles = [group[0].title for group in members.values()]
    everywhere = _differing(flat)
    groups = []
    for title, config, group in zip(titles, flat, members.values(), strict=True):
        alike = _differing([x for x, other in zip(flat, titles, strict=True) if other == title])
        own = {key: _text(config.get(key, ABSENT)) for key in alike}
        differences = {key: _text(config.get(key, ABSENT)) for key in everywhere}
        label = _label(title if len(set(titles)) > 1 else "", own, group)
        groups.append(Group(label, differences, tuple(group)))
    return _distinct(groups)


def _label(title: str, differences: Mapping[str, str], group: Sequence[RunRecord]) -> str:
    """Return a title, if there are several, and what differs from other groups of this title."""
    if not differences:
        return title or group[0].title
    if len(differences) > LABELLED:
        return f"{title} ({group[0].name})" if title else group[0].name
    named = [f"{_short(key, differences)}={value}" for key, value in differences.items()]
    return ", ".join([title, *named] if title else named)


def _short(key: str, keys: Collection[str]) -> str:
    """Return the end of a dotted key that no other key ends with: "lr" for "stages.motion.optim.lr"."""
    parts = key.split(".")
    ends = (".".join(parts[-n:]) for n in range(1, len(parts) + 1))
    return next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1)


def _distinct(groups: list[Group]) -> list[Group]:
    """Add the name of the first run to labels that occur twice."""
    count = Counter(group.label for group in groups)
    return [
        g if count[g.label] == 1 else Group(f"{g.label} ({g.runs[0].name})", g.differences, g.runs)
        for g in groups
    ]


def _flat(run: RunRecord) -> dict[str, Any]:
    own = {key: value for key, value in run.config.items() if key not in SAME}
    return flatten(own)


def _identity(run: RunRecord) -> str:
    return json.dumps(_flat(run), sort_keys=True, default=str)


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({_text(config.get(key, ABSENT)) for config in configs}) > 1]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
