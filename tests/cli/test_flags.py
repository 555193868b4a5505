"""Hydra's flags: help, composed configs, configs of the user's, completion."""

from __future__ import annotations

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

import seqvae
from data_gen.__main__ import main as data_gen
from data_gen.cli.command import CONFIGS
from data_gen.cli.configs import compose
from data_gen.cli.main import COMMANDS as OF_DATA
from seqvae import checkpoint
from seqvae.cli.main import COMMANDS as OF_MODELS
from seqvae.cli.main import main
from tests.cli.tiny import TINY

PROGRAMS = [(main, command) for command in OF_MODELS.values()]
PROGRAMS += [(data_gen, command) for command in OF_DATA.values()]


@pytest.mark.parametrize(("program", "command"), PROGRAMS, ids=[command.config for _, command in PROGRAMS])
def test_help_has_keys_comments_and_options(program, command, capsys):
    assert program([command.name, "--help"]) == 0
    shown = capsys.readouterr().out
    config = OmegaConf.load(CONFIGS / f"{command.config}.yaml")
    for key in config:
        assert key == "defaults" or f"\n{key}:" in shown
    comments = [
        line.partition("#")[2] for line in (CONFIGS / f"{command.config}.yaml").read_text().splitlines()
    ]
    assert sum(comment in shown for comment in comments if comment) > len(config) / 2
    for entry in config.get("defaults", []):
        if not isinstance(entry, str):
            (group,) = entry
            options = [file.stem for file in (CONFIGS / group).glob("*.yaml")]
            assert f"\n  {group} " in shown and all(option in shown for option in options)


def test_the_version_of_both_programs(capsys):
    assert main(["--version"]) == data_gen(["-V"]) == 0
    assert capsys.readouterr().out == f"seqvae {seqvae.__version__}\ndata_gen {seqvae.__version__}\n"


def test_help_has_the_keys_of_chosen_options(capsys):
    assert main(["train", "-h"]) == 0
    shown = capsys.readouterr().out
    assert "\n  clip_length: 8" in shown and "\n  lr: 1.0e-3" in shown and "# trainer=default" in shown


