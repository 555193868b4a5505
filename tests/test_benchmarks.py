"""The tables of benchmarks/: every row keeps its place, with the strongest baseline beside the models."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from pathlib import Path

import pytest

from seqvae.evaluate.report import SCHEMA

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = ("tables", "results", "family", "paired", "readme")


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """The scripts as modules by name, with runs in a temporary folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    found = {name: importlib.import_module(name) for name in NAMES}
    monkeypatch.setattr(found["tables"], "ROOT", tmp_path)
    yield found
    for name in NAMES:
        sys.modules.pop(name)


def value(mean, se=0.001):
    return {"mean": mean, "se": se, "n": 300}


def errors(near, far):
    return {
        f"{q}_{span}": value(x)
        for q in ("position_error", "pixel_mse") for span, x in (("1_10", near), ("1_50", far), ("1_92", far))
    }  # fmt: skip


def evaluated(row, seed, near=0.02, far=0.5, **more):
    """A finished run: its metrics and its log."""
    folder = row.run(seed)
    (folder / "evaluation").mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"elapsed": 90}\n{"elapsed": 120}\n')
    found = {
        "table": {
            "model": errors(near, far) | {"position_error_reconstruction": value(0.004)},
            "linear": errors(0.1, 0.8), "bouncing": errors(0.07, 0.6),
            "bouncing, from true states": errors(0.05, 0.45), "black": {"pixel_mse_1_10": value(0.1)},
        },
        "shares": {"found": value(1.0)}, "segmentation": {}, "uncertainty": {}, "bound": None,
        "long": {"92": {"energy_ratio": value(1.1), "energy_over_truth": value(1.08)}},
        "chosen_by": "the pixels", "schema_version": SCHEMA,
    } | more  # fmt: skip
    row.metrics(seed).write_text(json.dumps(found))


def test_every_row_of_a_comparison_has_three_seeds_and_long_ones_must_be_asked_for(scripts):
    results, family = scripts["results"], scripts["family"]
    usual = results.chosen(results.ROWS, [], None)
    assert {row.seeds for row in usual} == {3} and not any("published" in row.name for row in usual)
    (night,) = results.chosen(results.ROWS, ["published"], None)
    assert night.name == "as published, 8 hours"
    assert {row.seeds for row in results.chosen(results.ROWS, ["billiards"], 2)} == {1, 2}
    assert {row.name: row.seeds for row in family.ROWS if row.seeds != 3} == {"MONet, a true bound": 1}


def test_a_part_does_not_overwrite_the_kept_tables(scripts, tmp_path, monkeypatch, capsys):
    results = scripts["results"]
    first, other, missing = results.ROWS[0], results.ROWS[1], results.ROWS[2]
    for seed, near in enumerate((0.02, 0.01, 0.03)):
        evaluated(first, seed, near)
    evaluated(other, 0)
    results.keep(results.ROWS, "table.md", results.report)
    kept = (tmp_path / "table.md").read_text()
    for sim in ("billiards", "gravity"):
        assert f"| {sim}: position error |" in kept and f"| {sim}: pixel MSE |" in kept
    assert missing.sim not in kept

    asked = []
    monkeypatch.setattr(results, "command", lambda *words: asked.append(words))
    monkeypatch.setattr(sys, "argv", ["results.py", "--only", "gravity", "--seeds", "2"])
    results.main()
    assert (tmp_path / "table.md").read_text() == kept
    assert [words[:2] for words in asked] == [
        ("data_gen", "sim=gravity"), ("seqvae", "train"), ("seqvae", "train"), ("seqvae", "evaluate")
    ]  # fmt: skip
    told = capsys.readouterr().out
    assert "billiards" not in told and told.splitlines()[0] in kept


def test_evaluations_of_older_versions_are_done_again(scripts):
    results = scripts["results"]
    row = results.ROWS[0]
    assert not results.up_to_date(row, 0)
    evaluated(row, 0)
    assert results.up_to_date(row, 0)
    found = json.loads(row.metrics(0).read_text())
    for lacking in ("schema_version", "chosen_by"):
        row.metrics(0).write_text(json.dumps({key: x for key, x in found.items() if key != lacking}))
        assert not results.up_to_date(row, 0)
    row.metrics(0).write_text(json.dumps(found | {"schema_version": SCHEMA - 1}))
    assert not results.up_to_date(row, 0)


def test_a_line_has_the_mean_each_seed_the_spread_and_what_chose_the_checkpoint(scripts):
    row = scripts["results"].ROWS[0]
    for seed, near in enumerate((0.02, 0.01, 0.03)):
        evaluated(row, seed, near)
    lines = list(scripts["tables"].error_table("billiards", "position_error", [row]))
    head, _, model, *below = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    cells = dict(zip(head, model, strict=True))
    assert cells["seeds"] == "3" and cells["predicted 1-10"] == "0.0200" and cells["spread"] == "0.0100"
    assert cells["each seed, 1-10"] == "0.0200 0.0100 0.0300" and cells["se"] == "0.0010"
    assert cells["minutes"] == "2.0 2.0 2.0" and cells["checkpoint by"] == "the pixels"
    assert cells["1-50"] == cells["1-92"] == "0.5000" and cells["found"] == "100.0 %"
    near = {line[0]: line[3] for line in below}
    assert near == {
        "linear": "0.1000", "bouncing": "0.0700", "bouncing, from true states": "**0.0500**",
        "STOVE in its paper (recalled, not checked)": "0.042",
    }  # fmt: skip
    assert {len(line) for line in (head, model, *below)} == {13}


