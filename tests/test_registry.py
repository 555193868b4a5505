"""Configs make registered parts and nothing else, whoever wrote them."""

from __future__ import annotations

import importlib
import pkgutil
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import data_gen
import seqvae
from data_gen.__main__ import main as generate
from data_gen.cli.configs import compose
from data_gen.errors import DataError
from data_gen.simulator import build_simulator, worlds
from seqvae import checkpoint, config
from seqvae.aliases import ALIASES, ARGUMENTS, rename_targets
from seqvae.build import DataSpec, build
from seqvae.cli.main import main
from seqvae.config import instantiate, make, parts
from seqvae.errors import UserError
from seqvae.objectives import ELBO, Objective
from seqvae.prediction import PositionPrediction
from seqvae.train.optim import Optim
from seqvae.types import FrameModel
from tests.train.tiny import untrained


def modules() -> list[types.ModuleType]:
    """Every module of both packages that can be imported without starting a program."""
    found = []
    for package in (seqvae, data_gen):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("__main__"):
                found.append(importlib.import_module(info.name))
    return found


def names() -> dict[str, bool]:
    """The dotted name of everything that can be called through both packages -> whether it is their own."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            if callable(value):
                own = (getattr(value, "__module__", None) or "").startswith(("seqvae", "data_gen"))
                found[f"{module.__name__}.{name}"] = own
    return found


def refusal(name: str, kind: type) -> str:
    try:
        instantiate({"_target_": name}, "key", kind)
    except UserError as error:
        return str(error)
    return f"{name} was made"


def test_a_config_makes_no_callable_but_the_registered_parts(monkeypatch):
    monkeypatch.setattr(config, "did_you_mean", lambda *_: "")  # most of the time, for so many refusals
    registered = {name for of_kind in parts().values() for name in of_kind}
    everything = names()
    assert len(everything) > 1500 and registered <= everything.keys()
    for number, (kind, of_kind) in enumerate(parts().items()):
        for name, own in everything.items():
            if name in of_kind or not (own or number == 0):  # borrowed ones are tried under one kind
                continue
            words = refusal(name, kind)
            assert words.startswith("key._target_: ") and "\n" not in words, words


def test_a_config_builds_no_world_but_the_registered_ones():
    everything = names()
    assert worlds().keys() <= everything.keys() and len(worlds()) == 13
    for name, own in everything.items():
        if own and name not in worlds():
            with pytest.raises(DataError, match="sim._target_="):
                build_simulator({"_target_": name})
    with pytest.raises(DataError, match="no such simulator; did you mean data_gen.sims.pong.Pong?"):
        build_simulator({"_target_": "data_gen.sims.pong.Ping"})


def test_every_part_says_of_what_kind_it_is():
    for kind, of_kind in parts().items():
        for name, part in of_kind.items():
            assert part.__doc__ and kind.__doc__, name
            methods = [m for m, f in vars(kind).items() if isinstance(f, types.FunctionType)]
            assert all(hasattr(part, method) for method in methods if method[0] != "_"), name


def test_every_yaml_names_parts_of_today():
    registered = {name for of_kind in parts().values() for name in of_kind}
    for file in Path(__file__).parents[1].glob("configs/*/*.yaml"):
        for line in file.read_text().splitlines():
            name = line.partition("_target_: ")[2]
            assert not name.startswith("seqvae") or name in registered, f"{file}: {name}"


def test_former_names_stand_for_parts_of_today():
    registered = {name for of_kind in parts().values() for name in of_kind}
    assert set(ALIASES.values()) <= registered and not registered & ALIASES.keys()
    assert ARGUMENTS.keys() <= ALIASES.keys()
    for former, name in ALIASES.items():
        renamed = {"_target_": name} | ARGUMENTS.get(former, {})
        assert rename_targets({"a": [{"_target_": former}]}) == {"a": [renamed]}


def test_the_objective_of_older_runs_begins_at_frame_3():
    older = {"_target_": "seqvae.objectives.TemporalELBO"}
    objective = instantiate(older, "objective", Objective)
    assert isinstance(objective, ELBO) and (objective.start, objective.beta) == (3, 1.0)
    assert instantiate(older | {"start": 1}, "objective", Objective).start == 1
    assert rename_targets(older) == compose("train", [])["objective"], "resumed with its experiment named"


def test_configs_of_older_checkpoints_are_read_with_names_of_today(tmp_path, given):
    rollout = {"_target_": "seqvae.objectives.Rollout", "context": 8}
    latent = {"_target_": "seqvae.objectives.LatentELBO", "rollout": rollout}
    older = given.config | {"stages": {"motion": {"source": "evidence", "objective": latent}}}
    checkpoint.save(tmp_path / "older.pt", replace(given, config=older))
    stage = checkpoint.load(tmp_path / "older.pt").config["stages"]["motion"]
    assert stage["objective"]["rollout"] == rollout | {"_target_": "seqvae.prediction.PositionPrediction"}
    assert isinstance(instantiate(latent, "objective", Objective).rollout, PositionPrediction)


PRECIOUS = b"a file of the victim"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("attack")
    sizes = ["train=2", "val=1", "test=0", "length=12", "workers=1"]
    assert generate(["sim=billiards", f"out={folder / 'data'}", *sizes]) == 0
    return folder


@pytest.fixture
def victim(tmp_path) -> Path:
    (tmp_path / "victim").write_bytes(PRECIOUS)
    return tmp_path / "victim"


@pytest.fixture
def given(folder) -> checkpoint.Checkpoint:
    """A checkpoint as it should be, but for the training that it does not have."""
    given = compose("train", ["model=linear", f"data={folder / 'data'}", "trainer.steps=1"])
    given = {key: value for key, value in given.items() if key not in ("run", "resume")}
    spec = DataSpec(32, 32, 3, 0, 3, 10.0)
    torch.manual_seed(0)
    return checkpoint.Checkpoint(1, given, spec, build(given["model"], spec).state_dict())


def attacks(victim: Path, source: Path) -> dict[str, dict]:
    """Configs that write over the victim's file, or make a folder, if a config can call what it likes."""
    find = {"_target_": "seqvae.checkpoint.find", "run_or_file": str(victim)}
    load = {"_target_": "seqvae.checkpoint.load", "path": str(source)}
    write = {"_target_": "seqvae.checkpoint.save_weights", "path": find, "checkpoint": load}
    make_folder = {"_target_": "seqvae.cli.data.make_folder", "out": str(victim.with_suffix(".folder"))}
    return {"call": write, "folder": make_folder, "factory": write | {"_partial_": True}}


