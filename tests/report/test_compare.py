"""Comparison of runs: groups, means over seeds, differences on the same sequences, refusals."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from data_gen.cli.configs import compose
from seqvae.cli.main import main
from seqvae.errors import UserError
from seqvae.evaluate import read_sequence_scores
from seqvae.evaluate.palette import ROWS, row_styles
from seqvae.metrics import estimate
from seqvae.report import compare, curves
from seqvae.report.groups import find_runs, group_runs
from seqvae.report.pairs import comparable, group_differences, group_numbers
from seqvae.report.read import read_run


@pytest.fixture
def runs(folder, tmp_path) -> Path:
    """A copy of the runs, to be changed."""
    return Path(shutil.copytree(folder / "runs", tmp_path / "runs"))


def read(folder: Path) -> list:
    return [read_run(run, build=False) for run in find_runs(str(folder))]


def groups_of(folder: Path):
    return {group.label: group for group in group_runs(read(folder))}


def test_seeds_of_one_config_are_a_group(runs):
    groups = groups_of(runs)
    usual = compose("train", ["model=linear"])["optim"]["lr"]
    seeds = {label: group.seeds for label, group in groups.items()}
    assert seeds == {"lr=0.01": (0,), f"lr={usual}": (0, 1)}
    assert all(list(group.differences) == ["optim.lr"] for group in groups.values())


def test_numbers_are_means_over_seeds_with_their_standard_error(runs):
    (seeds,) = [group for group in groups_of(runs).values() if len(group.runs) == 2]
    values = []
    for name in ("seed=0", "seed=1"):
        metrics = json.loads((runs / name / "evaluation" / "metrics.json").read_text())
        values.append(metrics["table"]["model"]["position_error_1_10"]["mean"])
    found = group_numbers(seeds)
    value = found.values["position_error_1_10"]
    assert found.over == "seeds" and value.n == 2
    assert value.mean == pytest.approx(np.mean(values))
    assert value.se == pytest.approx(abs(values[0] - values[1]) / 2)
    (single,) = [group for group in groups_of(runs).values() if len(group.runs) == 1]
    assert group_numbers(single).over == "sequences"


def test_differences_are_of_the_same_sequences(runs):
    by_size = {len(group.runs): group for group in groups_of(runs).values()}
    column = "pixel_mse_1_10"
    scores = {
        run.name: read_sequence_scores(run / "evaluation" / "sequences.npz").rows["model"][column]
        for run in runs.iterdir()
    }
    expected = scores["optim.lr=0.01"] - (scores["seed=0"] + scores["seed=1"]) / 2
    found = group_differences(by_size[1], by_size[2])[column]
    assert found.by_sequence == estimate(expected)
    assert np.isnan(found.se_seeds), "one of the groups has a single run"


def test_a_score_that_is_not_finite_in_one_run_gives_no_difference(runs):
    path = runs / "seed=0" / "evaluation" / "sequences.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    place = (content["rows"] == "model") & (content["columns"] == "pixel_mse_1_10")
    content["values"][place, 2] = np.nan
    np.savez(path, **content)
    by_size = {len(group.runs): group for group in groups_of(runs).values()}
    found = group_differences(by_size[1], by_size[2])
    assert np.isnan(found["pixel_mse_1_10"].by_sequence.mean)
    assert np.isfinite(found["position_error_1_10"].by_sequence.mean)


def test_evaluations_of_other_data_and_versions_are_compared_with_none(runs, folder):
    moved = runs / "seed=1" / "evaluation" / "metrics.json"
    content = json.loads(moved.read_text())
    moved.write_text(json.dumps(content | {"data_sha256": "0" * 64}))
    kept, (line,) = comparable(read(runs))
    assert len(kept) == 2 and "Evaluated on other data, so compared with no other run: seed=1 on" in line
    moved.write_text(json.dumps(content | {"schema_version": 1}))
    kept, (line,) = comparable(read(runs))
    assert len(kept) == 2 and "seed=1: evaluated by another schema version" in line
    shutil.rmtree(moved.parent)
    kept, (line,) = comparable(read(runs))
    assert len(kept) == 2 and "seed=1: not evaluated; python -m seqvae evaluate" in line


def test_an_evaluation_without_a_checksum_is_known_by_its_path(runs):
    path = runs / "seed=1" / "evaluation" / "metrics.json"
    content = json.loads(path.read_text())
    del content["data_sha256"]
    path.write_text(json.dumps(content))
    assert len(comparable(read(runs))[0]) == 3
    content["config"]["data"] = "elsewhere.h5"
    path.write_text(json.dumps(content))
    assert len(comparable(read(runs))[0]) == 2


def test_names_with_commas_are_found_in_a_list(runs):
    (runs / "seed=0").rename(runs / "lr=1,seed=0")
    names = [runs / "lr=1,seed=0", runs / "seed=1"]
    assert list(find_runs(f"[{names[0]},{names[1]}]")) == names
    assert list(find_runs(f"{names[0]},{names[1]}")) == names
    assert list(find_runs(f"[{names[0]}, '{names[1]}']")) == names
    assert list(find_runs(f"{runs}/*seed=*")) == names
    assert list(find_runs(f"[{runs},{names[0]}]")) == [*names[:1], runs / "optim.lr=0.01", names[1]]


def test_a_page_and_tables_are_written(runs, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["compare", f"runs={runs}", f"out={out}", "sequences=1", f"against={runs / 'seed=1'}"]) == 0
    printed = capsys.readouterr().out
    markdown, text = (out / "comparison.md").read_text(), (out / "comparison.html").read_text()
    assert markdown in printed and re.search(r"comparison.html: \d\.\d MB", printed)
    assert "| Position error, half-widths" in markdown and "lr=0.01 minus lr=" in markdown
    with (out / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["over"] for line in lines} == {"seeds", "sequences"}
    assert len([x for x in lines if x["column"] == "found" and x["over"] == "sequences"]) == 3
    body = unescape(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert "Learning curves" in body and body.count('class="item"') >= 4
    assert text.count("data:video/mp4;base64,") == 1 and "over 2 seeds" in body
    assert "Sequence 0. Rows: data, lr=" in body and len(text) < 5e6


BAD = {
    "one run": ("runs={runs}/seed=0", "one run alone"),
    "the same twice": ("runs=[{runs}/seed=0,{runs}/seed=0]", "one run alone"),
    "not there": ("runs=[{runs}/seed=0,{runs}/none]", "none: no such run or folder"),
    "no runs in it": ("runs={empty}", "holds no run"),
    "a file": ("runs=[{runs}/seed=0,{runs}/seed=0/best.pt]", "is a file; give the folders of runs"),
    "against another": ("runs={runs} against={empty}", "is none of the runs"),
    "negative": ("runs={runs} sequences=-1", "sequences=-1: expected at least 0"),
    "unknown key": ("runs={runs} run=3", "did you mean runs"),
    "missing": ("sequences=1", "runs: is missing"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD.keys())
def test_nonsense_is_refused_in_one_line(folder, tmp_path, capsys, words, message):
    names = {"runs": folder / "runs", "empty": tmp_path}
    assert main(["compare", *(word.format(**names) for word in words.split())]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_runs_without_anything_to_compare_are_refused(runs, capsys):
    for run in runs.iterdir():
        shutil.rmtree(run / "evaluation")
        (run / "log.jsonl").unlink()
    assert main(["compare", f"runs={runs}"]) == 2
    assert "none has an evaluation or a log" in capsys.readouterr().err


def test_a_list_that_leads_nowhere_names_what_is_wrong():
    with pytest.raises(UserError, match="runs: a,b: no such run or folder"):
        find_runs("[a,b]")
    with pytest.raises(UserError, match="no such run or folder; did you mean stove_billiards"):
        find_runs("[stove_biliards,stove_gravity]")


def test_pretrained_models_are_compared_by_name(runs, tmp_path, monkeypatch, capsys):
    """Their evaluations are in runs/NAME, and the page is written beside, never into the installation."""
    monkeypatch.chdir(tmp_path)
    for name in ("stove_billiards", "stove_gravity"):
        shutil.copytree(runs / "seed=0" / "evaluation", tmp_path / "runs" / name / "evaluation")
    names = "stove_billiards,stove_gravity"
    assert list(find_runs(names).values()) == [Path("runs/stove_billiards"), Path("runs/stove_gravity")]
    assert main(["compare", f"runs=[{names}]", "against=stove_gravity", "sequences=0"]) == 0
    shown = capsys.readouterr().out
    assert "stove_billiards minus stove_gravity" in shown
    assert (tmp_path / "runs/comparison/comparison.html").is_file()


def test_a_row_has_the_same_colour_in_the_plot_and_on_both_pages(runs):
    """The styles of the plot errors.png are those of `row_styles`."""
    groups = group_runs(read(runs))
    pages = {
        "report": curves.error_figures(groups[0].runs[0].evaluation),
        "compare": compare.error_figures(compare.compare(groups)),
    }
    for page, figures in pages.items():
        legend = {key.name: key.colour for figure in figures for key in figure.legend}
        rows = row_styles(row for row in legend if row in ROWS or "true states" in row)
        assert len(rows) >= 3 and all(legend[row] == style.colour for row, style in rows.items()), page
    labels = [legend[group.label] for group in groups]
    assert len(set(labels)) == len(groups) and not set(labels) & {legend[row] for row in rows}
