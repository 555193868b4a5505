"""The dataset file: round trips are exact, damage is named, and incomplete files never exist."""

from __future__ import annotations

import json
import re
import shutil
import zlib

import h5py
import numpy as np
import pytest

from data_gen import __version__
from data_gen.errors import DataError
from data_gen.schema import FIELDS, open_dataset, read_info
from data_gen.writer import chunk_shape, create_dataset, pack
from tests.refusals import refusal

ATTRIBUTES = {
    "simulator": "test",
    "config": {"sequences": 5, "nested": {"colors": ["red"]}},
    "seed": 3,
    "dt": 1.0,
    "coord_limit": 10.0,
    "num_actions": 9,
    "shape_names": ("disc", "square"),
}
SIZES = {"n": 5, "t": 20, "h": 8, "w": 6, "c": 3, "k": 2, "s": 2, "a": 2, "2": 2, "3": 3}


def arrays(rng):
    """Return random values for every key of the format."""
    shapes = {key: tuple(SIZES[axis] for axis in field.axes.split()) for key, field in FIELDS.items()}
    return {key: rng.integers(0, 2, shapes[key]).astype(field.dtype) for key, field in FIELDS.items()}


def write(path, content, block=2, prepare=lambda key, array: array):
    """Write a dataset block by block."""
    with create_dataset(path, 5, ATTRIBUTES) as writer:
        for start in range(0, 5, block):
            writer.write(
                start, {key: prepare(key, array[start : start + block]) for key, array in content.items()}
            )


def packed(key, array):
    """Pack an array in chunks of two sequences; the last one is not full."""
    return pack(array, FIELDS[key].dtype, chunk_shape(FIELDS[key].axes, array.shape, sequences=2))


def test_round_trip_in_blocks(tmp_path, rng):
    content = arrays(rng)
    write(tmp_path / "a.h5", content)
    with open_dataset(tmp_path / "a.h5") as file:
        assert set(file) == set(content)
        for key, array in content.items():
            np.testing.assert_array_equal(file[key][:], array)
            assert file[key].dtype == array.dtype
    info = read_info(tmp_path / "a.h5")
    assert (info.sequences, info.length, info.height, info.width, info.num_objects) == (5, 20, 8, 6, 2)
    assert info.config == ATTRIBUTES["config"] and info.shape_names == ("disc", "square")
    assert info.package_version == __version__
    assert (info.seed, info.dt, info.coord_limit, info.num_actions) == (3, 1.0, 10.0, 9)


def test_limits_of_continuous_actions(tmp_path, rng):
    content = arrays(rng)
    write(tmp_path / "without.h5", content)
    info = read_info(tmp_path / "without.h5")
    assert info.action_low == (-np.inf, -np.inf) and info.action_high == (np.inf, np.inf)
    limits = {"action_low": (-1.0, -np.inf), "action_high": (2.0, 0.5)}
    with create_dataset(tmp_path / "with.h5", 5, ATTRIBUTES | limits) as writer:
        writer.write(0, content)
    info = read_info(tmp_path / "with.h5")
    assert (info.action_low, info.action_high) == (limits["action_low"], limits["action_high"])
    with h5py.File(tmp_path / "with.h5", "a") as file:
        file.attrs["action_low"] = [0.0]
    words = "action_low has 1 numbers, must have one per number of an action, 2"
    assert words in refusal(read_info, tmp_path / "with.h5", error=DataError)


def test_packed_arrays_are_read_like_plain_ones(tmp_path, rng):
    content = arrays(rng)
    write(tmp_path / "plain.h5", content)
    write(tmp_path / "packed.h5", content, prepare=packed)
    with open_dataset(tmp_path / "plain.h5") as plain, open_dataset(tmp_path / "packed.h5") as file:
        for key in plain:
            np.testing.assert_array_equal(file[key][:], plain[key][:])
            assert file[key].dtype == plain[key].dtype and file[key].compression == "gzip"
        assert file["imgs"].chunks == plain["imgs"].chunks


def test_runs_and_patterns_are_both_compressed_well():
    """Black with a few dots, and a background of one colour, whose bytes repeat every third one."""
    black, coloured = np.zeros((2, 16, 32, 32, 3), np.uint8), np.zeros((2, 16, 32, 32, 3), np.uint8)
    black[..., ::5, ::5, 0], coloured[...] = 200, (10, 120, 230)
    for frames in (black, coloured):
        content = pack(frames, np.uint8, (1, 16, 32, 32, 3)).chunks
        assert sum(len(data) for _, data in content) < 0.03 * frames.nbytes
        np.testing.assert_array_equal(
            [np.frombuffer(zlib.decompress(data), np.uint8) for _, data in content], frames.reshape(2, -1)
        )


