"""The files of an evaluation."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from seqvae.evaluate import Bound, Report, long_rollouts, score, uncertainty, write_report
from seqvae.evaluate.report import git_commit
from seqvae.metrics import Estimate
from tests.evaluate import spelled


@pytest.fixture(scope="module")
def data():
    return spelled.sequences(*spelled.straight(np.random.default_rng(3)), radii=np.full((3, 20, 2), 1.0))


@pytest.fixture(scope="module")
def report(data):
    scores = score(spelled.model(), data, decode=True)
    bound = Bound(3, 20, 1, None, None, Estimate(-3.0, 0.5, 3), ("objects",), np.array([-2.5, -4.0]))
    long = long_rollouts(spelled.model(), data, 100)
    return Report(scores, {"config": {"data": "x.h5"}}, bound, uncertainty(spelled.model(), data), long)


def test_files_and_their_numbers(report, tmp_path):
    paths = write_report(report, tmp_path / "new")
    names = ["metrics.json", "curves.csv", "table.md", "bounds.csv", "errors.png"]
    assert [path.name for path in paths] == names
    assert paths[3].read_text() == "sequence,nats_a_frame\n0,-2.5\n1,-4.0\n"
    assert sorted(f.name for f in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)

    found = json.loads(paths[0].read_text())
    assert found["schema_version"] == 1 and found["config"] == {"data": "x.h5"}
    assert (found["sequences"], found["context"], found["horizon"]) == (3, 8, 12)
    value = report.scores.table()["model"]["position_error_1_10"]
    assert found["table"]["model"]["position_error_1_10"] == {"mean": value.mean, "se": value.se, "n": 3}
    assert found["bound"]["about"] == "no normalised bound: objects" and found["bound"]["elbo"] is None
    assert set(found["long"]) == {"92", "100"} and "coverage_90_1_10" in found["uncertainty"]

    with open(paths[1]) as file:
        lines = list(csv.DictReader(file))
    first = [x for x in lines if x["row"] == "linear" and x["quantity"] == "position_error"][0]
    assert (first["frame"], first["predicted"], first["n"]) == ("9", "1", "3")
    frames = [int(x["frame"]) for x in lines if x["row"] == "model" and x["quantity"] == "velocity_error"]
    assert frames == list(range(3, 21))
    curve = [float(x["mean"]) for x in lines if x["row"] == "model" and x["quantity"] == "position_error"]
    assert np.mean(curve[6:16]) == pytest.approx(value.mean)

    assert Image.open(paths[4]).size[0] > 1000


def test_table_for_people(report):
    text = report.markdown()
    lines = text.splitlines()
    assert "3 sequences, context of 8 frames, horizon 12" in lines[0]
    header = next(line for line in lines if line.startswith("| position error"))
    assert [c.strip() for c in header.strip("|").split("|")] == [
        "position error", "reconstruction", "predicted 1-10", "sum of 1-10", "predicted 1-12"
    ]  # fmt: skip
    static = next(line for line in lines if line.startswith("| static "))
    value = report.scores.table()["static"]["position_error_1_10"]
    cells = [c.strip() for c in static.strip("|").split("|")]
    assert cells[:3] == ["static", "", f"{value.mean:.4f} ± {value.se:.4f}"]
    assert "no normalised bound" in text and "predicted frame 92" in text
    assert all(len(line) == len(header) for line in lines[2:10] if line.startswith("|"))


def test_numbers_that_are_not_finite_are_null(data, tmp_path):
    scores = score(spelled.model(damping=float("nan")), data)
    (path, *_) = write_report(Report(scores, {}), tmp_path)
    text = path.read_text()
    assert "NaN" not in text
    assert json.loads(text)["table"]["model"]["position_error_1_10"]["mean"] is None


def test_without_truth_the_report_has_pixels_only(data, tmp_path):
    bare = type(data)(name="bare", frames=data.frames)
    report = Report(score(spelled.model(), bare, decode=True), {})
    assert "position" not in report.markdown().split("\n", 1)[1]
    assert write_report(report, tmp_path)[-1].is_file()


def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("+changes")) == 40
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert git_commit() is None
