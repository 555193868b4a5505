"""Scores of a planner that has acted: returns, beside those of random actions and of another planner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from data_gen import __version__
from seqvae.errors import UserError
from seqvae.evaluate.markdown import format_estimate, table
from seqvae.metrics import Estimate, estimate, estimate_ratio
from seqvae.provenance import environment, git_commit, versions

SCHEMA = 1
METRICS = "metrics.json"
RANDOM = "random"
SAME = (
    "sim",
    "seed",
    "environments",
    "steps",
    "context",
    "goal",
    "near",
)  # what two plans have in common if starts are


@dataclass(frozen=True)
class ActingScores:
    """Returns of a planner and of others from the same starts.

    row: name of the planner
    returns: row -> sum of rewards in each environment; the planner's own, random actions, another planner
    moves: number of moves of the planner, over all environments
    wall_seconds, cpu_seconds: that it took to plan them
    against: row of the other planner, None without
    about: config and the like
    """

    row: str
    returns: dict[str, Float[np.ndarray, "n"]]
    moves: int
    wall_seconds: float
    cpu_seconds: float
    against: str | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Estimate]:
        """Return the planner's numbers, with standard errors over environments.

        The share of the gap is (own - random) / (other - random), where the other planner is not random.
        """
        own, rows = self.returns[self.row], self.returns
        found = {"return": estimate(own)}
        others = [name for name in rows if name != self.row]
        found |= {f"return_above_{name}": estimate(own - rows[name]) for name in others}
        if self.against is not None and RANDOM in others and self.against != RANDOM:
            gap = rows[self.against] - rows[RANDOM]
            if gap.mean() != 0:
                found["share_of_gap"] = estimate_ratio(own - rows[RANDOM], gap)
        return found

    @property
    def moves_per_second(self) -> dict[str, float]:
        """Moves per second of the wall clock and of CPU time, those of all environments together."""
        seconds = {"wall": self.wall_seconds, "cpu": self.cpu_seconds}
        return {name: self.moves / max(value, 1e-9) for name, value in seconds.items()}

    def markdown(self) -> str:
        """Return the tables for people."""
        n = len(self.returns[self.row])
        names = ["return", *(f"above {name}" for name in self.returns)]
        rows = {}
        for row, values in self.returns.items():
            cells = [estimate(values), *(estimate(values - other) for other in self.returns.values())]
            rows[row] = {
                name: "" if name == f"above {row}" else format_estimate(cell)
                for name, cell in zip(names, cells, strict=True)
            }
        lines = [f"{n} environments from the same starts. Mean and standard error; differences are paired.\n"]
        lines += [*table(rows, "planner"), ""]
        share, speed = self.values().get("share_of_gap"), self.moves_per_second
        values = {"moves per second of CPU time": f"{speed['cpu']:.1f}"}
        values |= {"moves per second": f"{speed['wall']:.1f}"}
        if share is not None:
            values[f"share of the gap from random to {self.against}"] = format_estimate(share)
        lines += [*table({name: {"value": value} for name, value in values.items()}), ""]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "schema_version": SCHEMA,
            "package_version": __version__,
            "git_commit": git_commit(),
            "versions": versions(),
            "environment": environment(),
            **self.about,
            "row": self.row,
            "against": self.against,
            "values": {name: _plain(value) for name, value in self.values().items()},
            "moves": self.moves,
            "moves_per_second": self.moves_per_second,
            "returns": {name: values.tolist() for name, values in self.returns.items()},
        }


def read_returns(folder: str, config: Mapping[str, Any]) -> tuple[str, Float[np.ndarray, "n"]]:
    """Return name and returns of the planner that wrote a folder, if it had the starts of this config.

    Raises:
        UserError: the folder holds no such file, or one of other starts.
    """
    file = Path(folder) / METRICS
    try:
        content = json.loads(file.read_text())
        row, theirs = content["row"], content["config"]
        values = np.array(content["returns"][row], np.float64)
    except (OSError, UnicodeDecodeError):
        raise UserError(f"against={folder}: there is no {METRICS}; give a folder that plan wrote") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"against={folder}: {METRICS} is not one of plan; give a folder that it wrote"
        ) from None
    for key in SAME:
        if theirs.get(key) != config[key]:
            raise UserError(
                f"against={folder}: was made with {key}={theirs.get(key)}, and here it is {config[key]}; the "
                "starts have to be the same"
            )
    return row, values


def _plain(value: Estimate) -> dict[str, Any]:
    return {key: x if np.isfinite(x) else None for key, x in asdict(value).items()}
