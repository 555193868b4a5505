"""Scores of each sequence: their means are the numbers of the evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.evaluate import read_sequence_scores, sample_futures, score
from seqvae.evaluate.by_sequence import write_sequence_scores
from seqvae.metrics import estimate
from tests.evaluate import spelled


@pytest.fixture(scope="module")
def scores():
    """Three sequences of two objects; the second one has none in the last frames, the third never."""
    positions, velocities = spelled.straight(np.random.default_rng(3))
    present = np.ones(positions.shape[:3], bool)
    present[1, 14:], present[2] = False, False
    known = {"present": present, "radii": np.full((3, 20, 2), 0.2), "sources": np.array([[4], [4], [9]])}
    data = spelled.sequences(positions, velocities, **known)
    return score(spelled.model(), data, decode=True)


def test_their_means_are_the_numbers_of_the_table(scores):
    rows = scores.by_sequence()
    checked = 0
    for row, columns in scores.table().items():
        for column, expected in columns.items():
            if column.endswith("_sum"):
                continue
            values = rows[row][column]
            defined = ~np.isnan(values)
            found = estimate(values[defined], scores.source_names[defined])
            assert (found.mean, found.n) == (pytest.approx(expected.mean), expected.n), (row, column)
            assert found.se == pytest.approx(expected.se, nan_ok=True)
            checked += 1
    assert checked > 20
    found = rows["model"]["found"]
    assert np.isnan(found[2]) and np.nanmean(found) == scores.shares["found"].mean


def test_a_file_holds_them_all(scores, tmp_path):
    path = tmp_path / "sequences.npz"
    with path.open("wb") as file:
        write_sequence_scores(scores, file)
    read = read_sequence_scores(path)
    for row, columns in scores.by_sequence().items():
        for column, values in columns.items():
            np.testing.assert_array_equal(read.rows[row][column], values)
    np.testing.assert_array_equal(read.sources, [[4], [4], [9]])


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "sequences.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="sequences.npz: is no file of scores, or is damaged"):
        read_sequence_scores(path)


@pytest.mark.parametrize(
    "save", [lambda f: np.savez(f, frames=np.zeros(3)), lambda f: np.save(f, np.zeros(3))]
)
def test_a_file_of_other_arrays_is_refused(tmp_path, save):
    with (tmp_path / "sequences.npz").open("wb") as file:
        save(file)
    with pytest.raises(UserError, match="evaluate the run again"):
        read_sequence_scores(tmp_path / "sequences.npz")


def test_a_calibration_curve_of_the_true_process_is_the_diagonal(rng):
    steps = rng.normal(0, 0.05, (150, 20, 2, 2))
    steps[:, 0] = rng.uniform(-0.5, 0.5, (150, 2, 2))
    futures = sample_futures(spelled.model(velocity=False, noise=0.05), spelled.sequences(steps.cumsum(1)))
    curves = futures.calibration()
    assert list(curves) == ["1_10", "1_12"]
    for level, value in curves["1_10"].items():
        assert abs(value.mean - level) < 4 * value.se