def untouched(victim: Path) -> bool:
    return victim.read_bytes() == PRECIOUS and not victim.with_suffix(".folder").exists()


@pytest.mark.parametrize("attack", ["call", "folder", "factory"])
@pytest.mark.parametrize("key", ["frame", "frame.encoder", "frame.glimpse", "dynamics.std"])
def test_a_crafted_checkpoint_calls_nothing(folder, tmp_path, given, victim, capsys, key, attack):
    checkpoint.save(tmp_path / "source.pt", given)
    crafted = attacks(victim, tmp_path / "source.pt")[attack]
    model = {part: dict(own) for part, own in given.config["model"].items() if own is not None}
    part, _, argument = key.partition(".")
    model[part] = model[part] | {argument: crafted} if argument else crafted
    run = tmp_path / "run"
    run.mkdir()
    bad = given.config | {"model": model}
    checkpoint.save(run / checkpoint.LAST, replace(given, step=0, config=bad, training=untrained()))
    with pytest.raises(UserError):
        seqvae.load(run)
    data = folder / "data" / "val.h5"
    for command in (
        ["inspect", str(run)],
        ["evaluate", f"run={run}", f"data={data}", f"out={tmp_path / 'out'}"],
        ["rollout", f"run={run}", f"data={data}", "horizon=2", f"out={tmp_path / 'out'}"],
        ["train", f"run={run}", "resume=true"],
    ):
        assert main(command) == 2, command
        assert f"model.{key}" in capsys.readouterr().err
    assert untouched(victim)


def test_weights_to_start_from_are_read_without_their_config(folder, tmp_path, given, victim):
    crafted = given.config | {"model": attacks(victim, tmp_path)["folder"], "objective": {"_target_": "x"}}
    checkpoint.save(tmp_path / "given.pt", replace(given, config=crafted))
    command = [f"data={folder / 'data'}", f"run={tmp_path / 'run'}", f"init={tmp_path / 'given.pt'}"]
    short = ["trainer.steps=1", "trainer.batch_size=2", "trainer.context=3"]
    assert main(["train", "model=linear", *short, *command]) == 0
    assert untouched(victim)


@pytest.mark.parametrize("key", ["objective", "optim.schedule", "trainer.steps"])
def test_a_crafted_run_calls_nothing_when_resumed(tmp_path, given, victim, capsys, key):
    run = tmp_path / "run"
    crafted = attacks(victim, tmp_path)["folder"]
    place, _, argument = key.partition(".")
    bad = given.config | {place: given.config[place] | {argument: crafted} if argument else crafted}
    run.mkdir()
    checkpoint.save(run / checkpoint.LAST, replace(given, step=0, config=bad, training=untrained()))
    assert main(["train", f"run={run}", "resume=true"]) == 2
    assert key in capsys.readouterr().err and untouched(victim)


def test_typed_records_check_what_is_nested_in_them(tmp_path, victim):
    with pytest.raises(UserError, match="optim.schedule._target_: there is no Schedule seqvae.cli.data.make"):
        make(Optim, {"schedule": attacks(victim, tmp_path)["folder"]}, "optim")
    with pytest.raises(UserError, match="optim.lr: takes no part"):
        make(Optim, {"lr": attacks(victim, tmp_path)["folder"]}, "optim")
    assert untouched(victim)


def test_a_name_of_another_kind_is_refused_with_what_is_known():
    with pytest.raises(UserError) as caught:
        instantiate({"_target_": "seqvae.frames.vae.VAE"}, "objective", Objective)
    words = str(caught.value)
    assert "objective._target_: expected a part of kind Objective, got seqvae.frames.vae.VAE" in words
    assert all(name in words for name in parts()[Objective])
    with pytest.raises(UserError, match="did you mean seqvae.frames.vae.VAE"):
        instantiate({"_target_": "seqvae.frames.vae.Vae"}, "model.frame", FrameModel)