def test_one_criterion_of_all_stages_is_shown_once(scripts):
    told = scripts["tables"].chosen_by
    staged = "the pixels (objects); the pixels (motion)"
    assert told([{"chosen_by": staged}, {"chosen_by": staged}]) == "the pixels"
    assert told([{"chosen_by": "a (objects); b (motion)"}]) == "a (objects); b (motion)"
    assert told([{}]) == "unknown"


def test_numbers_in_which_a_baseline_is_better_are_listed(scripts):
    row = scripts["results"].ROWS[0]
    masks = {"model": {"fg_ari_at_10": value(0.6)}, "true shapes, copied": {"fg_ari_at_10": value(0.2)}}
    masks["true shapes, moved straight and bouncing"] = {"fg_ari_at_10": value(0.86)}
    evaluated(row, 0, segmentation=masks)
    (result,) = row.results()
    told = list(scripts["tables"].won_by_baselines(result))
    assert "position error, predicted 1-92: bouncing, from true states 0.4500, the model 0.5000" in told
    assert not any("predicted 1-10:" in line and "ARI" not in line for line in told)
    moved = "true shapes, moved straight and bouncing 0.860"
    assert told[-1] == f"FG-ARI, predicted frame 10: {moved}, the model 0.600"


def test_the_family_shows_masks_beside_every_baseline_and_errors_beside_the_strongest(scripts):
    row = next(row for row in scripts["family"].ROWS if row.name == "sequential MONet")
    masks = {name: {"fg_ari_at_10": value(x)} for name, x in (("model", 0.6), ("true shapes, copied", 0.2))}
    for seed in range(2):
        evaluated(row, seed, segmentation=masks)
    text = scripts["results"].joined(scripts["family"].report([row]))
    assert "| sequential MONet | FG-ARI, predicted frame 10 | 0.600 | 0.600 0.600 | 0.000 |" in text
    assert "| FG-ARI, predicted frame 10: true shapes, copied | 0.200 |" in text
    assert "| position error, predicted 1-92: bouncing, from true states (strongest) | 0.4500 |" in text


def test_the_readme_gets_its_tables_between_the_marks(scripts):
    results, readme = scripts["results"], scripts["readme"]
    for seed in range(2):
        evaluated(results.ROWS[0], seed)
    block = "\n\n".join(part for part in readme.tables() if part)
    assert "| billiards, STOVE, seeds 0-1 | 0.0040 | **0.0200** (0.0200, 0.0200) | 0.042 |" in block
    assert "| billiards, strongest baseline |  | 0.0500 (bouncing, from true states) |" in block
    assert "recalled, not checked" in block and "- billiards, STOVE: pixel MSE, predicted 1-92" in block
    text = readme.README.read_text(encoding="utf-8")
    written = readme.replaced(text, block)
    assert block in written and written.startswith(text.partition(readme.BEGIN)[0])
    assert written.endswith(text.partition(readme.END)[2]) and readme.replaced(written, block) == written


def test_pairs_are_compared_by_source_and_over_trainings(scripts, tmp_path, monkeypatch, capsys):
    """Gains 1 1 3 3 of two images, twice each: 2 +- 1; over two trainings of gains 2 and 4: 3 +- 1."""
    gains = {"a0": [0, 0, 0, 0], "b0": [1, 1, 3, 3], "a1": [1, 1, 1, 1], "b1": [5, 5, 5, 5]}
    for name, nats in gains.items():
        (tmp_path / name).mkdir()
        rows = [f"{i},{x},{i // 2} -1" for i, x in enumerate(nats)]
        (tmp_path / name / "bounds.csv").write_text("\n".join(["sequence,nats_a_frame,sources", *rows, ""]))
    a, b = (",".join(str(tmp_path / f"{letter}{i}") for i in range(2)) for letter in "ab")
    monkeypatch.setattr(sys, "argv", ["paired.py", a, b])
    scripts["paired"].main()
    told = capsys.readouterr().out
    assert "difference: 2.000 ± 1.000 nats per frame, 4 sequences made from 2 sources" in told
    assert "difference over trainings: 3.000 ± 1.000 nats per frame, 2 of each" in told
    nats, sources = scripts["paired"].read(str(tmp_path / "b0"))
    assert nats.tolist() == [1, 1, 3, 3] and sources.tolist() == [[0, -1], [0, -1], [1, -1], [1, -1]]
    (tmp_path / "b0" / "bounds.csv").write_text("sequence,nats_a_frame\n0,1.0\n")
    assert scripts["paired"].read(str(tmp_path / "b0"))[1] is None
    with pytest.raises(SystemExit, match="evaluate both on the same data"):
        scripts["paired"].main()


def test_every_survivor_is_a_line_of_its_module():
    survivors = tomllib.loads((FOLDER / "survivors.toml").read_text())["survivor"]
    missing = [s["line"] for s in survivors if s["line"] not in (FOLDER.parent / s["module"]).read_text()]
    assert survivors and not missing, missing
