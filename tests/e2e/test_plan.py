"""The command that plans: files, reproducible numbers, and bad input in one line each."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seqvae.cli.main import main
from tests.worlds import make_data

SIZES = ["length=8", "image_size=16"]
BUDGET = [f"trainer.{key}" for key in ("steps=1", "batch_size=2", "clip_length=4", "context=4")]
SMALL = ["environments=3", "steps=4", "simulations=5", "depth=3", "context=3", "threads=1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    data = make_data(folder / "data", "avoidance", "train=2", "val=1", *SIZES)
    still = make_data(folder / "billiards", "billiards", "train=2", "val=1", *SIZES)
    for name, words in {
        "reward": ["model=stove_reward", f"data={data}"],
        "plain": ["model=stove", f"data={data}"],
        "still": ["model=stove", f"data={still}"],
    }.items():
        assert main(["train", f"run={folder / name}", *words, *BUDGET]) == 0
    return folder


def plan(*words):
    return main(["plan", "image_size=16", *SMALL, *words])


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_model_plans_and_is_compared(runs, capsys):
    run = f"run={runs / 'reward'}"
    assert plan(run, "world=simulator", "shown=0") == 0
    truth = runs / "reward" / "plans" / "mcts_simulator"
    assert sorted(file.name for file in truth.iterdir()) == ["metrics.json", "table.md"]
    assert plan(run, f"against={truth}", "shown=2") == 0
    folder = runs / "reward" / "plans" / "mcts_model"
    assert sorted(file.name for file in folder.iterdir()) == ["metrics.json", "plan.mp4", "table.md"]
    found = read(folder)
    assert found["row"] == "MCTS model" and found["moves"] == 12
    returns = {row: np.array(values) for row, values in found["returns"].items()}
    assert returns.keys() == {"MCTS model", "random", "MCTS simulator"}
    assert (returns["MCTS simulator"] == read(truth)["returns"]["MCTS simulator"]).all()
    assert (returns["random"] == read(truth)["returns"]["random"]).all()
    above = found["values"]["return_above_random"]
    assert above["mean"] == pytest.approx((returns["MCTS model"] - returns["random"]).mean())
    assert found["config"]["planner"]["_target_"] == "seqvae.planning.mcts.MCTS"
    assert "MCTS model" in (folder / "table.md").read_text() in capsys.readouterr().out
    # the same seed gives the same returns, and random actions alone those of the floor
    assert plan(run, "shown=0", f"out={runs / 'again'}") == 0
    assert read(runs / "again")["returns"]["MCTS model"] == found["returns"]["MCTS model"]
    assert plan("world=simulator", "planner=random", f"out={runs / 'floor'}") == 0
    assert read(runs / "floor")["returns"] == {"random": found["returns"]["random"]}


@pytest.mark.parametrize("planner", ["cem", "mppi", "shooting"])
def test_vectors_of_actions(runs, planner):
    words = ["world=simulator", "sim=avoidance_steered", f"planner={planner}", f"out={runs / planner}"]
    words += [] if planner == "shooting" else ["planner.iterations=2"]
    assert plan(*words, "shown=1") == 0
    assert (
        read(runs / planner)["row"]
        == {"cem": "CEM", "mppi": "MPPI"}.get(planner, "RandomShooting") + " simulator"
    )


def test_goals(runs):
    """On the truth goals near by are reached, more than at random; a model without rewards plans too."""
    words = ["sim=two_room", "world=simulator", "goal=12", "planner=cem", "planner.iterations=3", "shown=0"]
    words += ["environments=8", "steps=14", "simulations=60", "depth=10", f"out={runs / 'rooms'}"]
    assert plan(*words) == 0
    returns = {row: np.array(values) for row, values in read(runs / "rooms")["returns"].items()}
    assert set(returns["CEM simulator"]) <= {0, 1} and returns["CEM simulator"].mean() >= 7 / 8
    assert returns["random"].mean() < returns["CEM simulator"].mean()
    assert plan(f"run={runs / 'plain'}", "goal=3", f"out={runs / 'towards'}", "shown=1") == 0
    assert set(read(runs / "towards")["returns"]["MCTS model"]) <= {0, 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run={runs}/still"], "a planner needs a model that follows actions"),
        (["run={runs}/plain"], "this model has no reward part"),
        (["run={runs}/reward", "sim=avoidance_steered", "planner=shooting"],
         "sim=avoidance_steered: takes vectors of 2 numbers, and the model follows 9 actions"),
        (["run={runs}/reward", "sim=billiards"], "nobody acts in Billiards"),
        (["run={runs}/reward", "planner=cem", "planner.iterations=2"],
         "searches vectors of numbers, and the world has 9 actions"),
        (["run={runs}/reward", "image_size=32"], "say image_size=16"),
        (["run={runs}/nowhere"], "nowhere"),
        (["run={runs}/nowhere", "world=simulator"], "nowhere"),
        ([], "run: is missing"),
        (["world=simulator"], "out: is missing"),
        (["world=dream"], "world=dream: expected model or simulator"),
        (["run={runs}/reward", "against={runs}/data"], "there is no metrics.json"),
        (["run={runs}/reward", "planner.luck=1"], "planner.luck"),
        (["run={runs}/reward", "planner.simulations=3"], "planner.simulations: is set by"),
        (["run={runs}/reward", "planner=fish"], "fish"),
        (["run={runs}/reward", "discount=2"], "discount=2"),
        (["run={runs}/reward", "goal=0"], "goal=0: expected at least 1"),
        (["run={runs}/reward", "near=0"], "near=0.0: expected a distance above 0"),
        (["run={runs}/reward", "steps=0"], "steps=0: expected at least 1"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(runs, words, message, tmp_path, capsys):
    before = sorted(runs.rglob("*"))
    capsys.readouterr()
    assert plan(*(word.format(runs=runs) for word in words)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line and line.startswith("seqvae plan: ")
    assert sorted(runs.rglob("*")) == before


def test_other_starts_are_not_compared(runs, capsys):
    assert plan("world=simulator", "planner=random", f"out={runs / 'few'}") == 0
    capsys.readouterr()
    words = ["world=simulator", f"against={runs / 'few'}", f"out={runs / 'other'}"]
    assert plan(*words, "seed=1") == 2
    assert "was made with seed=0, and here it is 1" in capsys.readouterr().err
    assert not (runs / "other").exists()
