"""Atari: recordings are determined by their seeds, and the truth of pong agrees with its screen."""

from __future__ import annotations

import builtins
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from data_gen.__main__ import main
from data_gen.errors import DataError
from data_gen.generate import read_settings
from data_gen.schema import FIELDS, open_dataset, read_info
from data_gen.sims import _ale
from data_gen.simulator import build_simulator, simulator_config
from data_gen.splits import Split, make_sequences

SIMS = ("pong", "atari")
ROOT = Path(__file__).parents[2]


def world(name="pong", **options):
    return build_simulator(read_settings([f"sim={name}"]).sim | options)


def sequences(simulator, start=0, stop=2, length=20, size=16, seed=0):
    return make_sequences(Split(simulator, "train", 100, length, size, seed), start, stop)


@pytest.fixture(scope="module", autouse=True)
def emulator():
    pytest.importorskip("ale_py")


@pytest.fixture(scope="module")
def pong():
    """Sequences of pong without resizing: 160x160 pixels of the field."""
    return sequences(world(frame_skip=2), 0, 3, length=80, size=160)


@pytest.mark.parametrize("name", SIMS)
def test_arrays_are_those_of_the_dataset(name):
    simulator = world(name)
    arrays = sequences(simulator)
    assert arrays["imgs"].shape == (2, 20, 16, 16, 3) and {"actions", "rewards", "dones"} <= set(arrays)
    sizes = {"n": 2, "t": 20, "h": 16, "w": 16, "c": 3, "k": simulator.num_objects, "2": 2, "3": 3}
    for key, array in arrays.items():
        assert array.dtype == FIELDS[key].dtype
        assert array.shape == tuple(sizes[axis] for axis in FIELDS[key].axes.split())
    assert arrays["actions"].min() >= 0 and arrays["actions"].max() < simulator.num_actions
    assert build_simulator(simulator_config(simulator)) == simulator


@pytest.mark.parametrize("name", SIMS)
def test_a_sequence_depends_on_its_seed_alone(name):
    together = sequences(world(name), 0, 4)
    _ale.open_game.cache_clear()
    alone = sequences(world(name), 2, 3)
    for key, array in together.items():
        np.testing.assert_array_equal(array[2:3], alone[key], err_msg=key)
    assert (sequences(world(name), 2, 3, seed=1)["actions"] != alone["actions"]).any()
    assert (together["imgs"][0] != together["imgs"][1]).any()


def test_another_process_records_the_same():
    program = (
        "import zlib; from tests.data_gen.test_atari import *; print(zlib.crc32(sequences(world())['imgs']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert int(done.stdout) == zlib.crc32(sequences(world())["imgs"])


COLOURS = {0: (92, 186, 92), 1: (213, 130, 74), 2: (236, 236, 236)}


@pytest.mark.parametrize("k", COLOURS)
def test_positions_are_where_the_screen_shows_the_object(pong, k):
    """They are within one pixel (of 160) of the middle of the pixels of its colour."""
    pixels = (pong["imgs"] == COLOURS[k]).all(axis=-1)
    drawn = pixels.any(axis=(2, 3))
    place = pong["positions"][:, :, k]
    half = pong["sizes"][0, 0, k]
    # where the object is completely in the field
    whole = pong["present"][:, :, k] & (place[..., 1] > half + 1) & (place[..., 1] < 160 - half - 1)
    assert whole.sum() > 40 and drawn[whole].all()
    lost = drawn & ~pong["present"][:, :, k]  # from memory, at the moment of a point
    assert lost.sum() <= abs(pong["rewards"]).sum() * (k == 2)
    assert pong["present"][:, :-1, k][lost[:, 1:]].all()
    for axis, index in enumerate((np.arange(160), np.arange(160)[:, None])):
        low = np.where(pixels, index, 160).min(axis=(2, 3))
        high = np.where(pixels, index, -1).max(axis=(2, 3))
        middle = (low + high + 1) / 2
        assert abs(place[..., axis] - middle)[whole].max() <= 1


def test_velocities_lead_from_position_to_position(pong):
    seen = pong["present"][:, 1:] & pong["present"][:, :-1]
    moved = np.diff(pong["positions"], axis=1)
    np.testing.assert_array_equal(pong["velocities"][:, 1:][seen], moved[seen])
    assert (pong["velocities"][~pong["present"]] == 0).all()
    assert abs(pong["velocities"][:, :, 2]).max() < 10
    assert not pong["present"].all() and (pong["ids"] > 0).sum() == pong["present"].sum()


def test_actions_act_between_frames():
    """Without a ball to follow, the player moves up or down as the action says."""
    run = sequences(world(follow=0.0, warm_up=[30, 60]), 0, 8, length=60)
    moved = run["velocities"][:, 1:, 0, 1]
    acted = run["actions"][:, :-1]
    # paddles have inertia: compare only after the same action twice
    twice = np.zeros(acted.shape, bool)
    twice[:, 1:] = acted[:, 1:] == acted[:, :-1]
    inside = (abs(run["positions"][:, 1:, 0, 1] - 80) < 50) & twice
    assert moved[inside & (acted == 1)].max() < 0 < moved[inside & (acted == 2)].min()


def test_a_player_that_follows_the_ball_loses_fewer_points():
    runs = [sequences(world(follow=f, warm_up=[60, 60]), 0, 3, length=120)["rewards"] for f in (0.0, 1.0)]
    assert set(np.unique(runs)) <= {-1.0, 0.0, 1.0}
    assert runs[0].sum() < -5 and runs[1].sum() > runs[0].sum() / 2


def test_a_file_of_a_game_without_truth(tmp_path):
    small = ["train=2", "val=0", "test=0", "length=6", "image_size=16", "workers=1"]
    assert main(["sim=atari", "sim.game=freeway", f"out={tmp_path}", *small]) == 0
    info = read_info(tmp_path / "train.h5")
    assert info.simulator == "freeway" and info.num_objects is None and info.num_actions == 3
    with open_dataset(tmp_path / "train.h5") as file:
        assert file["imgs"][:].any()


BAD = {
    "sim.game=brakout": "sim.game=brakout: there is no such game; did you mean breakout",
    "sim.frame_skip=0": "sim.frame_skip=0: must be",
    "sim.rows=[100,50]": "sim.rows=[100, 50]: must rise",
    "sim.rows=[5,5]": "shows nothing",
    "sim.warm_up=[0]": "sim.warm_up=[0]: must be two",
    "sim.flicker=maybe": "sim.flicker=maybe: must be true or false",
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, capsys, argument):
    assert main(["sim=atari", argument, f"out={tmp_path}", "workers=1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and BAD[argument] in err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(monkeypatch):
    def refuse(name, *arguments, **keywords):
        if name == "ale_py":
            raise ImportError("No module named 'ale_py'")
        return real(name, *arguments, **keywords)

    real = builtins.__import__
    _ale.open_game.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"pip install 'seqvae\[atari\]'"):
        world().num_actions  # noqa: B018
