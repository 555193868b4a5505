"""Plugins: code of the user's own comes from the keyboard or from what is installed, never from a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch

import seqvae
from data_gen import plugins
from data_gen.__main__ import main as data_gen
from data_gen.cli.configs import compose, without_foreign_arguments
from data_gen.errors import DataError
from seqvae import checkpoint
from seqvae.build import build
from seqvae.cli.main import main
from seqvae.config import arguments_of, instantiate, load_plugins
from seqvae.errors import UserError
from seqvae.shapes import check_shapes
from seqvae.types import DataSpec, Dynamics
from tests.cli.tiny import TINY
from tests.models import every_model, make
from tests.own_code import own_code
from tests.refusals import refusal
from tests.train.tiny import untrained

ROOT = Path(__file__).parents[1]
DAMPED = '''\
from seqvae.config import register
from seqvae.dynamics.linear import LinearDynamics
from seqvae.types import Dynamics


@register(Dynamics)
class Damped(LinearDynamics):
    """Objects in straight flight, with an argument that no yaml has."""

    def __init__(self, frame_layout, slots, actions=0, std=None, first_std=1.0, damping: float = 0.5):
        super().__init__(frame_layout, slots, actions, std, first_std)
        self.damping = damping
'''
WORLD = """\
from dataclasses import dataclass
from data_gen.simulator import Simulator, State, register, uneventful_step


@register
@dataclass(frozen=True, kw_only=True)
class Still(Simulator):
    num_objects: int = 2
    size: float = 0.1

    def reset(self, n, rng):
        places = rng.uniform(0.2, 0.8, (n, self.num_objects, 2))
        return State(places, 0 * places)

    def step(self, state, actions=None):
        return uneventful_step(state)
