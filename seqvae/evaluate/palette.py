"""Colours of lines: one per row of an evaluation, in every plot and on every page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# Distinct to colour-blind eyes (after Okabe and Ito), with a contrast of 3:1 or more on the light and on the
# dark page. The first one is the model's.
COLOURS = (
    "#d55e00", "#1f7fbf", "#00926a", "#a35fc0", "#b07a00", "#6c7a89",
    "#c94f7c", "#3f7f7f", "#8a6d5b", "#7d8a00", "#5a6fd0", "#b55a4a",
)  # fmt: skip
GREY = "#6c7a89"
TRUE_STATES = ", from true states"
ROWS = {
    "model": "#d55e00",
    "linear": "#1f7fbf",
    "bouncing": "#00926a",
    "static": GREY,
    "copy of the last frame": GREY,
    "linear, to the wall": "#3f7f7f",
    "another sequence": "#8a6d5b",
    "mean frame": "#b07a00",
    "black": "#7d8a00",
}
BASELINES = {colour for row, colour in ROWS.items() if row != "model"}
# of models beside each other, the first ones, and of rows that have none of their own: no baseline's
OWN = tuple(colour for colour in COLOURS if colour not in BASELINES)


class Style(NamedTuple):
    """Colour of a line, as #rrggbb, and whether it is dashed: a baseline that starts from true states."""

    colour: str
    dashed: bool


def row_styles(rows: Iterable[str]) -> dict[str, Style]:
    """Return the style of each row: the same in every panel, figure and run.

    Rows without a colour of their own, such as those of a user's metric, have one in the order of `rows`.
    """
    motions = {row: row.replace(TRUE_STATES, "") for row in rows}
    unknown = [motion for motion in dict.fromkeys(motions.values()) if motion not in ROWS]
    colours = ROWS | {motion: OWN[1:][i % len(OWN[1:])] for i, motion in enumerate(unknown)}
    return {row: Style(colours[motion], motion != row) for row, motion in motions.items()}
