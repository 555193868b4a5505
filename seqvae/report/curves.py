"""Figures of a run: its training, its errors over time, the calibration of sampled futures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seqvae.evaluate.by_sequence import MODEL
from seqvae.evaluate.figures import AXES
from seqvae.evaluate.palette import GREY, Style, row_styles
from seqvae.evaluate.scores import SHORT
from seqvae.report.evaluation import Evaluation, FrameCurve, estimates
from seqvae.report.figures import Axes, Figure, Line, Mark, is_wide, plot
from seqvae.report.training import Log, Series

BASELINES = 3  # drawn at first; the others are in the legend
QUANTITIES = {  # beginning of a score's name -> title; the rest of the name is its span
    "position_error": "Position error",
    "velocity_error": "Velocity error",
    "pixel_mse": "Pixel MSE",
    "fg_ari": "FG-ARI of the masks",
    "mean_iou": "Mean IoU of the masks",
    "ari": "ARI of the masks",
}
SHARES = ("found", "context_swap", "count_accuracy")
BOUNDS = ("objective", "bound")


# Errors over time.


def error_figures(evaluation: Evaluation) -> list[Figure]:
    """Return a figure per quantity, of the model and the baselines at each frame, with standard errors."""
    figures = []
    names = dict.fromkeys(row for rows in evaluation.curves.values() for row in rows)
    styles = row_styles(names)
    for quantity, rows in evaluation.curves.items():
        lines = error_lines(rows, evaluation.context, styles)
        if max(len(line.x) for line in lines) > 1:
            title, _, _ = AXES.get(quantity, quantity).partition(",")
            figures.append(
                _error_figure(quantity, f"{title[0].upper()}{title[1:]} over time", lines, evaluation)
            )
    return figures


def _error_figure(quantity: str, title: str, lines: Sequence[Line], evaluation: Evaluation) -> Figure:
    context, horizon = evaluation.context, evaluation.horizon
    about = (
        f"Mean over {evaluation.sequences} sequences and a band of one standard error. The model has seen "
        f"{context} frames (dotted) and predicts the next {horizon}."
    )
    marks = [Mark(context + 0.5)]
    zooms = {"all frames": (1.0, context + horizon + 0.5)}
    if horizon > SHORT:
        zooms[f"predicted 1-{SHORT}"] = (context + 0.5, context + SHORT + 0.5)
    axes = Axes("frame", AXES.get(quantity, quantity), "frame", limits=(0.0, None))
    return plot(f"errors-{quantity}", title, about, lines, axes, marks, zooms)


def error_lines(rows: Mapping[str, FrameCurve], context: int, styles: Mapping[str, Style]) -> list[Line]:
    """Return a line per row, the model's first; of the baselines only the strongest ones are shown.

    styles: row -> its style, the same in all figures
    """
    strength = {
        row: float(np.mean(curve.mean[(curve.frame > context) & (curve.frame <= context + SHORT)]))
        for row, curve in rows.items()
        if row != MODEL and (curve.frame > context).any()
    }
    strongest = sorted(strength, key=lambda row: (np.isnan(strength[row]), strength[row]))[:BASELINES]
    return [
        Line(
            row,
            x.frame,
            x.mean,
            x.se,
            shown=row == MODEL or row in strongest,
            colour=styles[row].colour,
            dashed=styles[row].dashed,
            bold=row == MODEL,
        )
        for row, x in sorted(rows.items(), key=lambda item: item[0] != MODEL)
    ]


# The training.


def training_figures(log: Log) -> list[Figure]:
    """Return the figures of a training: loss, terms, validation scores by quantity."""
    marks = [Mark(span.begin, span.name) for span in log.stages]
    zooms = {"all": (0.0, float(log.last_step))} if log.stages else {}
    zooms |= {span.name: (float(span.begin), float(span.end)) for span in log.stages}
    stages = " Dotted lines are the beginnings of stages, with objectives of their own." if log.stages else ""

    def draw(name: str, title: str, about: str, series: Mapping[str, Series], y: str, logarithmic=False):
        lines = [Line(words, s.step, s.value) for words, s in series.items()]
        limits = (-0.02, 1.02) if y == "share" else (None, None)
        axes = Axes("update", y, "update", logarithmic and is_wide(lines), limits)
        return plot(name, title, about + stages, lines, axes, marks, zooms)

    figures = []
    if "loss" in log.train:
        about = "The number that the optimiser makes small, a mean since the line before in the log."
        figures.append(draw("loss", "Loss", about, {"loss": log.train["loss"]}, "loss"))
    if log.terms:
        about = "Terms of the objective during the training, in nats per frame, before their weights."
        figures.append(draw("terms", "Terms of the objective", about, log.terms, "nats per frame"))
    for name, (title, y, series) in validation_series(log.validation).items():
        about = "On the validation sequences."
        figures.append(draw(f"validation-{name}", f"Validation: {title}", about, series, y, name in AXES))
    return figures


def optimiser_figures(log: Log) -> list[Figure]:
    """Return learning rate, norm of the gradient, and pace."""
    shown = {
        "lr": "Learning rate",
        "gradient": "Norm of the gradient",
        "frames_per_second": "Frames per second",
    }
    figures = []
    for name, title in shown.items():
        if name in log.train:
            series = log.train[name]
            line = Line(title.lower(), series.step, series.value)
            axes = Axes("update", title.lower(), "update", log=name == "gradient" and is_wide([line]))
            figures.append(plot(f"optimiser-{name}", title, "", [line], axes))
    return figures


def slot_figure(log: Log) -> list[Figure]:
    """Return the statistics of slots and latents during the training, by which a collapse shows."""
    if not log.slots:
        return []
    lines = [
        Line(name, s.step, s.value, shown=name == "kl" or place < 4)
        for place, (name, s) in enumerate(log.slots.items())
    ]
    about = "Statistics of slots and latent states of the last batch before each line of the log."
    return [plot("slots", "Slots during the training", about, lines, Axes("update", "value", "update"))]


def validation_series(
    validation: Mapping[str, Series],
) -> dict[str, tuple[str, str, dict[str, Series]]]:
    """Return quantity -> title, title of the y axis, and its scores by span, without sums over frames."""
    groups: dict[str, tuple[str, str, dict[str, Series]]] = {}
    for name, series in validation.items():
        if name.endswith("_sum") or np.isnan(series.value).all():
            continue
        quantity = next((q for q in QUANTITIES if name.startswith(f"{q}_")), None)
        if quantity is not None:
            span = name.removeprefix(f"{quantity}_").replace("_", "-", 2)
            words = f"predicted {span}" if span[0].isdigit() else span.replace("at-", "predicted ")
            title, y = QUANTITIES[quantity], AXES.get(quantity, "score")
            groups.setdefault(quantity, (title, y, {}))[2][words] = series
        elif name in SHARES:
            groups.setdefault("shares", ("shares", "share", {}))[2][name.replace("_", " ")] = series
        elif name in BOUNDS:
            title = "objective"
            groups.setdefault("objective", (title, "nats per frame", {}))[2][name] = series
    return groups


# Sampled futures.


def calibration_figure(evaluation: Evaluation) -> Figure | None:
    """Return coverage against nominal level; None where no futures were sampled.

    Evaluations of earlier versions have the levels 50 and 90 % alone.
    """
    curves = {
        span: {float(level): value for level, value in estimates(levels).items()}
        for span, levels in evaluation.mapping("calibration").items()
    }
    if not curves:
        for name, value in estimates(evaluation.mapping("uncertainty")).items():
            if name.startswith("coverage_"):
                level, span = name.removeprefix("coverage_").split("_", 1)
                curves.setdefault(span, {})[float(level) / 100] = value
    if not curves:
        return None
    lines = []
    for span, curve in curves.items():
        levels = sorted(curve)
        mean, se = (np.array([getattr(curve[level], key) for level in levels]) for key in ("mean", "se"))
        lines.append(Line(f"predicted {span.replace('_', '-')}", np.array(levels), mean, se))
    ideal = np.array([0.0, 1.0])
    lines.append(Line("calibrated", ideal, ideal, colour=GREY, dashed=True))
    about = (
        "Share of true coordinates in the central interval of sampled futures, against the nominal share. "
        "Above the dashed line the futures spread too far, below it too little."
    )
    axes = Axes("nominal share", "covered share", "nominal", limits=(-0.02, 1.02))
    return plot("calibration", "Calibration of sampled futures", about, lines, axes)