"""
SIZES = ["train=4", "val=2", "test=2", "length=12", "image_size=16", "workers=1"]


@pytest.fixture
def folder(tmp_path):
    with own_code(tmp_path / "own") as folder:
        yield folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "billiards"
    assert data_gen(["sim=billiards", f"out={folder}", *SIZES]) == 0
    return folder


def loaded(name: str) -> str:
    return refusal(load_plugins, [name])


# Faults, each in one line.


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("./not_there.py", None, "plugin ./not_there.py: no such file"),
        ("not_there.models", None, "plugin not_there.models: there is no module not_there; install"),
        ("./random.py", DAMPED, "there is another module random ("),
        ("./hydra.py", DAMPED, "site-packages/hydra/__init__.py); rename the file"),
        ("./my-model.py", DAMPED, "my-model.py cannot be imported; name it with letters, digits and _"),
        ("./empty_one.py", "import math\n", "registers nothing; put @register(KIND) above a part"),
        ("./faulty_one.py", "\n\nx = 1 / 0\n", "plugin ./faulty_one.py: faulty_one.py, line 3: ZeroDivision"),
        ("./wordy_one.py", "def (:\n", "plugin ./wordy_one.py: wordy_one.py, line 1: SyntaxError"),
        ("./leaving_one.py", "raise SystemExit(3)\n", "leaving_one.py, line 1: SystemExit: 3"),
        ("./needy_one.py", "import torch\n\ntorch.zeros(-1)\n", "needy_one.py, line 3: RuntimeError"),
        ("./wanting_one.py", "import not_there\n", "wanting_one.py, line 1: ModuleNotFoundError: No module"),
        ("./twice_one.py", DAMPED + DAMPED, "twice_one.py, line 18: twice_one.Damped is already registered"),
        ("a b", None, "plugin a b: is no name of a module; write a file as ./a b.py"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_loaded_is_one_line(folder, name, code, words):
    if code is not None:
        (folder / name).write_text(code)
    assert words in loaded(name)
    assert words in loaded(name), "the second time too"


def test_two_files_of_one_name(folder):
    for place in ("a", "b"):
        (folder / place).mkdir()
        (folder / place / "same_one.py").write_text(DAMPED)
    load_plugins(["a/same_one.py", "./a/same_one.py"])  # one file, loaded once
    assert f"there is another module same_one ({folder}/a/same_one.py); rename" in loaded("b/same_one.py")
    assert "expected modules and files" in refusal(plugins.load_plugins, [3], error=plugins.PluginError)


def test_the_traceback_of_a_plugin_is_shown_if_asked_for(folder, monkeypatch, capsys):
    (folder / "faulty_two.py").write_text("x = 1 / 0\n")
    assert data_gen(["plugins=[faulty_two.py]"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("data_gen: plugin faulty_two.py: ") and said.count("\n") == 1
    monkeypatch.setenv(plugins.FULL_ERROR, "1")
    with pytest.raises(ZeroDivisionError):
        data_gen(["plugins=[faulty_two.py]"])


def test_a_module_that_is_imported_anew_replaces_its_parts(folder):
    import importlib

    (folder / "anew_one.py").write_text(DAMPED)
    load_plugins(["./anew_one.py"])
    first = sys.modules["anew_one"].Damped
    importlib.reload(sys.modules["anew_one"])
    made = make_damped("anew_one")
    assert type(made) is not first


def make_damped(module: str, **arguments) -> Dynamics:
    given = {"frame_layout": make("linear").frame.layout, "slots": 3, "actions": 0}
    return instantiate({"_target_": f"{module}.Damped", **arguments}, "model.dynamics", Dynamics, **given)


# Commands.

CHOSEN = ["model.dynamics._target_=damped_one.Damped", "model.dynamics.damping=0.25"]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    """A run with a part of damped_one.py, which is not loaded."""
    with own_code(tmp_path_factory.mktemp("runs") / "own") as folder:
        (folder / "damped_one.py").write_text(DAMPED)
        command = ["train", "plugins=[./damped_one.py]", *TINY, *CHOSEN, f"data={data}", "run=run"]
        assert main(command) == 0
    return folder / "run"


def test_a_part_on_the_command_line_has_arguments_of_its_own(run):
    saved = checkpoint.load(run / checkpoint.LAST)
    dynamics = saved.config["model"]["dynamics"]
    assert dynamics == {"_target_": "damped_one.Damped", "damping": 0.25}
    assert saved.config["plugins"] == saved.plugins == ["./damped_one.py"]
    assert "plugins:\n- ./damped_one.py\n" in (run / "config.yaml").read_text()


def test_arguments_of_the_yaml_stay_if_the_part_inherits_them(folder, data):
    head, _, mine = MINE.partition("@register")
    mine = mine.replace("actions=0", "actions=0, walk=3, first_std=1")
    (folder / "damped_two.py").write_text(f"{head}{DAMPED}\n\n@register{mine}")
    load_plugins(["damped_two.py"])
    graph = ["model.dynamics.walk={size:0.04}", "model.dynamics.first_std=0.5", "model.dynamics.damping=0.1"]
    for name, kept in {"Damped": {"first_std": 0.5, "damping": 0.1}, "Mine": {"damping": 0.1}}.items():
        config = compose("train", [*graph, f"model.dynamics._target_=damped_two.{name}"])
        asked = ["model.dynamics._target_", "model.dynamics.damping"]
        left = without_foreign_arguments(config, asked, arguments_of)["model"]["dynamics"]
        assert left == {"_target_": f"damped_two.{name}", **kept}
        left = without_foreign_arguments(config, [*asked, "model.dynamics.walk.size"], arguments_of)
        assert left["model"]["dynamics"]["walk"] == {"size": 0.04}
    # the yaml has latent, which the part does not take
    words = [
        "train",
        f"data={data}",
        *TINY[1:],
        "model=stove_paper",
        "model.dynamics._target_=damped_two.Mine",
    ]
    assert main([*words, "run=mine"]) == 0


def test_a_wrong_argument_of_a_part_is_one_line(folder, data, capsys):
    (folder / "damped_three.py").write_text(DAMPED)
    words = ["train", "plugins=[damped_three.py]", f"data={data}", *TINY]
    target = "model.dynamics._target_=damped_three.Damped"
    for more, message in {
        "model.dynamics.dampin=1": "model.dynamics.dampin: unknown; did you mean damping? accepted: std,",
        "model.dynamics.damping=a": "model.dynamics.damping: expected float, got 'a'",
    }.items():
        assert main([*words, target, more, "run=c"]) == 2
        assert message in capsys.readouterr().err
    assert main([*words, "model.dynamics._target_=damped_three.Dampd", "run=c"]) == 2
    assert (
        "there is no Dynamics damped_three.Dampd; did you mean damped_three.Damped?"
        in capsys.readouterr().err
    )
    assert main([*words, "model.dynamics._target_=another_one.Damped", "run=c"]) == 2
    assert (
        "add the module or file that registers it, plugins=[MODULE or ./FILE.py]" in capsys.readouterr().err
    )
    assert not Path("c").exists()


def commands(run: Path, data: Path, out: Path) -> list[list[str]]:
    file = data / "test.h5"
    return [
        ["inspect", str(run)],
        ["rollout", f"run={run}", f"data={file}", "horizon=2", f"out={out}"],
        ["evaluate", f"run={run}", f"data={file}", "videos=0", "iwae=0", f"out={out}"],
        ["train", f"run={run}", "resume=true", "trainer.steps=3"],
    ]


def test_a_run_says_which_plugin_it_needs(run, data, tmp_path, capsys):
    needed = (
        "damped_one.Damped is not loaded; it was made with the plugin ./damped_one.py: "
        "add plugins=[./damped_one.py]"
    )
    for command in commands(run, data, tmp_path / "out"):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"model.dynamics._target_: {needed}" in said and said.count("\n") == 1
    assert needed in refusal(seqvae.load, run)
    assert main(["export", f"run={run}", f"out={tmp_path / 'card'}"]) == 0  # makes no model
    assert "Needs the plugins ./damped_one.py" in (tmp_path / "card/README.md").read_text()
    with own_code(run.parent):
        for command in commands(tmp_path / "card", data, tmp_path / "out")[:3]:
            assert main([*command, "plugins=[./damped_one.py]"]) == 0
        assert re.search(r"^plugins +\./damped_one\.py$", capsys.readouterr().out, re.M)
        assert main([*commands(run, data, tmp_path)[3], "plugins=[./damped_one.py]"]) == 0
        assert checkpoint.load(run / checkpoint.LAST).step == 3
        assert seqvae.load(run, plugins=["damped_one.py"]).dynamics.damping == 0.25


# Trust.

EVIL = "from pathlib import Path\nPath({victim!r}).write_text('owned')\n" + DAMPED


@pytest.mark.parametrize("kind", ["file", "module"])
def test_a_crafted_checkpoint_loads_no_plugin(folder, data, tmp_path, capsys, kind):
    victim, name = tmp_path / "victim", f"evil_{kind}"
    (folder / f"{name}.py").write_text(EVIL.format(victim=str(victim)))
    sys.path.append(str(folder))
    evil = [str(folder / f"{name}.py")] if kind == "file" else [name]
    given = compose("train", ["model=linear", f"data={data}", "trainer.steps=1"])
    model = given["model"] | {"dynamics": {"_target_": f"{name}.Damped"}}
    spec = DataSpec(16, 16, 3, 0, 3, 10.0)
    weights = build(given["model"], spec).state_dict()
    content = {key: value for key, value in given.items() if key not in ("run", "resume")}
    content |= {"model": model, "plugins": evil}
    folder = tmp_path / "run"
    folder.mkdir()
    crafted = checkpoint.Checkpoint(0, content, spec, weights, training=untrained())
    checkpoint.save(folder / checkpoint.LAST, crafted)
    (folder / "config.yaml").write_text(f"plugins: {evil}\n")
    checkpoint.save_weights(tmp_path / "model.safetensors", replace(crafted, training=None))
    for command in commands(folder, data, tmp_path / "out"):
        assert main(command) == 2
        assert f"add plugins=[{evil[0]}]" in capsys.readouterr().err
    assert main(["export", f"run={folder}", f"out={tmp_path / 'card'}"]) == 0
    assert (
        main(["train", *TINY, f"data={data}", f"run={tmp_path / 'new'}", f"init={folder}"]) == 0
    )  # weights alone
    for path in (folder, tmp_path / "model.safetensors", tmp_path / "card"):
        with pytest.raises(UserError, match=f"{name}.Damped is not loaded"):
            seqvae.load(path)
    assert not victim.exists() and name not in sys.modules
    load_plugins(evil)  # the person at the keyboard may
    assert victim.read_text() == "owned"


def test_a_dataset_loads_no_plugin(folder, capsys):
    (folder / "still_one.py").write_text(WORLD)
    assert data_gen(["plugins=[still_one.py]", "sim=still_one.Still", "out=data", *SIZES]) == 0
    code = (
        "import sys; from seqvae.data.sequences import read_sequences; from data_gen.__main__ import main; "
        "read_sequences('data/test.h5'); assert main(['preview', 'data=data/test.h5']) == 0; "
        "assert 'still_one' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env=environment, capture_output=True)


# Yaml files of the user, packages, and installed packages.

LAB = {
    "my_lab_one/__init__.py": "",
    "my_lab_one/models.py": DAMPED,
    "my_lab_one/configs/__init__.py": "",
    "my_lab_one/configs/model/mine.yaml": (
        "defaults: [linear]\ndynamics: {_target_: my_lab_one.models.Damped, damping: 0.75}\n"
    ),
    "my_lab_one/configs/experiment/small.yaml": (
        "# @package _global_\ndefaults: [override /model: mine]\nplugins: [my_lab_one.models]\n"
    ),
}


@pytest.mark.parametrize("how", ["--config-dir", "file", "pkg"])
def test_a_package_brings_its_configs(folder, data, how):
    for name, text in LAB.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    places = {
        "--config-dir": ["--config-dir", "my_lab_one/configs"],
        "file": [f"hydra.searchpath=[file://{folder}/my_lab_one/configs]"],
        "pkg": ["hydra.searchpath=[pkg://my_lab_one.configs]"],
    }
    sys.path.append(str(folder))  # as python -m does, and as an installation would
    command = ["train", *places[how], *TINY[1:], f"data={data}", "threads=1"]
    assert main([*command, "model=mine", "plugins=[my_lab_one.models]", "run=named"]) == 0
    assert main([*command, "experiment=small", "run=yaml"]) == 0  # the yaml names its plugin
    for run in ("named", "yaml"):
        saved = checkpoint.load(Path(run, checkpoint.LAST))
        assert saved.config["model"]["dynamics"]["damping"] == 0.75
        assert saved.plugins == ["my_lab_one.models"]


@pytest.fixture
def installed(folder, monkeypatch):
    """Packages with entry points: one that works, one that fails, one with a world."""
    sys.path.append(str(folder))
    (folder / "good_lab.py").write_text(DAMPED)
    (folder / "bad_lab.py").write_text("x = 1 / 0\n")
    (folder / "world_lab.py").write_text(WORLD)
    scans = []

    def entry_points(group):
        scans.append(group)
        return [EntryPoint(name, name, group) for name in ("bad_lab", "good_lab", "world_lab")]

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    plugins.load_installed.cache_clear()
    yield scans
    plugins.load_installed.cache_clear()


FAULT = "the installed plugin bad_lab: bad_lab.py, line 1: ZeroDivisionError: division by zero"


def test_installed_packages_bring_parts_when_one_is_missing(installed, folder, data, capsys):
    assert main(["train", *TINY, f"data={data}", "run=ours"]) == 0
    assert installed == [] and "good_lab" not in sys.modules, "nobody asked for a part of theirs"
    assert main(["train", *TINY, f"data={data}", "run=a", "model.dynamics._target_=good_lab.Damped"]) == 0
    assert installed == [plugins.GROUP] and FAULT not in capsys.readouterr().err
    assert checkpoint.load(Path("a/last.pt")).plugins == ["good_lab"]
    assert seqvae.load("a").dynamics.damping == 0.5
    assert FAULT in refusal(instantiate, {"_target_": "bad_lab.Damped"}, "model.dynamics", Dynamics)
    assert data_gen(["sim=world_lab.Still", "out=data", *SIZES]) == 0
    assert "'plugins=[world_lab]' sim=world_lab.Still" in Path("data/README.md").read_text()
    assert data_gen(["sim=world_lab.Stil", "out=data", *SIZES]) == 2
    said = capsys.readouterr().err
    assert "did you mean world_lab.Still?" in said and FAULT in said


@pytest.mark.parametrize(("program", "words"), [(data_gen, []), (main, ["train"])])
def test_help_lists_the_worlds_of_named_plugins(folder, capsys, program, words):
    (folder / "still_help.py").write_text(WORLD)
    assert program([*words, "plugins=[./still_help.py]", "--help"]) == 0
    shown = capsys.readouterr().out
    assert ", still_help.Still" in shown and "billiards," in shown
    assert program([*words, "plugins=[./not_there.py]", "--help"]) == 2
    assert "plugin ./not_there.py: no such file" in capsys.readouterr().err


@pytest.mark.filterwarnings("error")  # of the checker that gymnasium.make adds
def test_gymnasium_makes_the_worlds_of_plugins(folder):
    gymnasium = pytest.importorskip("gymnasium")
    import data_gen.gym  # noqa: F401  registers environments

    (folder / "still_gym.py").write_text(WORLD)
    world: dict = {"sim": "still_gym.Still", "plugins": "./still_gym.py", "num_objects": 3}
    env = gymnasium.make("seqvae/Simulator-v0", **world)
    frame, info = env.reset(seed=0)
    assert frame.shape == (32, 32, 3) and info["positions"].shape == (3, 2)
    np.testing.assert_array_equal(env.step(0)[4]["positions"], info["positions"])
    del world["plugins"]  # once it is loaded
    assert gymnasium.make_vec("seqvae/Simulator-v0", num_envs=2, **world).reset(seed=0)[0].shape[0] == 2
    with pytest.raises(DataError, match="plugin ./not_there.py: no such file"):
        gymnasium.make("seqvae/Simulator-v0", sim="not_there.World", plugins=["./not_there.py"])


def test_nothing_is_scanned_before_it_is_needed(tmp_path):
    program = """
