"""Tables of an evaluation for people, in Markdown."""

from __future__ import annotations

import math

from seqvae.evaluate.scores import SHORT
from seqvae.metrics import Estimate

SPANS = ("reconstruction", "attention", f"at_{SHORT}", f"1_{SHORT}")  # of scores of masks


def number(value: Estimate) -> str:
    """A mean with its standard error, if it has one."""
    if math.isnan(value.se):
        return f"{value.mean:.4g}"
    return f"{value.mean:.4f} ± {value.se:.4f}"


def values(estimates: dict[str, Estimate]) -> dict[str, str]:
    """The same of every name."""
    return {name: number(value) for name, value in estimates.items()}


def span_of(name: str) -> str:
    """The frames that a score of masks is taken from: "fg_ari_at_10" -> "at_10"."""
    return next(span for span in SPANS if name.endswith(f"_{span}"))


def column(name: str) -> str:
    """The words for a span: "1_10" -> "predicted 1-10"."""
    if name in ("reconstruction", "attention"):
        return name
    if name.startswith("at_"):
        return f"predicted {name.removeprefix('at_')}"
    span = name.removesuffix("_sum").replace("_", "-")
    return f"sum of {span}" if name.endswith("_sum") else f"predicted {span}"


def table(rows: dict[str, dict[str, str]], title: str = "") -> list[str]:
    """Lines of a markdown table, padded so that it also reads as plain text; missing cells stay empty."""
    columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    lines = [[title, *columns], *([row, *(cells.get(c, "") for c in columns)] for row, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