def test_frames_lie_in_chunks_of_sixteen(tmp_path, rng):
    write(tmp_path / "a.h5", arrays(rng))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["imgs"].chunks == (1, 16, 8, 6, 3)
        assert file["imgs"].compression == "gzip" and file["imgs"].compression_opts == 1
        assert file.attrs["action_convention"].startswith("actions[:, t] acts between frame t and t + 1")


def test_only_frames_are_required(tmp_path, rng):
    write(tmp_path / "a.h5", {"imgs": arrays(rng)["imgs"]})
    assert read_info(tmp_path / "a.h5").num_objects is None


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path, rng, fault):
    with pytest.raises(fault), create_dataset(tmp_path / "a.h5", 5, ATTRIBUTES) as writer:
        writer.write(0, {key: array[:2] for key, array in arrays(rng).items()})
        raise fault
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, rng):
    write(tmp_path / "a.h5", arrays(rng))
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(DataError, match="2 of 5"), create_dataset(tmp_path / "a.h5", 5, ATTRIBUTES) as writer:
        writer.write(0, {key: array[:2] for key, array in arrays(rng).items()})
    assert (tmp_path / "a.h5").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_an_unwritable_path_is_named(tmp_path):
    with (
        pytest.raises(DataError, match="nowhere/a.h5: cannot be written"),
        create_dataset(tmp_path / "nowhere" / "a.h5", 5, ATTRIBUTES),
    ):
        pass


def retype(file, key, **change):
    data = file[key][:]
    del file[key]
    file.create_dataset(key, **({"data": data} | change))


def relink(file, key, link):
    del file[key]
    file[key] = link


DAMAGE = {
    "no attribute format": (lambda f: f.attrs.pop("format"), "no seqvae-dataset"),
    "foreign format": (lambda f: f.attrs.modify("format", "other"), "no seqvae-dataset"),
    "numeric format": (lambda f: f.attrs.create("format", 7), "no seqvae-dataset"),
    "no version": (lambda f: f.attrs.pop("format_version"), "format version None"),
    "another version": (lambda f: f.attrs.modify("format_version", 2), "format version 2"),
    "no seed": (lambda f: f.attrs.pop("seed"), "root attribute seed"),
    "no frames": (lambda f: f.pop("imgs"), "lacks the key imgs"),
    "frames as floats": (lambda f: retype(f, "imgs", data=f["imgs"][:] / 255.0), "imgs has type float64"),
    "grey frames": (lambda f: retype(f, "imgs", data=f["imgs"][..., :1]), "imgs has 1 along c"),
    "flat frames": (lambda f: retype(f, "imgs", data=f["imgs"][:, 0]), "imgs must have the axes"),
    "fewer positions": (lambda f: retype(f, "positions", data=f["positions"][:4]), "positions has 4 along n"),
    "other objects": (lambda f: retype(f, "sizes", data=f["sizes"][:, :, :1]), "sizes has 1 along k"),
    "actions as floats": (lambda f: retype(f, "actions", dtype="f4"), "actions has type float32"),
    "a group": (lambda f: (f.pop("masks"), f.create_group("masks")), "masks must have the axes"),
    "a broken link": (
        lambda f: relink(f, "imgs", h5py.ExternalLink("gone.h5", "/imgs")),
        "imgs is a link to gone.h5:/imgs, where nothing is",
    ),
    "a broken soft link": (lambda f: relink(f, "masks", h5py.SoftLink("/gone")), "masks is a link to /gone"),
    "broken config": (lambda f: f.attrs.modify("config", "{"), "root attribute config"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_violation_of_the_format_is_named(tmp_path, rng, damage):
    path = tmp_path / "a.h5"
    write(path, arrays(rng))
    change, message = DAMAGE[damage]
    with h5py.File(path, "r+") as file:
        change(file)
    line = refusal(read_info, path, error=DataError)
    assert line.startswith(str(path)) and re.search(message, line)


def test_missing_truncated_and_foreign_files_are_named(tmp_path, rng):
    complete, path = tmp_path / "complete.h5", tmp_path / "a.h5"
    write(complete, arrays(rng))
    with pytest.raises(DataError, match="no such file"):
        open_dataset(path)
    path.write_bytes(complete.read_bytes()[:-100])
    with pytest.raises(DataError, match="is truncated"):
        open_dataset(path)
    for content in (b"", b"hello", json.dumps(list(range(5000))).encode()):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable HDF5 file"):
            open_dataset(path)
    path.unlink()
    shutil.copytree(tmp_path, path, ignore=lambda *_: ["complete.h5", "a.h5"])
    with pytest.raises(DataError, match="no such file"):
        open_dataset(path)
