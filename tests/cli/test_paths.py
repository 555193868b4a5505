"""Paths are taken literally, whatever characters a file name may hold, by every command."""

from __future__ import annotations

import random

import pytest

from data_gen.__main__ import main as data_gen
from data_gen.cli.configs import compose
from data_gen.cli.overrides import PATHS, literal, parse_overrides
from seqvae import checkpoint
from seqvae.cli.main import main
from tests.cli.tiny import TINY

CHARACTERS = "a\\\\\\'\"${}$$ {,=:[]()~+-#%&*?!@^|<>\t\n.äé漢"
HOSTILE = "it's ${a},b=c [d]{e} \"q\" \\ %d \\' ü\n~(x) \\"


def test_any_text_stands_for_itself():
    rng = random.Random(0)
    for _ in range(1000):
        text = "".join(rng.choices(CHARACTERS, k=rng.randint(1, 9)))
        (override,) = parse_overrides([f"data={text}"], PATHS["train"])
        assert literal(override) == text
        # and again, as a sweeper hands it on
        (override,) = parse_overrides([f"data={override.get_value_element_as_str()}"])
        assert literal(override) == text


@pytest.mark.parametrize("text", [HOSTILE, "a=b", "choice(a,b)", "1", "true", "[a"])
def test_a_composed_config_holds_the_text(text):
    assert compose("evaluate", [f"run={text}", "data=x"])["run"] == text


def test_no_text_is_null():
    assert compose("train", ["init=", "val=null"]) == compose("train")


def test_a_sweep_over_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (one,) = parse_overrides(["run=a,b"], PATHS["train"], sweeps=True)
    assert one.is_sweep_override()
    (tmp_path / "a,b").mkdir()
    (one,) = parse_overrides(["run=a,b"], PATHS["train"], sweeps=True)
    assert literal(one) == "a,b"


def test_every_command_takes_every_name(tmp_path, monkeypatch, capsys):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    monkeypatch.chdir(folder)
    data, run, file = f"../{HOSTILE}/da'ta", f"r:1,u=n's {HOSTILE}", f"../{HOSTILE}/da'ta/test.h5"
    sizes = ["train=2", "val=2", "test=2", "length=12", "image_size=16", "workers=1"]
    for words in (
        ["sim=billiards", f"out={data}", *sizes],
        ["preview", f"data={file}", "out=p:re,view"],
        ["export", "format=gswm", f"data={data}", "out=g=s"],
        ["import", "format=gswm", "data=g=s", "out=i${m}"],
    ):
        assert data_gen(words) == 0
    for words in (
        ["train", *TINY, f"data={data}", f"val={file}", f"run={run}"],
        ["train", f"run={run}", "resume=true", "trainer.steps=3"],
        ["train", *TINY, f"data={data}", f"init={run}", "run=${now}"],
        ["rollout", f"run={run}", f"data={file}", "horizon=3", "out=o:1'ut %d"],
        ["evaluate", f"run={run}", f"data={file}", "videos=1", "iwae=0"],
        ["inspect", file, "out=s'.png"],
        ["inspect", run],
        ["report", f"run={run}", "out=re'p.html"],
        ["export", f"run={run}", "out=ex'p"],
        ["train", "-m", *TINY, f"data={data}", "run=swe'ep", "seed=0,1"],
        ["compare", "runs=swe'ep", "out=com'p"],
        ["compare", f"runs=[{run},${{now}}]", "out=com${p}"],
    ):
        assert main(words) == 0, capsys.readouterr().err
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {f"{run}/evaluation/comparison_0.mp4", "${now}/last.pt", "o:1'ut %d/rollout.mp4", "s'.png"} <= made
    assert {
        "ex'p/model.safetensors",
        "swe'ep/seed=1/last.pt",
        "p:re,view/preview.mp4",
        "i${m}/test.h5",
    } <= made
    assert {"re'p.html", "com'p/comparison.html", "com${p}/comparison.md"} <= made
    assert checkpoint.load(folder / run / checkpoint.LAST).config["data"] == data