def test_usage_of_the_programs(capsys):
    for program, commands in ((main, OF_MODELS), (data_gen, OF_DATA)):
        assert program(["--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("usage: ") and sum(name in shown for name in commands) >= 4


def test_a_composed_config_is_shown(capsys):
    words = ["experiment=stove_gravity", "optim.lr=0.5", "model.frame.glimpse=7"]
    assert main(["train", *words, "--cfg", "job"]) == 0
    shown = OmegaConf.to_container(OmegaConf.create(capsys.readouterr().out))
    assert shown | {"choices": None} == compose("train", words) | {"choices": None}
    assert main(["train", "-c", "all"]) == 0
    assert "hydra:" in capsys.readouterr().out
    assert main(["evaluate", "--cfg", "job", "-p", "context"]) == 0
    assert data_gen(["sim=gravity", "--cfg", "job"]) == 0
    assert "name: gravity" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--info"], ["-i", "defaults-tree"], ["--hydra-help"], ["--version"]])
def test_hydras_own_texts(flags, capsys):
    assert main(["train", *flags]) == 0 and data_gen(["preview", *flags]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fish"], "unrecognized arguments: --fish; options are key=value, without dashes"),
        (["--cfg", "fish"], "invalid choice: 'fish'"),
        (["-m", "--cfg", "job"], "give one of --run, --multirun"),
        (["--resolve"], "--resolve goes with --cfg"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
        (["--cfg", "job", "trainer.stepz=1"], "trainer.stepz: no such key; did you mean trainer.steps"),
        (["hydra/launcher=fish"], "Could not find 'hydra/launcher/fish'; known: basic"),
        (["hydra.fish=1"], "hydra.fish"),
        (["hydra.verbose=[1"], "hydra.verbose=[1: "),
    ],
)
def test_bad_flags_are_one_line(words, message, capsys):
    assert main(["train", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("seqvae train: ") and said.count("\n") == 1


MINE = """\
# @package _global_
defaults:
  - override /model: linear
  - override /optim: mine

data: {data}
threads: 1
trainer: {{steps: 1, batch_size: 2, clip_length: 5, context: 4}}
"""


@pytest.fixture
def own_configs(data, tmp_path):
    folder = tmp_path / "my configs"
    for group, name, text in (
        ("experiment", "small", MINE.format(data=data)),
        (
            "experiment/deep",
            "smaller",
            "# @package _global_\ndefaults: [/experiment/small, _self_]\nseed: 5\n",
        ),
        ("optim", "mine", "name: adamw\nlr: 0.25\n"),
    ):
        (folder / group).mkdir(parents=True, exist_ok=True)
        (folder / group / f"{name}.yaml").write_text(text)
    return folder


def test_experiments_of_the_users(own_configs, tmp_path, capsys):
    given = ["train", "--config-dir", str(own_configs), f"run={tmp_path / 'run'}"]
    assert main([*given, "experiment=small", "optim.lr=0.5", "trainer.log_every=1"]) == 0
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST).config
    assert (saved["optim"]["name"], saved["optim"]["lr"]) == ("adamw", 0.5)
    assert saved["choices"]["experiment"] == "small" and saved["choices"]["optim"] == "mine"
    capsys.readouterr()
    for words, message in {
        "experiment=smal": "experiment=smal: no such experiment; did you mean small",
        "experiment=small optim.lrr=1": "optim.lrr: no such key; did you mean optim.lr",
        "experiment=small trainer.fish=1": "trainer.fish: no such key",
    }.items():
        assert main([*given, *words.split()]) == 2
        assert message in capsys.readouterr().err
    assert main(["train", "--help", "-cd", str(own_configs)]) == 0
    assert "small" in capsys.readouterr().out


def test_options_in_folders_and_on_hydras_search_path(own_configs, capsys):
    search = f"hydra.searchpath=['file://{own_configs}']"
    assert main(["train", search, "experiment=deep/smaller", "--cfg", "job"]) == 0
    assert "seed: 5" in capsys.readouterr().out
    assert main(["train", "experiment=deep/smaller", "--cfg", "job"]) == 2
    assert "no such experiment" in capsys.readouterr().err


def test_a_key_that_a_yaml_of_the_users_adds_is_refused(own_configs, tmp_path, capsys):
    (own_configs / "experiment" / "typo.yaml").write_text("# @package _global_\nworkerz: 3\n")
    words = ["-cd", str(own_configs), "experiment=typo", f"run={tmp_path / 'run'}"]
    assert main(["train", *words]) == 2
    assert "workerz: no such key; did you mean workers" in capsys.readouterr().err


COMPLETIONS = {
    "seqvae ": "train rollout evaluate plan play inspect report compare export",
    "seqvae ev": "evaluate",
    "seqvae train mod": "model. model=",
    "seqvae train model=stove_": "model=stove_colour model=stove_double model=stove_paper model=stove_reward",
    "seqvae train -m trainer.cl": "trainer.clip_length=",
    "python -m seqvae train optim=": "optim=adam optim=stove",
    "seqvae evaluate ho": "horizon=",
    "seqvae fish ": "",
    "seqvae inspect 'a b' fr": "",
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_completion(line, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == COMPLETIONS[line] and shown.err == ""


def test_completion_of_data_gen(monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", "data_gen sim=grav")
    assert data_gen(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == ["sim=gravity"]
    assert data_gen(["-sc", "install=bash"]) == 0
    assert capsys.readouterr().out.endswith("hydra_bash_completion data_gen\n")
    assert main(["train", "-sc", "install=bash"]) == 0
    assert capsys.readouterr().out.endswith("hydra_bash_completion seqvae\n")
    assert main(["-sc"]) == 2 and "say install=bash" in capsys.readouterr().err


def test_texts_need_no_torch():
    """Help, composed configs, completion and bad input come at once."""
    program = f"""
import os, sys
from seqvae.cli.main import main
os.environ["COMP_LINE"] = "seqvae train optim."
assert main(["--help"]) == main(["train", "--help"]) == main(["--version"]) == 0
assert "hydra" not in sys.modules
assert main(["train", "--cfg", "job"]) == main(["-sc", "query=bash"]) == 0
assert main(["train", "--fish"]) == main(["train", "trainer.stepz=1"]) == 2
assert main(["train", "-m", "model=fish,vae", {" ".join(map(repr, TINY[:1]))}]) == 2
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