import importlib.metadata, sys
def scan(*_, **__): raise AssertionError
importlib.metadata.entry_points = scan
from seqvae.cli.main import main
assert main(["--help"]) == main(["train", "--help"]) == 0
assert "hydra" not in sys.modules and "torch" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


# Other processes.


def python(folder: Path, *words: str) -> str:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_processes_that_make_data_find_the_world(folder):
    (folder / "parts").mkdir()
    (folder / "parts/still_two.py").write_text(WORLD)
    words = ["plugins=[parts/still_two.py]", "sim=still_two.Still", "out=data"]
    # spawned: two tasks of 256 sequences
    python(
        folder,
        "-m",
        "data_gen",
        *words,
        "train=300",
        "val=0",
        "test=0",
        "length=2",
        "image_size=8",
        "workers=2",
    )
    assert Path("data/train.h5").is_file()


ONLINE = ["data=online", "online.length=12", "image_size=16", "run=run"]


@pytest.mark.slow
def test_workers_of_a_training_and_torchrun_find_the_parts(folder):
    (folder / "parts").mkdir()
    (folder / "parts/both.py").write_text(WORLD + "\n\n" + DAMPED)
    words = [
        "plugins=[parts/both.py]",
        "sim=both.Still",
        "model.dynamics._target_=both.Damped",
        *TINY,
        *ONLINE,
    ]
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "seqvae",
        "train",
    ]
    said = python(folder, *torchrun, *words, "workers=1")
    assert "complete after 2 steps" in said
    assert checkpoint.load(Path("run/last.pt")).plugins == ["parts/both.py"]


