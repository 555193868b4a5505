"""The plot of errors over time, as PNG and PDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seqvae.evaluate.palette import row_styles
from seqvae.evaluate.scores import Curve, Scores
from seqvae.io import atomic_write

AXES = {
    "position_error": "position error, half-widths",
    "velocity_error": "velocity error, half-widths per frame",
    "pixel_mse": "pixel MSE",
}


def write_errors(scores: Scores, stem: Path) -> list[Path]:
    """Draw the errors over time as STEM.png and STEM.pdf: a panel per quantity, one legend for all.

    The line of a row is its mean over sequences, its band one standard error to either side. The scale is
    logarithmic, so that a small error can be read beside a large one.

    Returns the paths; nothing is written without an error at more than one frame.
    """
    # It takes a second to import, and only a full evaluation draws. No pyplot: it would pick a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    quantities = dict.fromkeys([*AXES, *(q for curves in scores.curves.values() for q in curves)])
    panels = {quantity: rows for quantity in quantities if (rows := _rows(scores, quantity))}
    if not panels:
        return []
    figure = Figure(figsize=(5.5 * len(panels), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    styles = row_styles(list(scores.curves))
    lines = {}
    for axis, (quantity, rows) in zip(np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for row, curve in rows.items():
            by_frame = curve.by_frame()
            mean = np.array([e.mean for e in by_frame.values()])
            se = np.nan_to_num([e.se for e in by_frame.values()])
            colour, dashed = styles[row]
            width = 2.2 if row == "model" else 1.2
            (lines[row],) = axis.plot(
                list(by_frame), mean, "--" if dashed else "-", color=colour, linewidth=width, zorder=width
            )
            low = (
                np.maximum(mean - se, mean / 10) if quantity in AXES else mean - se
            )  # a logarithm has no zero
            axis.fill_between(list(by_frame), low, mean + se, color=colour, alpha=0.2, linewidth=0)
        axis.axvline(scores.context + 0.5, color="black", linestyle=":", linewidth=1)
        axis.set(
            xlabel=f"frame (dotted: end of the context, {scores.context})",
            ylabel=AXES.get(quantity, quantity),
        )
        if quantity in AXES:  # an error; metrics of the user may be negative
            axis.set_yscale("log")
        axis.grid(axis="y", which="major", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    columns = min(len(lines), 2 * len(panels))
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="outside lower center",
        ncols=columns,
        fontsize="small",
        frameon=False,
    )
    paths = [stem.with_suffix(f".{kind}") for kind in ("png", "pdf")]
    for path in paths:
        kind = path.suffix[1:]
        atomic_write(path, lambda file, kind=kind: figure.savefig(file, format=kind, dpi=110))
    return paths


def _rows(scores: Scores, quantity: str) -> dict[str, Curve]:
    """Return the curves of a quantity that have more than one frame and a value other than 0."""
    return {
        row: curve
        for row, curves in scores.curves.items()
        if (curve := curves.get(quantity)) is not None
        and len(by_frame := curve.by_frame()) > 1
        and any(value.mean and np.isfinite(value.mean) for value in by_frame.values())
    }
