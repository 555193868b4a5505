"""Figures of a page, plotted with Bokeh: curves with bands, a legend of check boxes, marked frames or stages.

Names in a figure may come from a stranger's run. They reach the page as data of a JSON text, and never as
HTML or as TeX, for which Bokeh would load another script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, Label, PlainText, Span
from bokeh.plotting import figure
from jaxtyping import Num
from numpy.typing import ArrayLike

from seqvae.evaluate.palette import COLOURS

HEIGHT = 300  # pixels


@dataclass(frozen=True)
class Line:
    """A line of a figure.

    x, y: points; NaN leaves a gap
    se: standard error of y, None without a band
    shown: whether it is drawn before the reader asks for it
    colour: #rrggbb; None: one of the palette, by the place of the line or its group
    group: lines of one group have one entry in the legend and one colour; None: each line has its own
    """

    name: str
    x: Num[np.ndarray, "t"]
    y: Num[np.ndarray, "t"]
    se: Num[np.ndarray, "t"] | None = None
    shown: bool = True
    colour: str | None = None
    dashed: bool = False
    bold: bool = False
    group: int | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical line at x, with a text at its upper end."""

    x: float
    text: str = ""


@dataclass(frozen=True)
class Axes:
    """Titles of the axes.

    point: what the hover calls a point
    log: whether the y axis is logarithmic
    limits: range of the y axis; None in it for one that follows the lines
    """

    x: str
    y: str
    point: str = ""
    log: bool = False
    limits: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Key:
    """An entry of a legend: renderers by the prefix of their names, and the colour as CSS."""

    name: str
    prefix: str
    colour: str
    shown: bool


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    id: name of its element
    title, about: heading and description
    item: the figure as Bokeh's JSON
    legend: entries, that the page shows as check boxes
    zooms: name -> range of x, that the page shows as buttons
    """

    id: str
    title: str
    about: str
    item: dict[str, Any]
    legend: tuple[Key, ...] = ()
    zooms: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def plot(
    name: str,
    title: str,
    about: str,
    lines: Sequence[Line],
    axes: Axes,
    marks: Sequence[Mark] = (),
    zooms: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Plot lines, the first on top, each with a band of one standard error."""
    canvas = _canvas(axes)
    tools, legend = [], {}
    for place, line in reversed(list(enumerate(lines))):
        group = place if line.group is None else line.group
        colour = line.colour or COLOURS[group % len(COLOURS)]
        prefix = f"{name}/{group}/"
        tools.append(_draw(canvas, line, colour, prefix))
        legend[prefix] = Key(line.name, prefix, colour, line.shown)
    _add_hover(canvas, tools, axes)
    for mark in marks:
        _draw_mark(canvas, mark)
    item = dict(json_item(canvas, ID(name)))
    entries = tuple(reversed(legend.values())) if len(lines) > 1 else ()
    return Figure(name, title, about, item, entries, zooms or {})


def is_wide(lines: Sequence[Line]) -> bool:
    """Return whether positive numbers span so many sizes that a logarithmic axis shows them better."""
    values = np.concatenate([line.y for line in lines]) if lines else np.zeros(0)
    values = values[np.isfinite(values)]
    return len(values) > 0 and bool(values.min() > 0) and bool(values.max() / values.min() > 30)


def _canvas(axes: Axes) -> figure:
    canvas = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        y_axis_type="log" if axes.log else "linear",
        tools="xpan,xbox_zoom,reset",
        active_drag=None,  # a finger that scrolls the page is not to move the figure
        active_scroll=None,
        toolbar_location="above",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        window_axis="x",
        min_border_right=12,
    )
    canvas.toolbar.logo = None
    canvas.toolbar.autohide = True
    canvas.x_range = DataRange1d(only_visible=True, range_padding=0.02)
    low, high = axes.limits
    canvas.y_range = DataRange1d(only_visible=True, range_padding=0.06)
    if low is not None:
        canvas.y_range.start = low
    if high is not None:
        canvas.y_range.end = high
    for axis, text in ((canvas.xaxis, axes.x), (canvas.yaxis, axes.y)):
        axis.axis_label = PlainText(text=text)
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
    canvas.xgrid.grid_line_color = None
    return canvas


def _draw(canvas: figure, line: Line, colour: str, prefix: str) -> Any:
    """Draw a line with its band and a dot for single points; return what the hover looks at."""
    x, y = _plain(line.x), np.asarray(line.y, dtype=np.float64)
    se = np.full(len(y), np.nan) if line.se is None else np.asarray(line.se, dtype=np.float64)
    spread = np.nan_to_num(se)
    source = ColumnDataSource({
        "x": x,
        "y": y,
        "low": y - spread,
        "high": y + spread,
        "row": [line.name] * len(y),
        "text": [_number(mean, error) for mean, error in zip(y, se, strict=True)],
    })  # fmt: skip
    style = {"name": f"{prefix}line", "visible": line.shown}
    if line.se is not None:
        canvas.varea("x", "low", "high", source=source, fill_color=colour, fill_alpha=0.18,
                     name=f"{prefix}band", visible=line.shown)  # fmt: skip
    if np.isfinite(y).sum() <= 12:
        canvas.scatter(
            "x", "y", source=source, color=colour, size=6, name=f"{prefix}dots", visible=line.shown
        )
    dash = "dashed" if line.dashed else "solid"
    width = 2.6 if line.bold else 1.6
    return canvas.line("x", "y", source=source, color=colour, line_width=width, line_dash=dash, **style)


def _add_hover(canvas: figure, lines: list[Any], axes: Axes) -> None:
    tooltips = [("", "@row"), (axes.point or axes.x, "@x{0,0.[00]}"), (axes.y, "@text")]
    canvas.add_tools(HoverTool(renderers=lines, tooltips=tooltips, mode="mouse", line_policy="nearest"))


def _draw_mark(canvas: figure, mark: Mark) -> None:
    canvas.add_layout(
        Span(location=mark.x, dimension="height", line_dash="dotted", line_width=1.5, line_color="#808080")
    )
    if mark.text:
        canvas.add_layout(
            Label(
                x=mark.x, y=HEIGHT - 108, y_units="screen", x_offset=4, text=PlainText(text=mark.text),
                text_font_size="11px", text_color="#808080",
            )
        )  # fmt: skip


def _plain(x: ArrayLike) -> np.ndarray:
    return np.asarray(x, dtype=np.float64)


def _number(mean: float, se: float) -> str:
    if math.isnan(mean):
        return "not a number"
    return f"{mean:.4g}" if math.isnan(se) else f"{mean:.4g} ± {se:.2g}"
