"""The files of an evaluation."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from seqvae import __version__
from seqvae.data.sequences import Sequences
from seqvae.evaluate import Bound, Report, long_rollouts, score, uncertainty, write_report
from seqvae.evaluate.figures import write_errors
from seqvae.metrics import Estimate
from seqvae.provenance import git_commit
from tests.evaluate import spelled
from tests.models import make


@pytest.fixture(scope="module")
def data():
    return spelled.sequences(*spelled.straight(np.random.default_rng(3)), radii=np.full((3, 20, 2), 0.2))


@pytest.fixture(scope="module")
def report(data):
    scores = score(spelled.model(), data, decode=True)
    bound = Bound(3, 20, 1, None, None, Estimate(-3.0, 0.5, 3), ("objects",), np.array([-2.5, -4.0]))
    long = long_rollouts(spelled.model(), data, 100)
    return Report(scores, {"config": {"data": "x.h5"}}, bound, uncertainty(spelled.model(), data), long)


def test_files_and_their_numbers(report, tmp_path):
    paths = write_report(report, tmp_path / "new")
    names = [
        "metrics.json",
        "curves.csv",
        "table.md",
        "bounds.csv",
        "sequences.npz",
        "errors.png",
        "errors.pdf",
    ]
    assert [path.name for path in paths] == names
    assert paths[3].read_text() == "sequence,nats_a_frame\n0,-2.5\n1,-4.0\n"
    assert sorted(f.name for f in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)

    content = json.loads(paths[0].read_text())
    assert content["package_version"] == __version__
    assert content["schema_version"] == 2 and content["config"] == {"data": "x.h5"}
    assert (content["sequences"], content["context"], content["horizon"]) == (3, 8, 12)
    value = report.scores.table()["model"]["position_error_1_10"]
    assert content["table"]["model"]["position_error_1_10"] == {"mean": value.mean, "se": value.se, "n": 3}
    assert content["bound"]["about"] == "no normalised bound: objects" and content["bound"]["elbo"] is None
    assert set(content["long"]) == {"92", "100"} and "coverage_90_1_10" in content["uncertainty"]

    with open(paths[1]) as file:
        lines = list(csv.DictReader(file))
    first = [x for x in lines if x["row"] == "linear" and x["quantity"] == "position_error"][0]
    assert (first["frame"], first["predicted"], first["n"]) == ("9", "1", "3")
    frames = [int(x["frame"]) for x in lines if x["row"] == "model" and x["quantity"] == "velocity_error"]
    assert frames == list(range(3, 21))
    curve = [float(x["mean"]) for x in lines if x["row"] == "model" and x["quantity"] == "position_error"]
    assert np.mean(curve[6:16]) == pytest.approx(value.mean)

    assert Image.open(paths[5]).size[0] > 1000


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


def test_sources_come_with_the_bounds_and_the_table(data, tmp_path):
    sources = np.array([[4, -1], [4, 7], [9, -1]])
    scores = score(spelled.model(), type(data)(**vars(data) | {"sources": sources}), decode=True)
    bound = Bound(3, 20, 1, None, None, Estimate(-3.0, 0.5, 3), (), np.array([-2.5, -4.0, 1.0]), sources)
    paths = write_report(Report(scores, {}, bound), tmp_path)
    bounds = next(path for path in paths if path.name == "bounds.csv").read_text().splitlines()
    assert bounds == ["sequence,nats_a_frame,sources", "0,-2.5,4 -1", "1,-4.0,4 7", "2,1.0,9 -1"]
    assert json.loads(paths[0].read_text())["sources"] == 3
    assert "3 sequences made from 3 sources" in (tmp_path / "table.md").read_text()


def test_the_strongest_baseline_is_named(data):
    """The data goes straight, so a straight line is; of pictures, what is drawn along it."""
    report = Report(score(spelled.model(damping=0.9), data, decode=True, pixels="rgb"), {})
    lines = [line for line in report.markdown().splitlines() if line.startswith("Strongest baseline")]
    assert len(lines) == 3 and "linear, from true states (predicted 1-10)" in lines[0]
    assert "Strongest baseline: linear (predicted 1-10)" in lines[2]


def test_masks_have_tables_of_their_own(data):
    value = {row: Estimate(share, 0.1, 3) for row, share in (("model", 0.5), ("true shapes, copied", 0.25))}
    masks = {row: {"fg_ari_at_10": x, "mean_iou_1_10": x} for row, x in value.items()}
    masks["model"]["fg_ari_attention"] = Estimate(0.75, 0.1, 3)
    shares = masks["model"] | {"found": value["model"]}
    scores = replace(score(spelled.model(), data), segmentation=masks, shares=shares)
    report = Report(scores, {})
    lines = report.markdown().splitlines()
    heads = [line.split("|")[1].strip() for line in lines if line.startswith("| masks")]
    assert heads == ["masks, predicted 10", "masks, predicted 1-10", "masks, attention"]
    first = lines.index(next(line for line in lines if line.startswith("| masks, predicted 10 ")))
    assert [c.strip() for c in lines[first + 3].split("|")[1:3]] == ["true shapes, copied", "0.2500 ± 0.1000"]
    assert "fg_ari" not in report.markdown() and "| found" in report.markdown()
    assert report.as_dict()["segmentation"]["true shapes, copied"]["fg_ari_at_10"]["mean"] == 0.25


def git(folder, *command):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=folder, check=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_changes_anywhere_in_the_code_are_told(tmp_path):
    for name in ("seqvae/__init__.py", "seqvae/frames/vae.py", "configs/train.yaml", "docs/log.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first")
    git(tmp_path, "init", "-q")
    assert git_commit(tmp_path) is None
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "all")
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "docs/log.md").write_text("second")
    assert git_commit(tmp_path) == commit
    (tmp_path / "configs/new.yaml").write_text("second")
    assert git_commit(tmp_path) == f"{commit}+changes"
    (tmp_path / "configs/new.yaml").unlink()
    (tmp_path / "seqvae/frames/vae.py").write_text("second")
    assert git_commit(tmp_path) == f"{commit}+changes"
    assert git_commit(tmp_path / "seqvae") is None


def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("+changes")) == 40
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert git_commit() is None


def test_later_frames_are_called_no_bound_of_their_density(report, tmp_path):
    numbers = (Estimate(-3.0, 0.5, 3), Estimate(-2.5, 0.5, 3), Estimate(-3.0, 0.5, 3), ())
    whole, later = (Bound(first, 20, 7, *numbers, np.zeros(2)) for first in (1, 3))
    made = Report(report.scores, {}, whole, under_encoder=later)
    text = made.markdown()
    assert "| ELBO, nats per frame, frames 1-20 " in text and "| IWAE-7, nats per frame, frames 1-20 " in text
    assert "| ELBO, nats per frame, frames 3-20 under q(z_1:2 | x) " in text
    explanation = (
        "The numbers of frames 3-20 bound log E[p(x_3:20 | z_1:2)] under the encoder's q(z_1:2 | x_1:2), "
        "which can exceed log p(x_3:20 | x_1:2) by any amount"
    )
    assert f"{explanation}.\n" in text
    content = json.loads(write_report(made, tmp_path)[0].read_text())
    assert content["bound"]["first"] == 1 and "about" not in content["bound"]
    assert content["under_encoder"]["first"] == 3 and content["under_encoder"]["about"] == explanation
    assert content["under_encoder"]["iwae"]["mean"] == -2.5
    without = Report(report.scores, {}, whole)
    assert "under the encoder" not in without.markdown() and without.as_dict()["under_encoder"] is None


def test_errors_of_single_images_are_not_plotted(tmp_path):
    """A curve of one frame is no curve: no file, rather than an empty picture."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32, 3), dtype=np.uint8)
    scores = score(make("vae", channels=3), Sequences("images", frames), 1, 0, decode=True)
    assert write_errors(scores, tmp_path / "errors") == [] and not list(tmp_path.iterdir())
