"""The error-over-time plot."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from seqvae.evaluate.scores import Scores

AXES = {
    "position_error": "position error, half-widths",
    "velocity_error": "velocity error, half-widths a frame",
    "pixel_mse": "pixel MSE",
}
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#56b4e9", "#8a6bbd", "#b8860b", "#999999", "#cc79a7", "#000000")


def draw_errors(scores: Scores, file: BinaryIO) -> None:
    """Write a PNG with one axis a quantity: mean over sequences and a band of one standard error."""
    # It takes a second to import, and only a full evaluation draws. No pyplot: it would pick a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    present = [q for q in AXES if any(q in curves for curves in scores.curves.values())]
    figure = Figure(figsize=(5.5 * max(1, len(present)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, quantity in zip(np.atleast_1d(figure.subplots(1, max(1, len(present)))), present, strict=False):
        rows = [row for row, curves in scores.curves.items() if quantity in curves]
        for row, colour in zip(rows, COLOURS, strict=False):
            by_frame = scores.curves[row][quantity].by_frame()
            frame = np.array(list(by_frame))
            mean = np.array([e.mean for e in by_frame.values()])
            se = np.nan_to_num([e.se for e in by_frame.values()])
            width = 2 if row == "model" else 1
            axis.plot(frame, mean, color=colour, label=row, linewidth=width, zorder=width)
            axis.fill_between(frame, mean - se, mean + se, color=colour, alpha=0.2, linewidth=0)
        axis.axvline(scores.context + 0.5, color="black", linestyle=":", linewidth=1)
        axis.set(xlabel=f"frame (dotted: end of the context, {scores.context})", ylabel=AXES[quantity])
        axis.set_ylim(bottom=0)
        axis.legend(fontsize="small", framealpha=0.7, edgecolor="none")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="png", dpi=110)
