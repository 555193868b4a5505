"""The pages on models and simulators of one's own: every block on them runs, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import seqvae
from data_gen.__main__ import main as data_gen
from data_gen.contracts import CHECKS as OF_WORLDS
from data_gen.schema import open_dataset
from data_gen.simulator import build_simulator
from seqvae import contracts
from seqvae.cli.main import main
from seqvae.config import instantiate, load_plugins, parts
from seqvae.contracts.models import CHECKS
from seqvae.contracts.objectives import OBJECTIVE_CHECKS, a_schedule_is_a_pure_finite_factor
from seqvae.contracts.subjects import foreign_parts, subjects_of
from seqvae.evaluate import Metric
from seqvae.objectives import LatentELBO, Objective
from seqvae.planning.planner import Planner
from seqvae.prediction import PositionPrediction
from seqvae.types import Schedule
from tests.models import make
from tests.own_code import own_code

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = {"data_gen": data_gen, "seqvae": main}
SHORT = {"evaluate": ["videos=0", "iwae=0", "threads=1"], "train": ["threads=1"]}  # beside what the page says


def blocks(page: str) -> tuple[dict[str, str], list[list[str]]]:
    """The files and the commands of a page, in their order."""
    text = (DOCS / page).read_text()
    codes = re.findall(r"```python\n(.*?)```", text, re.S)
    files = {code.split("\n", 1)[0].removeprefix("# "): code for code in codes}
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.S)).splitlines()
    fences = re.findall(r"^```(\w+)$", text, re.M)
    assert set(fences) == {"python", "sh"} and len(files) == fences.count("python")
    return files, [shlex.split(line) for line in lines]


def write(files: dict[str, str]) -> list[str]:
    for name, code in files.items():
        Path(name).write_text(code)
    return [f"./{name}" for name in files]


def run_page(folder: Path, page: str) -> None:
    files, commands = blocks(page)
    write(files)
    for python, flag, program, *words in commands:
        assert (python, flag) == ("python", "-m")
        if program in PROGRAMS:  # the contracts have tests of their own below
            assert PROGRAMS[program]([*words, *SHORT.get(words[0], [])]) == 0, words


def test_the_page_on_models(tmp_path, capsys):
    with own_code(tmp_path / "own") as folder:
        run_page(folder, "own_model.md")
        metrics = json.loads(Path("runs/scored/metrics.json").read_text())
        assert metrics["shares"]["leaving"]["n"] == 4
        assert np.isfinite(metrics["table"]["model"]["brightness_1_12"]["mean"])
        assert "\nmodel,brightness,20,12," in Path("runs/scored/curves.csv").read_text()
        table = Path("runs/scored/table.md").read_text()
        assert "| brightness | reconstruction " in table and "\n| leaving " in table
        model = seqvae.load("runs/mine")
        assert type(model.dynamics).__module__ == "my_dynamics" and model.dynamics.friction != 0.9
        assert "resuming runs/mine at step 20" in capsys.readouterr().err
    assert not any(name.startswith("my_") for of_kind in parts().values() for name in of_kind)
    with pytest.raises(seqvae.errors.UserError, match=r"it was made with the plugin ./my_dynamics.py: add "):
        seqvae.load(tmp_path / "own/runs/mine")
    with own_code(tmp_path / "own"):
        assert seqvae.load("runs/mine", plugins=["./my_dynamics.py"]).dynamics.slots == 3


def test_the_page_on_simulators(tmp_path):
    with own_code(tmp_path / "own") as folder:
        run_page(folder, "own_simulator.md")
        with open_dataset(folder / "data/carousel/test.h5") as file:
            places, frames, sizes = file["positions"][:], file["imgs"][:], file["sizes"][:]
        assert places.shape == (8, 20, 3, 2) and np.allclose(sizes, 0.08)
        x, y = (places[0, 7, 2] * 32).astype(int)
        assert frames[0, 7, y, x, 2] == 255, "the third ball is blue"
        with open_dataset(folder / "data/squares/test.h5") as file:
            masks = file["masks"][:]
        at = places[:, :, 2] * 32 - 0.5  # of the same seed; the last one is in front of all others
        for axis, name in ((0, "x"), (1, "y")):
            pixels = (masks == 3).any(2 + axis if axis == 0 else 3)
            centre = (pixels * np.arange(32)).sum(-1) / pixels.sum(-1)
            assert np.abs(centre - at[..., axis]).max() <= 0.5 + 1e-6, name
        card = (folder / "data/carousel/README.md").read_text()
        assert "'plugins=[./my_world.py]' sim=my_world.Carousel train=64" in card
        for name in ("my_world.Carousel", "my_squares.Squares"):
            for check in OF_WORLDS.values():
                check(build_simulator({"_target_": name}))


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    with own_code(tmp_path_factory.mktemp("templates")):
        load_plugins(write(blocks("own_model.md")[0]))
        yield foreign_parts()


def test_there_is_a_template_for_every_kind(templates):
    kinds = {kind for kind in parts() if len(parts()[kind]) > 1 or kind in (Metric, PositionPrediction)}
    assert kinds == set(templates.values()) and len(kinds) == 17


QUICK = (
    "parts_have_their_base_classes",
    "a_saved_model_comes_back_as_it_was",
    "the_future_changes_nothing_before_it",
    "a_gradient_reaches_every_weight",
    "training_under_autocast",
    "pixels_of_missing_frames_reach_neither_terms_nor_gradients",
)


def test_the_templates_of_models_keep_the_contract(templates):
    apart = (Objective, Schedule, Metric, PositionPrediction, Planner)
    for target, kind in templates.items():
        if kind not in apart:
            subject = subjects_of(target, kind)[0]
            for check in QUICK:
                torch.manual_seed(0)
                CHECKS[check](subject.make)


def test_the_templates_of_trainings_keep_the_contract(templates):
    objective = instantiate({"_target_": "my_training.WarmUp"}, "objective", Objective)
    for check in OBJECTIVE_CHECKS.values():
        check(objective, make("stove"))
    rollout = {"_target_": "my_training.GaussianPrediction", "context": 3}
    config = {"_target_": "seqvae.objectives.LatentELBO", "rollout": rollout}
    latent = instantiate(config, "objective", Objective)
    assert isinstance(latent, LatentELBO) and type(latent.rollout).__name__ == "GaussianPrediction"
    OBJECTIVE_CHECKS["terms_are_nats_per_sequence_and_frame"](latent, make("stove"))
    sawtooth = instantiate({"_target_": "my_training.Sawtooth"}, "schedule", Schedule)
    a_schedule_is_a_pure_finite_factor(sawtooth)


BREAKS = {  # sequences that depend on each other
    "own_model.md": ("my_dynamics.py", "return LastState(z,", "return LastState(z.mean(0, True) + 0 * z,"),
    "own_simulator.md": ("my_world.py", "angle + turn,", "angle + turn.mean(),"),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", BREAKS)
def test_the_command_of_the_contracts(page, tmp_path):
    files, commands = blocks(page)
    (command,) = [words for words in commands if words[2] == contracts.__name__]
    name, part, broken = BREAKS[page]
    for file, code in (files | {"my_broken.py": files[name].replace(part, broken)}).items():
        (tmp_path / file).write_text(code)
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent), "OMP_NUM_THREADS": "1"}
    run = partial(subprocess.run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    done = run([sys.executable, *command[1:], "-q"])
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
    found = run([sys.executable, *command[1:3], "plugins=[./my_broken.py]", "-q"])
    assert found.returncode == 1 and re.search("FAILED .*(batch|independent)", found.stdout), found.stdout
