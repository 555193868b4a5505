"""rollout, evaluate and inspect: their files, and one line for what is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seqvae import checkpoint
from seqvae.build import DataSpec, build
from seqvae.cli.main import main
from seqvae.data.sequences import read_sequences
from tests.models import config
from tests.worlds import make_data

LENGTH = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """data/{train,val,test}.h5, data of another size, and runs of two models that have learned nothing."""
    folder = tmp_path_factory.mktemp("commands")
    sizes = ["train=1", "val=2", "test=3", f"length={LENGTH}"]
    make_data(folder / "data", "billiards", *sizes)
    make_data(folder / "large", "billiards", *sizes, "image_size=40")
    for name in ("linear", "stove"):
        (folder / name).mkdir()
        save(folder / name / "last.pt", name, data=str(folder / "data"))
    return folder


def save(path, name, data="nowhere", actions=0, weights=None):
    spec = DataSpec(32, 32, 3, actions, 3, 10.0)
    torch.manual_seed(0)
    model = build(config(name), spec)
    content = {"model": config(name), "data": data}
    weights = weights or model.state_dict()
    checkpoint.save(path, checkpoint.Checkpoint(7, content, spec, weights, {"found": 0.5}))


def run(*arguments):
    return main([str(a) for a in arguments])


def test_rollout_of_one_sequence(folder, tmp_path, capsys):
    data = folder / "data" / "test.h5"
    arguments = [f"data={data}", "index=1", "horizon=10", f"out={tmp_path}"]
    assert run("rollout", f"run={folder / 'stove'}", *arguments) == 0
    assert [f.name for f in sorted(tmp_path.iterdir())] == ["rollout.gif", "rollout.mp4", "rollout.npz"]
    assert "1 sequence: 8 frames of context, then 10 predicted" in capsys.readouterr().out
    with np.load(tmp_path / "rollout.npz") as arrays:
        assert arrays["positions"].shape == arrays["velocities"].shape == (1, 18, 3, 2)
        assert arrays["frames"].shape == (1, 18, 32, 32, 3) and arrays["frames"].dtype == np.uint8
        assert arrays["z"].shape[:3] == (1, 18, 3) and arrays["first_predicted"] == 8
        # simulator units: the pursuit encoder finds discs untrained
        position, order = arrays["positions"], arrays["order"]
    truth = (read_sequences(data, 1).positions + 1) * 5
    assert np.linalg.norm(position[0, 7, order[0]] - truth[0, 7], axis=-1).max() < 1.2


def test_rollout_of_what_would_be_if(folder, tmp_path, capsys):
    arguments = ["rollout", f"run={folder / 'stove'}", f"data={folder / 'data' / 'test.h5'}", "horizon=5"]
    change = ["intervene.move=[0,0.3,0]", "intervene.drop=[2]", "intervene.swap=[0,1,velocity]"]
    assert run(*arguments, f"out={tmp_path / 'as'}") == 0
    assert run(*arguments, f"out={tmp_path / 'if'}", *change, "sample=true", "samples=2") == 0
    assert "changed after frame 8: swap 0 1 velocity, move 0 0.3 0, drop 2" in capsys.readouterr().out
    files = [np.load(tmp_path / name / "rollout.npz") for name in ("as", "if")]
    as_is, what_if = (file["positions"] for file in files)
    np.testing.assert_array_equal(as_is[:, :8], what_if[:, :8])
    assert np.isnan(what_if[:, 8:, 2]).all() and np.isnan(files[1]["sample_z"][:, :, 8:, 2]).all()
    # 0.3 half-widths of a coordinate limit of 10, and the other's velocity for a frame
    assert what_if[0, 8, 0, 0] - as_is[0, 8, 0, 0] == pytest.approx(1.5, abs=0.3)


def test_rollout_of_all_with_samples_beyond_the_data(folder, tmp_path, capsys):
    arguments = ["index=all", "horizon=20", "sample=true", "samples=2", "rows=2", f"out={tmp_path}"]
    assert run("rollout", f"run={folder / 'linear'}", f"data={folder / 'data' / 'test.h5'}", *arguments) == 0
    assert "the data ends after frame 24" in capsys.readouterr().out
    with np.load(tmp_path / "rollout.npz") as arrays:
        assert arrays["positions"].shape == (3, 28, 3, 2)
        assert arrays["sample_positions"].shape == arrays["sample_velocities"].shape == (3, 2, 28, 3, 2)
        assert (arrays["sample_positions"][:, 0] != arrays["sample_positions"][:, 1]).any()
        step = arrays["positions"][:, 9:] - arrays["positions"][:, 8:-1]
        np.testing.assert_allclose(step, arrays["velocities"][:, 9:], atol=1e-4)  # one unit for both
    with Image.open(tmp_path / "rollout.gif") as gif:
        assert gif.size[1] == 2 * 242


def test_a_rollout_is_the_same_twice(folder, tmp_path):
    arguments = [f"run={folder / 'stove'}", f"data={folder / 'data' / 'test.h5'}", "horizon=3"]
    for out in ("a", "b"):
        assert run("rollout", *arguments, "sample=true", "samples=2", f"out={tmp_path / out}") == 0
    with np.load(tmp_path / "a" / "rollout.npz") as a, np.load(tmp_path / "b" / "rollout.npz") as b:
        assert all((a[key] == b[key]).all() for key in a)


def test_rollout_of_frames_and_of_a_video_without_truth(folder, tmp_path, capsys):
    """The default folder is in the run; a video of another size is made to fit, and that is said."""
    frames = np.zeros((9, 32, 32, 3), np.uint8)
    frames[:, 5:12, 5:12] = 255
    np.savez(tmp_path / "clip.npz", frames=frames)
    arguments = [f"run={folder / 'linear' / 'last.pt'}", f"data={tmp_path / 'clip.npz'}", "horizon=2"]
    assert run("rollout", *arguments) == 0
    made = folder / "linear" / "rollout"
    with np.load(made / "rollout.npz") as arrays:
        assert "order" not in arrays and arrays["positions"].shape == (1, 10, 3, 2)
        assert (arrays["positions"][:, 7] > 0).all()  # the unit of the data the model was trained on
    capsys.readouterr()
    arguments = [f"run={folder / 'linear'}", f"data={made / 'rollout.mp4'}", "horizon=2", f"out={tmp_path}"]
    assert run("rollout", *arguments) == 0
    assert "resized to 32x32" in capsys.readouterr().out


def test_evaluate_writes_everything(folder, tmp_path, capsys):
    arguments = ["sample=true", "samples=19", "long=100", "videos=1", "iwae=2", f"out={tmp_path}"]
    assert run("evaluate", f"run={folder / 'linear'}", f"data={folder / 'data'}", *arguments) == 0
    printed = capsys.readouterr().out
    names = [
        "bounds.csv",
        "comparison_0.mp4",
        "curves.csv",
        "errors.pdf",
        "errors.png",
        "metrics.json",
        "sequences.npz",
        "table.md",
    ]
    assert sorted(f.name for f in tmp_path.iterdir()) == names
    assert all(str(tmp_path / name) in printed for name in names)
    assert (tmp_path / "table.md").read_text().strip() in printed
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["horizon"] == LENGTH - 8 and content["sequences"] == 3
    assert content["config"]["long"] == 100 and content["model"]["frame"]["_target_"].endswith("SuPAIR")
    assert content["table"]["model"]["position_error_reconstruction"]["mean"] < 0.24
    assert content["shares"]["found"]["mean"] == 1
    assert (content["training_commit"], content["updates"], content["chosen_by"]) == ("unknown", 7, "unknown")
    assert {"bouncing", "bouncing, from true states"} <= set(content["table"])
    assert {"energy_ratio", "energy_over_truth"} <= set(content["long"]["100"])
    assert {"static", "linear", "linear, from true states", "black"} <= set(content["table"])
    assert content["bound"]["about"].startswith("no normalised bound") and content["long"]["100"]
    assert content["uncertainty"]["coverage_90_1_10"]["n"] == 3
    curve = content["calibration"]["1_10"]
    assert curve["0.9"] == content["uncertainty"]["coverage_90_1_10"] and len(curve) == 9
    card = (folder / "data" / "README.md").read_text()
    assert f"{content['data_sha256']}  test.h5" in card
    assert {"torch", "numpy", "python", "seqvae", "system"} <= content["environment"].keys()


def test_evaluate_in_the_run_by_default_and_without_truth(folder, tmp_path, capsys):
    np.savez(tmp_path / "clips.npz", frames=np.zeros((2, 12, 32, 32, 3), np.uint8))
    arguments = ["videos=0", "iwae=0"]
    assert run("evaluate", f"run={folder / 'linear'}", f"data={tmp_path / 'clips.npz'}", *arguments) == 0
    assert "only pixels are scored" in capsys.readouterr().out
    content = json.loads((folder / "linear" / "evaluation" / "metrics.json").read_text())
    names, spans = ("pixel_mse", "psnr", "ssim"), ("reconstruction", "1_4")
    assert set(content["table"]["model"]) == {f"{name}_{span}" for name in names for span in spans}
    assert content["bound"] is None


@pytest.mark.parametrize(
    ("path", "words", "sheet"),
    [
        ("data/test.h5", ["billiards", "3 of 24 frames, 32x32", "velocities"], "data_test"),
        ("data", ["test.h5", "train.h5", "1 sequences of 24 frames", "velocities"], "data"),
        ("stove", ["7 updates", "SuPAIR", "GraphDynamics", "found", "32x32, 3 objects"], "stove"),
        ("linear/last.pt", ["LinearDynamics", "parameters"], "linear_last"),
    ],
)
def test_inspect(folder, tmp_path, monkeypatch, capsys, path, words, sheet):
    monkeypatch.chdir(tmp_path)
    before = {entry: entry.stat().st_mtime_ns for entry in folder.rglob("*")}
    assert run("inspect", folder / path) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words)
    if sheet:
        assert f"runs/inspect/{sheet}/sheet.png" in out
        image = Image.open(Path("runs/inspect") / sheet / "sheet.png")
        assert 40 < image.size[0] - 12 * 65 < 120  # beside the labels
    assert {entry: entry.stat().st_mtime_ns for entry in folder.rglob("*")} == before


def test_inspect_writes_nothing_into_a_read_only_run(folder, tmp_path, monkeypatch):
    run_folder, place = tmp_path / "seen", tmp_path / "place"
    shutil.copytree(folder / "linear", run_folder, ignore=shutil.ignore_patterns("rollout", "evaluation"))
    place.mkdir()
    monkeypatch.chdir(place)
    run_folder.chmod(0o555)
    before = (
        run_folder.stat().st_mtime_ns
    )  # a file that is written, also one that is removed again, changes it
    try:
        assert run("inspect", run_folder, "latents=true", "sequences=2", "frames=3") == 0
    finally:
        run_folder.chmod(0o755)
    assert run_folder.stat().st_mtime_ns == before
    made = {path.name for path in Path("runs/inspect/seen").iterdir()}
    assert {"sheet.png", "samples.png", "reconstructions.png"} <= made


def test_inspect_writes_the_sheet_where_told(folder, tmp_path):
    data = folder / "data" / "test.h5"
    assert run("inspect", data, f"out={tmp_path / 'a.png'}", "sequences=2", "frames=5") == 0
    width, height = Image.open(tmp_path / "a.png").size
    assert 40 < width - 5 * 65 < 120 and 10 < height - 2 * 65 < 40


def test_inspect_shows_masks_below_the_frames(tmp_path):
    make_data(tmp_path, "sprites", "test=2", "length=4", "image_size=32")
    assert run("inspect", tmp_path / "test.h5", "frames=4", f"out={tmp_path / 'test_sheet.png'}") == 0
    sheet = np.asarray(Image.open(tmp_path / "test_sheet.png"))[-4 * 65 :, -4 * 65 :]
    masks = read_sequences(tmp_path / "test.h5").masks
    second = sheet[65:130].reshape(65, 4, 65, 3)[:64:2, :, :64:2].swapaxes(0, 1)
    np.testing.assert_array_equal(second.any(-1), masks[0] != 0)


def test_without_data_the_test_set_of_the_run_is_taken(folder, tmp_path, capsys):
    own = folder / "data" / "test.h5"
    assert run("evaluate", f"run={folder / 'linear'}", "iwae=0", "videos=0", f"out={tmp_path}") == 0
    assert f"data={own}, the test set of the run's data" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["config"]["data"] == str(own) and metrics["sequences"] == 3
    assert metrics["data_sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    assert metrics["versions"]["torch"] == torch.__version__ and metrics["training_versions"] is None
    save(tmp_path / "file.pt", "linear", data=str(folder / "data" / "train.h5"))
    assert run("rollout", f"run={tmp_path / 'file.pt'}", "horizon=2", f"out={tmp_path}") == 0
    assert f"data={own}" in capsys.readouterr().out
    save(tmp_path / "online.pt", "linear", data="online")
    assert run("rollout", f"run={tmp_path / 'online.pt'}", "horizon=2") == 2
    assert "was trained without a file; say data=FILE" in capsys.readouterr().err


def test_a_path_may_hold_an_equals_sign(folder, tmp_path, capsys):
    shutil.copy(folder / "data" / "val.h5", tmp_path / "a=b.h5")
    assert run("inspect", tmp_path / "a=b.h5", f"out={tmp_path / 'sheet.png'}") == 0
    assert "billiards" in capsys.readouterr().out


BAD = {
    "no run": ("rollout data={data}", "run: is missing"),
    "no data": (
        "evaluate run={tmp}/acts.pt",
        "data: is missing, and run={tmp}/acts.pt has no nowhere/test.h5",
    ),
    "run that is not there": ("rollout run={tmp}/none data={data}", "none: no such run"),
    "folder that is no run": ("rollout run={tmp} data={data}", "has no checkpoint"),
    "truncated checkpoint": ("rollout run={tmp}/short.pt data={data}", "short.pt: is no seqvae checkpoint"),
    "weights of another model": ("evaluate run={tmp}/mixed.pt data={data}", "weights of another model"),
    "data that is not there": ("evaluate run={run} data={tmp}/none.h5", "none.h5: no such file"),
    "truncated data": ("evaluate run={run} data={tmp}/short.h5", "short.h5"),
    "foreign data": ("evaluate run={run} data={tmp}/text.txt", "unknown kind of file"),
    "wrong size": ("rollout run={run} data={large}", "frames are 40x40, the model takes 32x32"),
    "too short": ("evaluate run={run} data={data} context=24", "24 frames per sequence"),
    "no such slot": ("rollout run={run} data={data} intervene.drop=[3]", "drop: there is no slot 3"),
    "no such field": (
        "rollout run={run} data={data} intervene.swap=[0,1,appearance]",
        "swap needs appearance in the state, which has size, position, velocity",
    ),
    "no such move": ("rollout run={run} data={data} intervene.move=[0,1]", "intervene.move=(0, 1): expected"),
    "no such change": ("rollout run={run} data={data} intervene.add=1", "intervene.add: no such key"),
    "too far": ("evaluate run={run} data={data} horizon=17", "horizon=17"),
    "shorter than the context": ("rollout run={run} data={data} context=25", "only 24 frames"),
    "unknown key": ("rollout run={run} data={data} horizont=3", "horizont: no such key"),
    "wrong type": ("rollout run={run} data={data} horizon=many", "horizon=many: expected a whole number"),
    "not positive": ("rollout run={run} data={data} horizon=0", "horizon=0: expected at least 1"),
    "index": ("rollout run={run} data={data} index=3", "index=3, but it holds sequences 0 to 2"),
    "index that is none": ("rollout run={run} data={data} index=some", "index=some: expected the number"),
    "actions missing": ("rollout run={tmp}/acts.pt data={data}", "follows 9 actions, the data has none"),
    "few samples": ("evaluate run={run} data={data} sample=true samples=5", "samples=5: at least 19"),
    "pixels": ("evaluate run={run} data={data} pixels=blue", "pixels=blue: expected"),
    "checkpoint": ("evaluate run={run} data={data} checkpoint=first", "expected best or last"),
    "device": ("rollout run={run} data={data} device=tpu", "device=tpu: expected auto, cpu, cuda"),
    "threads": ("evaluate run={run} data={data} threads=0", "threads=0: expected at least 1"),
    "out": ("rollout run={run} data={data} out={data}/x", "cannot be written"),
    "out of an evaluation": ("evaluate run={run} data={data} out={data}", "cannot be written"),
    "sheet": ("inspect {data} out={data}/x.png", "cannot be written"),
    "sheet of another kind": ("inspect {data} out={tmp}/x.jpg", "x.jpg: expected a name ending in .png"),
    "nothing to inspect": ("inspect", "path: is missing"),
    "inspect what is not there": ("inspect {tmp}/none", "none: no such file or folder"),
    "inspect a text": ("inspect {tmp}/text.txt", "text.txt: is no seqvae checkpoint"),
    "inspect an empty folder": ("inspect {tmp}/empty", "empty: holds no checkpoint"),
}


@pytest.fixture(scope="module")
def broken(folder, tmp_path_factory):
    """Files that no command can use."""
    tmp = tmp_path_factory.mktemp("broken")
    good = (folder / "stove" / "last.pt").read_bytes()
    (tmp / "short.pt").write_bytes(good[: len(good) // 2])
    (tmp / "short.h5").write_bytes((folder / "data" / "test.h5").read_bytes()[:5000])
    (tmp / "text.txt").write_text("no data")
    (tmp / "empty").mkdir()
    save(tmp / "mixed.pt", "stove", weights={"frame.foreign": torch.zeros(3)})
    save(tmp / "acts.pt", "stove", actions=9)
    return tmp


@pytest.mark.parametrize(("command", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_exit_code_2(folder, broken, capsys, command, message):
    names = {
        "run": folder / "linear", "tmp": broken,
        "data": folder / "data" / "test.h5", "large": folder / "large" / "test.h5",
    }  # fmt: skip
    assert run(*[word.format(**names) for word in command.split()]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message.format(**names) in lines[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(folder, capsys):
    arguments = [f"run={folder / 'linear'}", f"data={folder / 'data' / 'test.h5'}", "device=cuda"]
    assert run("evaluate", *arguments) == 2
    assert "device=cuda: torch sees no CUDA device" in capsys.readouterr().err
