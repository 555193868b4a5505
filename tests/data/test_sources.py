"""Sequences from datasets, NumPy files and videos, and everything that can be wrong with them."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from data_gen.__main__ import main as generate
from data_gen.convert import ExportOptions, export_data, import_data
from data_gen.formats import ImportOptions
from seqvae.data.sequences import read_sequences
from seqvae.errors import UserError
from seqvae.video import write_video
from tests.data_gen import films
from tests.refusals import refusal


def test_a_dataset_comes_with_its_truth(dataset, arrays):
    sequences = read_sequences(dataset, image_size=(8, 8))
    np.testing.assert_array_equal(sequences.frames, arrays["imgs"])
    # 10 units over the width are 2 half-widths, counted from the middle
    np.testing.assert_allclose(sequences.positions, arrays["positions"] / 5 - 1, rtol=1e-12)
    np.testing.assert_allclose(sequences.velocities, arrays["velocities"] / 5, rtol=1e-12)
    np.testing.assert_allclose(sequences.radii, 0.24, rtol=1e-6)
    np.testing.assert_array_equal(sequences.prev_actions, np.roll(arrays["actions"], 1, axis=1))
    assert (sequences.coord_limit, sequences.num_actions, sequences.simulator) == (10.0, 9, "test")
    assert len(sequences) == 7


@pytest.mark.parametrize(
    ("sim", "walls"),
    [("billiards", True), ("billiards6", True), ("avoidance", True), ("springs", True), ("charged", True),
     ("sprites", True), ("sprites_curtain", True), ("balls_two_layer", True), ("balls_occlusion", True),
     ("gravity", False), ("spmot", False)],
)  # fmt: skip
def test_objects_bounce_where_their_world_has_walls(tmp_path, sim, walls):
    """At their radius; sprites at the radius of the circle around them, which is larger."""
    sizes = ["train=0", "val=0", "test=2", "length=3", "image_size=16", "workers=1"]
    assert generate([f"sim={sim}", f"out={tmp_path}", *sizes]) == 0
    sequences = read_sequences(tmp_path / "test.h5", index=1)
    assert (sequences.walls is not None) == walls
    if walls:
        assert sequences.walls.shape == sequences.radii.shape
        relative = (1 - sequences.walls) / sequences.radii
        assert (relative > 1.2).all() if sim.startswith("sprites") else abs(relative - 1).max() < 1e-5


def test_imported_billiards_have_walls_and_other_imports_none(tmp_path):
    sizes = ["train=0", "val=0", "test=2", "length=3", "image_size=16", "workers=1"]
    assert generate(["sim=billiards", f"out={tmp_path}", *sizes]) == 0
    export_data(ExportOptions("stove", str(tmp_path), str(tmp_path / "out")))
    for name, walls in (("billiards", True), ("billiards_official", True), ("gravity", False), (None, False)):
        import_data(ImportOptions("stove", str(tmp_path / "out"), str(tmp_path / f"{name}"), name=name))
        assert (read_sequences(tmp_path / f"{name}" / "test.h5").walls is not None) == walls


def test_digits_tell_their_sources_and_older_files_that_they_do_not(tmp_path):
    pytest.importorskip("sklearn.datasets")
    sizes = ["train=0", "val=0", "test=5", "length=3", "image_size=16", "workers=1"]
    assert generate(["sim=digits", f"out={tmp_path}", *sizes]) == 0
    sequences = read_sequences(tmp_path / "test.h5", max_frames=1)
    assert sequences.sources.shape == (5, 2) and sequences.first(2).without_truth().sources.shape == (2, 2)
    assert not sequences.notes and (sequences.walls == 1 - sequences.radii).all()
    with h5py.File(tmp_path / "test.h5", "r+") as file:
        del file["sources"]
    assert "make it anew" in read_sequences(tmp_path / "test.h5").notes[0]


def test_one_sequence_and_its_beginning(dataset, arrays):
    sequences = read_sequences(dataset, index=3, max_frames=6)
    np.testing.assert_array_equal(sequences.frames, arrays["imgs"][3:4, :6])
    np.testing.assert_array_equal(sequences.positions, read_sequences(dataset).positions[3:4, :6])
    # the last action in the file led to frame 0, however few frames are read
    actions = arrays["actions"][3]
    assert sequences.prev_actions.tolist() == [[actions[-1], *actions[:5]]]
    assert sequences.first(1).prev_actions is not None and sequences.without_truth().prev_actions is not None


def test_numpy_frames_with_and_without_a_sequence_axis(tmp_path, arrays):
    frames = arrays["imgs"]
    np.savez(tmp_path / "many.npz", frames=frames)
    np.savez_compressed(tmp_path / "one.npz", frames=frames[2])
    np.testing.assert_array_equal(read_sequences(tmp_path / "many.npz").frames, frames)
    np.testing.assert_array_equal(read_sequences(tmp_path / "many.npz", index=2).frames, frames[2:3])
    one = read_sequences(tmp_path / "one.npz", max_frames=4)
    np.testing.assert_array_equal(one.frames, frames[2:3, :4])
    assert one.positions is None and one.coord_limit is None and one.prev_actions is None


def test_numpy_frames_of_any_layout_and_type_with_one_meaning(tmp_path, arrays):
    frames = arrays["imgs"][2]
    ways = {
        "channels first": np.repeat(frames.transpose(0, 3, 1, 2)[None], 3, 0),
        "floats": frames / np.float32(255),
        "alpha": np.concatenate([frames, np.full_like(frames[..., :1], 255)], -1),
    }
    for name, array in ways.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.savez(tmp_path / f"{name}.npz", some_key=array, masks=np.zeros((9, 8, 8)), steps=np.zeros(9))
        for suffix in (".npy", ".npz"):
            found = read_sequences(tmp_path / f"{name}{suffix}").frames
            np.testing.assert_array_equal(found, np.broadcast_to(frames, found.shape))
            assert found.dtype == np.uint8 and found.shape[1:] == frames.shape and found.flags.writeable


def test_a_folder_stands_for_its_test_set(tmp_path, dataset):
    for name in ("train.h5", "other.h5", "test.h5"):
        (tmp_path / name).write_bytes(dataset.read_bytes())
        if name == "train.h5":  # the only one
            assert read_sequences(tmp_path).name == str(tmp_path / "train.h5")
        elif name == "other.h5":
            line = refusal(read_sequences, tmp_path)
            assert line == f"{tmp_path}: a folder without test.h5, holds other.h5, train.h5; name a file"
    assert read_sequences(tmp_path).name == str(tmp_path / "test.h5")


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
@pytest.mark.parametrize("length, fps", [(2, 10), (61, 7), (23, 24)])
def test_every_frame_of_a_video_is_read_once(tmp_path, suffix, length, fps):
    levels = np.linspace(0, 240, length).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    write_video(path, [np.full((16, 16, 3), level, np.uint8) for level in levels], fps)
    sequences = read_sequences(path)
    assert sequences.frames.shape == (1, length, 16, 16, 3) and sequences.notes == ()
    np.testing.assert_allclose(sequences.frames[0, :, 8, 8, 0].astype(int), levels, atol=3)  # H.264 rounds
    assert read_sequences(path, max_frames=2).frames.shape[1] == 2


def test_a_pause_in_a_gif_lasts_its_frames(tmp_path):
    levels = [10, 10, 10, 90, 200, 200]
    write_video(tmp_path / "a.gif", [np.full((8, 8, 3), level, np.uint8) for level in levels])
    assert read_sequences(tmp_path / "a.gif").frames[0, :, 0, 0, 0].tolist() == levels


def test_a_video_is_read_as_by_the_import(tmp_path, rng):
    """Each picture of a GIF once, and no frame missing in silence, up to the last one that is asked for."""
    assert read_sequences(films.gif(tmp_path / "a.gif", [20, 30] * 5)).frames.shape[1] == 10
    (note,) = read_sequences(films.gif(tmp_path / "b.gif", [100, 1000, 100])).notes
    assert note.startswith(f"{tmp_path / 'b.gif'}: frames are 0.1 to 1 s apart")
    noise = rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    path = films.cut_off(films.film(tmp_path / "c.mov", noise, "-c:v", "mjpeg", "-movflags", "+faststart"))
    assert "only" in (line := refusal(read_sequences, path)) and "of 20 frames can be read" in line
    assert read_sequences(path, max_frames=8).frames.shape[1] == 8


def test_a_video_is_cropped_to_the_middle_and_averaged(tmp_path):
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, 16:32] = 200  # the left half of the middle
    frame[:, :16] = frame[:, 48:] = 90  # cut off
    write_video(tmp_path / "wide.gif", [frame])
    sequences = read_sequences(tmp_path / "wide.gif", image_size=(8, 8))
    assert sequences.frames.shape == (1, 1, 8, 8, 3)
    np.testing.assert_allclose(sequences.frames[0, 0, :, :4], 200, atol=4)
    np.testing.assert_allclose(sequences.frames[0, 0, :, 4:], 0, atol=4)
    (note,) = sequences.notes
    assert "64x32 cropped to the middle and resized to 8x8" in note


def test_other_sizes_are_refused_where_there_is_truth(dataset):
    with pytest.raises(UserError, match="frames are 8x8, the model takes 16x32"):
        read_sequences(dataset, image_size=(32, 16))


@pytest.mark.parametrize("index", [-1, 7])
def test_sequences_that_are_not_there(dataset, index):
    with pytest.raises(UserError, match=f"index={index}, but it holds sequences 0 to 6"):
        read_sequences(dataset, index=index)


def bad_files(folder, dataset):
    """(path, part of the message)"""
    yield folder / "missing.h5", "no such file"
    yield folder, "a folder without test.h5, holds no dataset"
    contents = {
        "a.txt": (b"text", "unknown kind of file"),
        "a.h5": (b"text", "not a readable HDF5 file"),
        "cut.h5": (dataset.read_bytes()[:-50], "truncated"),
        "a.npz": (b"text", "must be a plain array|cannot be read"),
        "empty.npz": (b"", "cannot be read"),
        "a.mp4": (b"text", "no video"),
        "empty.gif": (b"", "no video"),
    }
    for name, (content, message) in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name, message
    arrays = {
        "keys.npz": (
            dict(a=np.zeros((2, 8, 8)), b=np.zeros((2, 8, 8))),
            r"a \(2, 8, 8\), b .* several arrays",
        ),
        "float.npz": (dict(frames=np.full((1, 2, 8, 8, 3), 1.5)), "say which number is white"),
        "flat.npz": (dict(frames=np.zeros((3, 8, 8), np.uint8)), r"shape \(3, 8, 8\) can mean several"),
        "states.npz": (dict(a=np.zeros((9, 8, 4)), b=np.zeros(9)), r"b \(9,\): no array that can be"),
        "none.npz": (dict(frames=np.zeros((0, 2, 8, 8, 3), np.uint8)), r"shape \(0, 2"),
        "objects.npz": (dict(frames=np.array([{}], dtype=object)), "plain array"),
    }
    for name, (content, message) in arrays.items():
        np.savez(folder / name, **content)
        yield folder / name, message
    whole = (folder / "float.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    yield folder / "cut.npz", "cannot be read"


def test_bad_files_are_named_in_one_line(tmp_path, dataset):
    for path, message in bad_files(tmp_path, dataset):
        line = refusal(read_sequences, path)
        assert str(path) in line and re.search(message, line)
