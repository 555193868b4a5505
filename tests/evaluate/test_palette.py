"""Colours of rows: distinct, readable on light and dark, and the same wherever a row is drawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seqvae.evaluate.palette import COLOURS, OWN, ROWS, row_styles

STYLE = Path(__file__).parents[2] / "seqvae/report/templates/page.css"


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, by WCAG 2."""
    linear = []
    for start in (1, 3, 5):
        share = int(colour[start : start + 2], 16) / 255
        linear.append(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["page", "surface"])
def test_every_colour_has_contrast_on_light_and_dark(name):
    grounds = re.findall(rf"--{name}: (#[0-9a-f]{{6}})", STYLE.read_text())
    assert len(grounds) == 2, "a light one and a dark one"
    for ground in grounds:
        for colour in {*COLOURS, *ROWS.values()}:
            low, high = sorted([luminance(ground), luminance(colour)])
            assert (high + 0.05) / (low + 0.05) >= 3, (colour, ground)


def test_a_row_has_one_style_whatever_stands_beside_it():
    """A baseline from true states has the colour of the same motion from the model's states, dashed."""
    one = row_styles(["model", "linear", "linear, from true states", "mine", "black"])
    other = row_styles(["black", "linear, from true states", "static", "model"])
    assert all(one[row] == other[row] for row in ("model", "black", "linear, from true states"))
    assert one["linear"].colour == one["linear, from true states"].colour
    assert one["linear, from true states"].dashed and not one["linear"].dashed
    assert len({style.colour for style in one.values()}) == 4


def test_models_beside_each_other_and_unknown_rows_have_no_baselines_colour():
    baselines = {colour for row, colour in ROWS.items() if row != "model"}
    assert OWN[0] == ROWS["model"] and not baselines & set(OWN)
    unknown = [style.colour for style in row_styles(["mine", "yours", *ROWS]).values()][:2]
    assert len(set(unknown)) == 2 and not {*unknown} & set(ROWS.values())
