"""The card beside a dataset describes its files, and its command makes them again."""

from __future__ import annotations

import hashlib
import os
import shlex

import numpy as np
import pytest

from data_gen import card as cards
from data_gen.__main__ import main
from data_gen.card import CARD, checksum, compute_statistics, write_card
from data_gen.schema import read_info
from tests.data_gen.foreign import contents, write_hdf5, write_ours
from tests.worlds import make_data

SMALL = ("train=3", "length=5", "image_size=8", "workers=1")


def command_of(card, name):
    """Return the arguments of the only command in the card that begins with that word."""
    lines = [line.strip() for line in card.splitlines()]
    (line,) = (line for line in lines if line.startswith(f"python -m data_gen {name}"))
    return shlex.split(line)[3:]


def test_the_command_makes_the_same_arrays(tmp_path):
    options = ["sim=billiards6", "sim.colors=[red,cyan]", "sim.radius=0.5", "sim.min_distance=null", "seed=3"]
    assert main([f"out={tmp_path / 'it is'}", *SMALL, "val=0", "test=1", *options]) == 0
    arguments = command_of((tmp_path / "it is" / CARD).read_text(), "sim=billiards6")
    assert f"out={tmp_path / 'it is'}" in arguments and "sim.radius=0.5" in arguments
    assert not any(argument.startswith("sim.num_balls") for argument in arguments)  # the yaml's value
    assert main([*arguments, f"out={tmp_path / 'again'}", "workers=1"]) == 0
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == ["README.md", "test.h5", "train.h5"]
    for split in ("train", "test"):
        first, again = (contents(tmp_path / folder / f"{split}.h5") for folder in ("it is", "again"))
        assert all((first[key] == again[key]).all() for key in first)


def test_a_new_split_is_added_to_the_card(tmp_path):
    options = [f"out={tmp_path}", *SMALL, "val=0"]
    assert main([*options, "test=0"]) == 0
    first = (tmp_path / CARD).read_text()
    assert "`train.h5` |" in first and "test.h5" not in first
    assert main([*options, "test=2"]) == 0
    second = (tmp_path / CARD).read_text()
    assert "| `train.h5` | `test.h5` |" in second and "| sequences | 3 | 2 |" in second
    assert "test=2" in command_of(second, "sim=billiards")


def test_checksums_are_those_of_the_files(tmp_path):
    assert main([f"out={tmp_path}", *SMALL, "val=1", "test=0"]) == 0
    card = (tmp_path / CARD).read_text()
    for name in ("train.h5", "val.h5"):
        assert f"    {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" in card


def test_the_card_of_an_import_has_its_command(tmp_path, rng):
    write_hdf5(tmp_path / "a.hdf5", {"image": rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)})
    arguments = ["format=images", f"data={tmp_path / 'a.hdf5'}", f"out={tmp_path}", "split=val"]
    assert main(["import", *arguments]) == 0
    card = (tmp_path / CARD).read_text()
    assert sorted(command_of(card, "import")) == sorted(["import", *arguments])
    assert "| mean speed | not known |" in card


def test_a_readme_of_another_origin_is_kept(tmp_path, capsys):
    write_ours(tmp_path / "train.h5")
    (tmp_path / CARD).write_text("# My project")
    write_card(tmp_path)
    assert (tmp_path / CARD).read_text() == "# My project"
    assert "no card of a dataset" in capsys.readouterr().out


def test_files_of_unknown_origin_have_no_command(tmp_path):
    write_ours(tmp_path / "train.h5")
    write_card(tmp_path)
    assert "(not known" in (tmp_path / CARD).read_text()


@pytest.mark.parametrize("block", [512, 2])
def test_statistics_by_hand(tmp_path, monkeypatch, block):
    """Three sequences of two frames with two objects; the last sequence lacks the second one."""
    monkeypatch.setattr("data_gen.card._BLOCK", block)
    velocities = np.zeros((3, 2, 2, 2))
    velocities[:, 0, 0] = [3, 4]  # a speed of 5
    velocities[:, :, 1] = [0, 2]
    present = np.ones((3, 2, 2), bool)
    present[2, :, 1] = False
    in_camera = present.copy()
    in_camera[0, 1, 0] = False
    write_ours(
        tmp_path / "a.h5", sequences=3, length=2, velocities=velocities, present=present, in_camera=in_camera,
        masses=np.full((3, 2, 2), 2, np.float32), collisions=np.array([[1, 0], [0, 0], [2, 0]]),
        **{key: np.zeros((3, 2, 2), kind) for key, kind in (("sizes", np.float32), ("ids", int))},
        **{key: np.zeros((3, 2, 2), int) for key in ("layers", "shapes")},
        positions=np.zeros((3, 2, 2, 2)), colors=np.zeros((3, 2, 2, 3), np.float32),
    )  # fmt: skip
    values = compute_statistics(read_info(tmp_path / "a.h5"))
    assert values.speed == (3 * 5 + 3 * 0 + 4 * 2) / 10
    np.testing.assert_array_equal(values.kinetic_energy, [(3 * 25 + 2 * 4) / 3, (2 * 4) / 3])
    assert values.collisions == 3 / 6
    np.testing.assert_array_equal(values.collisions_over_time, [1, 0])
    assert values.visible == 9 / 10
    np.testing.assert_array_equal(values.visible_over_time, [1, 4 / 5])


def test_statistics_without_truth_are_none(tmp_path, rng):
    np.savez(tmp_path / "a.npz", frames=rng.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8))
    assert main(["import", "format=npz", f"data={tmp_path / 'a.npz'}", f"out={tmp_path}"]) == 0
    values = compute_statistics(read_info(tmp_path / "train.h5"))
    assert all(value is None for value in vars(values).values())


def test_the_checksum_of_a_large_file_is_that_of_its_card_unless_it_is_older(tmp_path, monkeypatch):
    make_data(tmp_path, "billiards", "train=1", "length=2", "image_size=8")
    file, card = tmp_path / "train.h5", tmp_path / "README.md"
    true = hashlib.sha256(file.read_bytes()).hexdigest()
    card.write_text(card.read_text().replace(true, 64 * "a"))
    assert checksum(file) == true  # small: computed
    monkeypatch.setattr(cards, "LARGE", 0)
    assert checksum(file) == 64 * "a"
    os.utime(file, (card.stat().st_mtime + 9,) * 2)
    assert checksum(file) == true
    card.write_text("another text")
    os.utime(file, (0, 0))
    assert checksum(file) == true
