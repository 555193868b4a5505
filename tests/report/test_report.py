"""The page of a run: what is in it, what is said to be missing, and what a stranger's texts cannot do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from data_gen.cli.configs import compose, flatten
from seqvae import checkpoint
from seqvae.cli.main import main
from seqvae.cli.report import train_command
from seqvae.report.read import read_run
from seqvae.report.training import find_stages, read_training
from seqvae.shipped import shown_path

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>$$\\frac{a}{b}$$"


def make(run: Path, *options: str) -> str:
    """Make the page of a run; return its text without the script of Bokeh."""
    out = run.parent / "page.html"
    assert main(["report", f"run={run}", f"out={out}", *options]) == 0
    text = out.read_text()
    assert len(text) < 5e6
    return re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_a_page_holds_what_was_trained_and_measured(run, folder, capsys):
    text = make(run)
    assert re.search(r"page.html: \d\.\d MB", capsys.readouterr().out)
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    value = metrics["table"]["model"]["position_error_1_10"]["mean"]
    assert f"<strong>{value:.4f}"[:14] in text and "strongest baseline" in text
    for words in ("SuPAIR", "LinearDynamics", "billiards", "linear, from true states", "Card of", "torch"):
        assert words in text, words
    assert f"{metrics['data_sha256'][:12]}</code> as in the card" in text
    assert text.count("data:video/mp4;base64,") == 1 and text.count('class="item"') >= 8
    assert "Calibration of sampled futures" in text and "Samples of the prior" in text
    commands = unescape(text)
    assert (
        f"python -m data_gen sim=billiards train=4 val=2 test=5 length=16 image_size=16 seed=0 out={folder}"
        in (commands)
    )
    assert f"python -m seqvae evaluate run={folder}/runs/seed=0" in commands
    assert 'class="missing"' not in text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text), "loads something"


def test_what_is_not_there_is_said_with_its_command(run):
    shutil.rmtree(run / "evaluation")
    text = unescape(make(run))
    assert "has not been evaluated" in text
    assert f"python -m seqvae evaluate run={run} data=" in text and "sample=true" in text
    assert "Loss" in text and "Position error over time" not in text


def test_evaluate_makes_the_evaluation_first(run):
    shutil.rmtree(run / "evaluation")
    text = make(run, "evaluate=true", "threads=1")
    assert (run / "evaluation" / "sequences.npz").is_file()
    assert "Position error over time" in text and "Calibration of sampled futures" in text


def test_an_evaluation_of_an_earlier_version_gives_a_page(run):
    """Without files and keys that came later, and by another schema version."""
    (run / "evaluation" / "sequences.npz").unlink()
    path = run / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    for key in ("calibration", "data_sha256", "environment"):
        del metrics[key]
    path.write_text(json.dumps(metrics | {"schema_version": 1}))
    log = [line for line in (run / "log.jsonl").read_text().splitlines() if '"environment"' not in line]
    (run / "log.jsonl").write_text("\n".join(log) + "\n")
    text = make(run)
    assert "An earlier version evaluated this run" in text and "schema version 1" in text
    assert "Calibration of sampled futures" in text, "two levels of the intervals are known"
    assert "did not record its packages" in text


def test_numbers_that_are_not_finite_are_called_so(run):
    path = run / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["table"]["model"]["position_error_1_10"] = {"mean": None, "se": None, "n": 5}
    path.write_text(json.dumps(metrics))
    curves = run / "evaluation" / "curves.csv"
    curves.write_text(re.sub(r"(model,position_error,9,5),.*", r"\1,nan,nan,5", curves.read_text()))
    assert "not finite" in make(run)


def test_pretrained_weights_have_a_page_without_a_training(tmp_path):
    weights = Path(shutil.copytree(ROOT / "pretrained" / "stove_billiards", tmp_path / "weights"))
    text = make(weights, "sequences=0")
    assert "without the log of their training" in text and "Card of the weights" in text
    assert "has not been evaluated" in text and "GraphDynamics" in text


def test_a_page_shows_no_path_of_the_installation():
    inside = ROOT / "pretrained" / "stove_billiards" / "model.safetensors"
    assert shown_path(inside) == "pretrained/stove_billiards/model.safetensors"
    assert shown_path(Path("runs/mine/best.pt")) == "runs/mine/best.pt"


def test_a_training_without_a_checkpoint_has_a_page(run):
    for name in (checkpoint.BEST, checkpoint.LAST):
        (run / name).unlink()
    shutil.rmtree(run / "evaluation")
    text = make(run)
    assert "has not written a checkpoint yet" in text and "Loss" in text


def test_a_strangers_texts_are_texts(run):
    """In the config, the log, the evaluation and the name of the folder."""
    content = checkpoint.load(run / checkpoint.BEST)
    choices = {"experiment": HOSTILE, "model": HOSTILE}
    config = content.config | {"choices": choices, "data": HOSTILE, "note": HOSTILE}
    checkpoint.save(run / checkpoint.BEST, replace(content, config=config, commit=HOSTILE))
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"kind": "warning", "step": 2, "text": HOSTILE}) + "\n")
        log.write(json.dumps({"kind": "train", "step": 2, HOSTILE: 1.0}) + "\n")
    path = run / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["table"][HOSTILE] = metrics["table"]["static"]
    metrics["config"]["data"] = HOSTILE
    path.write_text(json.dumps(metrics))
    curves = run / "evaluation" / "curves.csv"
    curves.write_text(curves.read_text().replace("\nstatic,", f'\n"{HOSTILE}",'))
    hostile = Path(shutil.move(run, run.with_name("<img src=x onerror=alert(3)>")))
    text = make(hostile)
    assert "<script>alert" not in text and "<img src=x" not in text
    assert "&lt;script&gt;alert" in text


def test_a_model_that_cannot_be_built_still_has_a_page(run, tmp_path):
    content = checkpoint.load(run / checkpoint.BEST)
    parts = content.config["model"] | {"frame": {"_target_": "builtins.print"}}
    checkpoint.save(run / checkpoint.BEST, replace(content, config=content.config | {"model": parts}))
    text = make(run)
    assert "There are no pictures by the model: " in text and "best.pt: model.frame._target_" in text
    assert "Position error" in text


BAD = {
    "no run": (["report"], "run: is missing"),
    "run that is not there": (["report", "run={tmp}/none"], "none: no such run or checkpoint"),
    "folder that is no run": (["report", "run={tmp}"], "is no run"),
    "out of another kind": (["report", "run={run}", "out={tmp}/page.pdf"], "expected a name ending in .html"),
    "data that is not there": (["report", "run={run}", "data={tmp}/none.h5"], "none.h5: no such file"),
    "no evaluation there": (["report", "run={run}", "evaluation={tmp}"], "holds no evaluation"),
    "negative": (["report", "run={run}", "videos=-1"], "videos=-1: expected at least 0"),
    "unknown key": (["report", "run={run}", "video=1"], "did you mean videos"),
    "a place that is a file": (["report", "run={run}", "out={run}/best.pt/page.html"], "cannot be written"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(run, tmp_path, capsys, words, message):
    (tmp_path / "empty").mkdir()
    assert main([word.format(run=run, tmp=tmp_path / "empty") for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("name", ["metrics.json", "curves.csv", "sequences.npz", "bounds.csv"])
def test_a_damaged_file_is_one_line(run, capsys, name):
    (run / "evaluation" / name).write_text(
        '{"table": 3' if name == "metrics.json" else "frame,quantity\n3,4\n"
    )
    assert main(["report", f"run={run}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert name in line and "evaluate the run again" in line and not (run / "report.html").exists()


def test_a_video_that_is_none_is_left_out_with_a_line(run):
    (run / "evaluation" / "comparison_0.mp4").write_bytes(b"no video")
    assert "A video is left out" in make(run)


def test_without_the_extra_one_line_says_how_to_get_it(run, capsys, monkeypatch):
    monkeypatch.setattr("seqvae.report.find_spec", lambda name: None)
    for words in (["report", f"run={run}"], ["compare", f"runs=[{run},{run}]"]):
        assert main(words) == 2
        assert 'pages need bokeh and jinja2: pip install "seqvae[report]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=stove_billiards", "stages.motion.optim.lr=0.002", "seed=3"],
        ["model=linear", "optim.lr=0.5", "data=a folder,with=signs", "trainer.steps=7"],
        ["model=vae", "objective=frame_elbo", "model.frame.encoder.hidden=[3,4]", "trainer.clip_length=1"],
    ],
)
def test_the_command_of_a_training_makes_its_config(words):
    config = compose("train", words)
    command = shlex.split(train_command(config))
    assert command[:4] == ["python", "-m", "seqvae", "train"]
    assert flatten(compose("train", command[4:])) == flatten(config)


def test_a_config_that_no_command_line_has_is_said_to_be_so():
    config = compose("train", ["model=linear"])
    config["optim"] = {"of": "another version"}
    assert train_command(config).startswith("# no command line of this version")


def test_stages_begin_where_the_budgets_before_them_end():
    config = compose("train", ["experiment=stove_billiards"])
    spans = [(span.name, span.begin, span.end) for span in find_stages(config, 5_700)]
    ends = {"objects": (0, 600), "places": (600, 1_600), "motion": (1_600, 5_600), "spread": (5_600, 5_700)}
    assert spans == [(name, *span) for name, span in ends.items()]
    assert len(find_stages(config, 500)) == 1
    config["stages"]["motion"]["trainer"]["minutes"] = 3
    assert find_stages(config, 500) == ()


def test_a_long_log_is_thinned_with_its_ends(tmp_path):
    lines = [
        {"kind": "train", "step": step, "loss": None if step == 5 else 1.0 * step} for step in range(1, 5001)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nhalf a li")
    loss = read_training(tmp_path, {}).train["loss"]
    assert len(loss.step) == 1000 and (loss.step[0], loss.step[-1]) == (1, 5000)
    np.testing.assert_array_equal(loss.step[np.isfinite(loss.value)], loss.value[np.isfinite(loss.value)])


def test_a_record_holds_neither_weights_nor_optimiser(run):
    record = read_run(run)
    assert record.checkpoint.model == {} and record.checkpoint.training is None
    assert sum(record.parameters.values()) == sum(p.numel() for p in record.model.parameters())
    versions = record.log.environments[0]
    assert {"torch", "numpy", "python", "device"} <= versions.keys()