def test_every_job_of_a_sweep_has_the_plugins(folder, data, capsys):
    (folder / "damped_four.py").write_text(DAMPED)
    chosen = ["plugins=[./damped_four.py]", "model.dynamics._target_=damped_four.Damped"]
    command = ["train", "-m", *TINY, *chosen, f"data={data}", "run=sweep"]
    assert main([*command, "model.dynamics.damping=0.1,0.2"]) == 0
    assert {path.name for path in Path("sweep").iterdir()} == {
        "multirun.yaml", "model.dynamics.damping=0.1", "model.dynamics.damping=0.2"}  # fmt: skip
    capsys.readouterr()
    assert main([*command, "plugins=[a.py],[b.py]"]) == 2
    assert "plugins: all jobs of a sweep have the same" in capsys.readouterr().err


@pytest.mark.slow
def test_jobs_in_other_processes_have_the_plugins(folder, data):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (folder / "parts").mkdir()
    (folder / "parts/damped_five.py").write_text(DAMPED)
    chosen = ["plugins=[parts/damped_five.py]", "model.dynamics._target_=damped_five.Damped"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    command = ["train", "-m", *launcher, *TINY, *chosen, f"data={data}", "run=sweep", "seed=0,1"]
    assert "2 jobs in sweep are done" in python(folder, "-m", "seqvae", *command)


# The check of what a part is and does.

BROKEN = {
    "no method": (
        "def predict", "def predicts",
        "model.dynamics: broken_0.Mine has no method predict(carry, prev_action): Return",
    ),
    "arguments": (
        "carry, prev_action=None", "carry",
        "broken_1.Mine.predict: expected the arguments (carry, prev_action), got (carry)",
    ),
    "base class": ("Mine(Dynamics)", "Mine(nn.Module)", "so derive it from seqvae.types.Dynamics"),
    "no layout": ("self.layout, self.slots", "layout, self.slots", "broken_3.Mine has no attribute layout"),
    "shape": (
        "Normal(z, torch.ones_like(z))", "Normal(z[..., :2], torch.ones_like(z[..., :2]))",
        "broken_4.Mine.predict: prior.point(): expected a tensor (2, 3, 6), got a tensor (2, 3, 2)",
    ),
    "kind": ("return Transition(q, q)", "return q", "predict: result: expected a Transition, got Normal"),
    "context": (
        "Transition(q, q)", "Transition(q, q, context=z)",
        "context: expected None, as the attribute context is 0",
    ),
}  # fmt: skip
MINE = """\
import torch
from torch import nn
from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.types import Dynamics, LastState, Transition


@register(Dynamics)
class Mine(Dynamics):
    def __init__(self, frame_layout, slots, actions=0):
        super().__init__()
        self.layout, self.slots = frame_layout, slots
        self.pull = nn.Parameter(torch.ones(()))

    def init(self, batch, like):
        return like.new_zeros(batch, self.slots, self.layout.dim)

    def predict(self, carry, prev_action=None):
        z = self.pull * carry
        q = Normal(z, torch.ones_like(z))
        return Transition(q, q)

    def update(self, carry, z, encoding):
        return z
"""


@pytest.mark.parametrize("fault", BROKEN)
def test_a_part_that_does_not_keep_its_word_is_one_line(folder, fault):
    right, wrong, words = BROKEN[fault]
    module = f"broken_{list(BROKEN).index(fault)}"
    (folder / f"{module}.py").write_text(MINE.replace(right, wrong))
    (folder / f"fine_{module}.py").write_text(MINE)
    load_plugins([f"./{module}.py", f"./fine_{module}.py"])
    config, spec = make("linear").config, DataSpec(32, 32, 1, objects=3)
    build(config | {"dynamics": {"_target_": f"fine_{module}.Mine"}}, spec)
    assert words in refusal(build, config | {"dynamics": {"_target_": f"{module}.Mine"}}, spec)


@every_model
def test_the_shapes_of_shipped_models_pass_and_leave_no_trace(name):
    model = make(name)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_shapes(model)
    assert torch.equal(torch.rand(3), expected) and model.training


WORLDS = {
    "no step": ("def step", "def stepp", "Still has no method step; write it: Advance by one frame"),
    "no sizes": ("    size: float = 0.1\n", "", "Still has no sizes: give it a field `size`"),
    "no number": (
        "num_objects: int",
        "objects: int",
        "Still has no attribute num_objects; add it as a field",
    ),
    "no base": (
        "Still(Simulator)",
        "Still",
        "Still: is no world; derive it from data_gen.simulator.Simulator",
    ),
}


@pytest.mark.parametrize("fault", WORLDS)
def test_a_world_without_something_is_one_line(folder, fault, capsys):
    right, wrong, words = WORLDS[fault]
    module = f"world_{list(WORLDS).index(fault)}"
    (folder / f"{module}.py").write_text(WORLD.replace(right, wrong))
    assert data_gen([f"plugins=[{module}.py]", f"sim={module}.Still", "out=data", *SIZES]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not Path("data/train.h5").exists()


METRIC = """\
import numpy as np
from seqvae.config import register
from seqvae.evaluate import Metric


@register(Metric)
class Mine(Metric):
    name = "mine"

    def __call__(self, rollout, sequences):
        return {values}
"""


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        ("np.zeros(7)", "mine", "Mine: expected numbers (2,) or (2, 12), got float64 (7,)"),
        ("[1, 2]", "mine", "expected numbers (2,) or (2, 12), got list"),
        ("np.zeros(2)", "found", "metric found: the evaluation has a number of this name"),
        ("np.zeros((2, 12))", "pixel_mse", "metric pixel_mse: the evaluation has a number of this name"),
        ("np.zeros(2)", "a b", "Mine: name='a b': expected a word"),
    ],
)
def test_a_metric_that_does_not_fit_is_one_line(folder, run, data, capsys, values, name, words):
    module = f"metric_{sum(map(ord, values + name))}"
    (folder / f"{module}.py").write_text(METRIC.format(values=values).replace('"mine"', f'"{name}"'))
    given = f"plugins=[{run.parent}/damped_one.py,{module}.py]"
    command = ["evaluate", f"run={run}", f"data={data / 'test.h5'}", "out=out", "videos=0", "iwae=0", given]
    assert main(command) == 2
    assert words in capsys.readouterr().err
