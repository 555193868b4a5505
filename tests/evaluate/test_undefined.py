"""Data of which some frames, or all, show no object: what the protocol reports of them."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from seqvae.evaluate import Curve, Report, Scores, score, uncertainty, write_report
from seqvae.evaluate.protocol import _slot_positions
from seqvae.rollout import Rollout
from tests.evaluate import spelled

LENGTH = 20


def at_rest(present: np.ndarray, off: float = 0.1):
    """One object at rest in two sequences; from frame 9 on its true position is `off` from the shown one."""
    shown = np.zeros((2, LENGTH, 1, 2))
    positions = shown.copy()
    positions[0, 8:, 0, 0], positions[1, 8:, 0, 0] = off, 3 * off
    positions[~present] = 77.0  # of an absent object a state means nothing
    data = spelled.sequences(
        positions, np.zeros_like(positions), present=present, radii=np.full((2, LENGTH, 1), 0.2)
    )
    return type(data)(**vars(data) | {"frames": spelled.spell(shown)})


def gone(*where: tuple[int, slice]) -> np.ndarray:
    present = np.ones((2, LENGTH, 1), dtype=bool)
    for sequence, frames in where:
        present[sequence, frames] = False
    return present


def test_a_frame_without_its_object_makes_no_error_small():
    """Errors 0.1 and 0.3 wherever there is an object: their mean is 0.2, however few frames have one."""
    data = at_rest(gone((0, slice(10, 20)), (1, slice(12, 13))))
    scores = score(spelled.model(slots=1), data)
    for row in ("model", "static", "linear"):
        for name in ("position_error_1_10", "position_error_1_12"):
            value = scores.table()[row][name]
            assert value.mean == pytest.approx(0.2, abs=2e-3) and value.n == 2
    by_frame = scores.curves["model"]["position_error"].by_frame()
    assert (by_frame[10].n, by_frame[11].n, by_frame[13].n) == (2, 1, 0)
    assert by_frame[11].mean == pytest.approx(0.3, abs=2e-3) and np.isnan(by_frame[13].mean)
    line = f"Without objects, and left out: {11 / (2 * 18):.2%} of the frames."  # frames 3-20 are scored
    assert line in Report(scores, {}).markdown()
    assert "left out" not in Report(score(spelled.model(slots=1), at_rest(gone())), {}).markdown()


def test_a_sequence_without_objects_is_no_sample():
    scores = score(spelled.model(slots=1), at_rest(gone((1, slice(None)))))
    value = scores.table()["model"]["position_error_1_10"]
    assert value.mean == pytest.approx(0.1, abs=2e-3) and value.n == 1
    assert (scores.shares["found"].mean, scores.shares["found"].n) == (1, 1)
    assert scores.shares["context_swap"].n == 1


def test_data_without_objects_have_no_errors(tmp_path):
    data = at_rest(gone((0, slice(None)), (1, slice(None))))
    scores = score(spelled.model(slots=1), data, decode=True)
    assert not any("position" in name or "velocity" in name for name in scores.numbers())
    assert not scores.shares and "pixel_mse_1_10" in scores.numbers()
    assert uncertainty(spelled.model(slots=1), data) == {}
    write_report(Report(scores, {}), tmp_path)
    table = json.loads((tmp_path / "metrics.json").read_text())["table"]["model"]
    spans = ("reconstruction", "1_10", "1_12")
    assert set(table) == {f"{name}_{span}" for name in ("pixel_mse", "psnr") for span in spans} | {
        "pixel_mse_1_10_sum"
    }
    rows = list(csv.DictReader(io.StringIO((tmp_path / "curves.csv").read_text())))
    for quantity in ("position_error", "med"):
        assert {row["n"] for row in rows if row["quantity"] == quantity} == {"0"}


def test_states_that_are_not_finite_are_no_missing_objects():
    errors = np.array([[0.1, np.nan], [0.2, 0.4]])
    curve = Curve(errors, 9, None, np.array([[True, False], [True, True]]))
    assert curve.over(9, 10).mean == pytest.approx(0.2)
    assert np.isnan(Curve(errors, 9).over(9, 10).mean)
    assert np.isnan(Curve(errors, 9, None, np.ones((2, 2), dtype=bool)).over(9, 10).mean)
    assert Curve(errors, 9, None, np.zeros((2, 2), dtype=bool)).over(9, 10) is None


def test_masks_that_are_not_finite_have_no_place_while_empty_ones_keep_theirs():
    masks = np.zeros((1, 4, 2, 4, 4), dtype=np.float32)
    masks[0, 0, :, 1, 1] = 1
    masks[0, 2:, 1] = np.nan
    x = _slot_positions(Rollout(np.zeros((1, 4, 2, 1)), 2, masks=masks), 0)[0, ..., 0]
    np.testing.assert_array_equal(x.T, [[-0.25] * 4, [-0.25, -0.25, np.nan, np.nan]])


def test_the_strongest_baseline_is_a_finite_one():
    rows = {"model": 0.1, "linear": np.nan, "static": 0.5, "bouncing": 0.4}
    curves = {row: {"position_error": Curve(np.full((2, 10), error), 9)} for row, error in rows.items()}
    assert Scores(2, 8, 10, curves).strongest("position_error_1_10") == "bouncing"


def test_sampled_futures_are_scored_where_objects_are():
    """The model's noise is small beside the error, so each sample's error is 0.1 or 0.3."""
    data = at_rest(gone((0, slice(10, 20)), (1, slice(12, 13))))
    result = uncertainty(spelled.model(slots=1), data)
    for name in ("best_of_20_1_10", "mean_of_20_1_10", "best_of_20_1_12", "mean_of_20_1_12"):
        assert result[name].mean == pytest.approx(0.2, abs=5e-3) and result[name].n == 2
    # y is where it was shown, x is not: one of two coordinates can be covered
    everything = uncertainty(spelled.model(slots=1), at_rest(gone()))
    assert result["coverage_90_1_12"].mean == pytest.approx(everything["coverage_90_1_12"].mean, abs=0.15)
    assert result["coverage_90_1_12"].mean > 0.3
