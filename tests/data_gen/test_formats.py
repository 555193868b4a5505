"""Foreign formats keep their meaning, lose only what is documented, and report faults in one line."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from data_gen.__main__ import main
from data_gen.convert import ExportOptions, export_data
from data_gen.errors import DataError
from data_gen.schema import read_info
from tests.data_gen.foreign import contents, gswm_arrays, import_files, write_hdf5, write_ours
from tests.refusals import refusal


def export_files(form, data, out, **options):
    export_data(ExportOptions(form, str(data), str(out), **options))


def round_trip(folder, form, **options):
    """Export and import train.h5 of the folder; return its arrays and its info."""
    export_files(form, folder / "train.h5", folder / form)
    import_files(form, folder / form, folder / f"{form}_back", **options)
    path = folder / f"{form}_back" / "train.h5"
    return contents(path), read_info(path)


@pytest.mark.parametrize("name", ["billiards", "avoidance"])
def test_gswm_round_trip_keeps_everything_in_pixels(tmp_path, name):
    ours = write_ours(tmp_path / "train.h5", name)
    back, info = round_trip(tmp_path, "gswm")
    assert back.keys() == ours.keys()
    assert (info.coord_limit, info.shape_names) == (16.0, ("disc",))
    assert info.num_actions == (9 if name == "avoidance" else 0)
    for key, array in ours.items():
        if key in ("positions", "velocities", "sizes"):  # 10 units are 16 pixels
            precision = np.finfo(np.float32 if key == "sizes" else np.float64).eps
            np.testing.assert_allclose(back[key], array * 1.6, rtol=2 * precision, atol=0)
        else:
            np.testing.assert_array_equal(back[key], array)


def test_gswm_file_is_as_its_loader_expects(tmp_path, rng):
    seen = rng.uniform(size=(5, 6, 3)) < 0.5
    ours = write_ours(tmp_path / "train.h5", in_camera=seen)
    export_files("gswm", tmp_path, tmp_path / "out")
    file = contents(tmp_path / "out" / "train.hdf5")
    expected = gswm_arrays(rng)
    assert expected.keys() <= file.keys()
    assert all(file[key].dtype == array.dtype for key, array in expected.items())
    assert not file["positions"][~seen].any() and not file["sizes"][~seen].any()
    np.testing.assert_allclose(file["positions"][seen], ours["positions"][seen] * 1.6)
    np.testing.assert_allclose(file["sizes"][seen], 1.2 * 1.6, rtol=1e-6)


def test_gswm_import_of_a_file_of_its_generator(tmp_path, rng, capsys):
    arrays = gswm_arrays(rng)
    write_hdf5(tmp_path / "val.hdf5", arrays)
    import_files("gswm", tmp_path / "val.hdf5", tmp_path)
    ours, info = contents(tmp_path / "val.h5"), read_info(tmp_path / "val.h5")
    for key, array in arrays.items():
        np.testing.assert_array_equal(ours[key], array.astype(ours[key].dtype))
    assert ours["present"].dtype == bool and ours["ids"].dtype == np.int64
    assert info.coord_limit == 12.0 and info.shape_names[3] == "cross_rotate"
    assert "off camera" in capsys.readouterr().out


def test_gswm_positions_on_a_larger_canvas_count_from_the_picture(tmp_path, rng):
    arrays = gswm_arrays(rng)
    write_hdf5(tmp_path / "train.hdf5", arrays)
    import_files("gswm", tmp_path, tmp_path, canvas=20)
    seen = arrays["in_camera"] == 1
    back = contents(tmp_path / "train.h5")["positions"]
    np.testing.assert_array_equal(back[seen], arrays["positions"][seen] - 4)
    assert not back[~seen].any()


@pytest.mark.parametrize("name", ["billiards", "gravity", "avoidance"])
def test_stove_round_trip_keeps_frames_states_and_actions(tmp_path, name):
    ours = write_ours(tmp_path / "train.h5", name)
    back, info = round_trip(tmp_path, "stove", name=name)
    lost = {"colors", "collisions", "layers", "shapes"}
    lost |= {"masses"} if name == "avoidance" else {"rewards", "dones"}
    assert ours.keys() - back.keys() == lost and back.keys() <= ours.keys()
    for key in back:
        np.testing.assert_array_equal(back[key], ours[key])
    assert info.coord_limit == (30.0 if name == "gravity" else 10.0)
    assert info.num_actions == (9 if name == "avoidance" else 0) and info.simulator == name


def test_stove_pickle_is_as_its_loader_expects(tmp_path):
    ours = write_ours(tmp_path / "train.h5", "avoidance")
    export_files("stove", tmp_path, tmp_path)
    with (tmp_path / "train.pkl").open("rb") as file:
        content = pickle.load(file)
    assert content["X"].dtype == content["y"].dtype == np.float64
    np.testing.assert_array_equal(content["X"], ours["imgs"] / 255)
    np.testing.assert_array_equal(content["y"], np.concatenate([ours["positions"], ours["velocities"]], -1))
    np.testing.assert_array_equal(content["action"].argmax(-1), ours["actions"])
    np.testing.assert_array_equal(content["reward"][..., 0], ours["rewards"])
    assert content["done"].shape == (5, 6, 1) and content["action_space"] == 9
    assert (content["r"], content["m"], content["hw"], content["coord_lim"], content["n"]) == (
        1.0,
        1.0,
        10.0,
        10.0,
        3,
    )


def test_colours_are_rounded_half_up(tmp_path):
    levels = np.array([0, 0.4, 0.5, 1.5, 254.49, 254.5]) / 255
    frames = np.broadcast_to(levels[:, None, None, None, None], (6, 1, 2, 2, 3))
    (tmp_path / "a_test.pkl").write_bytes(pickle.dumps({"X": np.ascontiguousarray(frames)}))
    import_files("stove", tmp_path, tmp_path)
    imgs = contents(tmp_path / "test.h5")["imgs"]
    assert imgs[:, 0, 0, 0, 0].tolist() == [0, 0, 1, 2, 254, 255]
    assert read_info(tmp_path / "test.h5").num_objects is None


def test_image_sets_round_trip_frame_by_frame(tmp_path, rng):
    masks = rng.integers(0, 4, (5, 6, 16, 16), dtype=np.uint8)
    ours = write_ours(tmp_path / "train.h5", masks=masks)
    back, info = round_trip(tmp_path, "images")
    assert (info.sequences, info.length) == (30, 1) and back.keys() == {"imgs", "masks"}
    np.testing.assert_array_equal(back["imgs"].reshape(ours["imgs"].shape), ours["imgs"])
    np.testing.assert_array_equal(back["masks"].reshape(masks.shape), masks)


@pytest.mark.parametrize("channels, scale", [(1, 1), (3, 255)])
def test_image_sets_may_be_grey_or_in_floats(tmp_path, rng, channels, scale, capsys):
    image = rng.integers(0, 256, (7, 8, 10, channels)).astype(np.uint8)
    mask = rng.integers(0, 6, (7, 8, 10, 1))
    stored = image if scale == 1 else (image / scale).astype(np.float32)
    write_hdf5(tmp_path / "clevr.hdf5", {"image": stored, "mask": mask, "num_objects": np.ones(7)})
    import_files("images", tmp_path, tmp_path, split="test")
    ours = contents(tmp_path / "test.h5")
    np.testing.assert_array_equal(ours["imgs"], np.broadcast_to(image, (7, 8, 10, 3))[:, None])
    np.testing.assert_array_equal(ours["masks"], mask[..., 0][:, None])
    assert "left out num_objects" in capsys.readouterr().out


def test_blocks_join_to_the_full_array(tmp_path, monkeypatch):
    monkeypatch.setattr("data_gen.formats._BLOCK_BYTES", 2 * 6 * 16 * 16 * 3)  # two sequences
    masks = np.arange(5 * 6 * 256).reshape(5, 6, 16, 16).astype(np.uint8)
    ours = write_ours(tmp_path / "train.h5", masks=masks)
    for form in ("gswm", "stove", "images"):
        back, _ = round_trip(tmp_path, form)
        np.testing.assert_array_equal(back["imgs"].reshape(ours["imgs"].shape), ours["imgs"])


def gswm_faults(rng):
    good = gswm_arrays(rng)
    yield "no imgs", {"frames": good["imgs"]}, "holds frames, but no imgs"
    yield "float imgs", good | {"imgs": good["imgs"] / 255}, "imgs has type float64"
    yield "no frames", good | {"imgs": good["imgs"][:0]}, "3 along n"
    yield "fewer sequences", good | {"ids": good["ids"][:2]}, "ids has 2 along n, but imgs 3"
    yield "fewer objects", good | {"sizes": good["sizes"][..., :2]}, "sizes has 2 along k, but positions 4"
    yield "flat", good | {"masses": good["masses"][0]}, "masses has 2 axes, must be n t k"
    yield "halves", good | {"shapes": good["shapes"] + 0.5}, "shapes holds values that are no int64"
    yield "nan", good | {"present": good["present"] * np.nan}, "present holds values that are no bool"
    yield "texts", good | {"ids": good["ids"].astype("S3")}, "ids has type |S3"
    yield "oblong", good | {"imgs": good["imgs"][:, :, :8]}, "frames are 12x8"


def image_faults(rng):
    image, mask = np.zeros((4, 20, 20, 3), np.uint8), np.zeros((4, 20, 20, 1), int)
    layers, many = np.full((4, 5, 20, 20, 1), 0.2), 300 + np.arange(400).reshape(1, 20, 20, 1)
    yield "soft layers", {"image": image, "mask": layers}, "a layer per object that is not 0 or 0.2"
    yield "layers that overlap", {"image": image, "mask": layers * 5}, "with one object per pixel"
    yield "soft masks", {"image": image, "mask": mask + 0.5}, "numbers from 0.5 to 0.5 that are not whole"
    yield "many labels", {"image": image, "mask": np.repeat(many, 4, 0)}, "has 400 labels in a sequence"
    yield "negative labels", {"image": image, "mask": mask - 2}, "labels down to -2"
    yield "masks of another size", {"image": image, "mask": mask[:, :9]}, "has shape ... (9, 20, 1)"
    yield "fewer masks", {"image": image, "mask": mask[:2]}, "must begin with (4,)"
    yield "too bright", {"image": image + 1.5}, "from 1.5 to 1.5; say which number is white"
    yield "below 0", {"image": image.astype(int) - 1}, "from -1 to -1; bring them to 0 ... 1"
    yield "not a number", {"image": image * np.nan}, "from nan to nan"


def stove_faults(rng):
    good = {"X": np.zeros((3, 4, 8, 8, 3)), "y": np.zeros((3, 4, 2, 4)), "r": 1.0, "m": 1.0, "coord_lim": 10}
    yield "a list", [1, 2], "no dict with an array X"
    yield "no X", {"y": good["y"]}, "no dict with an array X"
    yield "too bright", good | {"X": good["X"] + 1.1}, "X holds values from 1.1 to 1.1"
    yield "not a number", good | {"X": good["X"] * np.nan}, "X holds values from nan"
    yield "grey", good | {"X": good["X"][..., :1]}, "imgs has 1 along c"
    yield "no velocities", good | {"y": good["y"][..., :2]}, "must end in 4"
    yield "fewer states", good | {"y": good["y"][:, :3]}, "positions has 3 along t, but imgs 4"
    yield "no limit", {k: v for k, v in good.items() if k != "coord_lim"}, "coord_lim is None"
    yield "limit 0", good | {"coord_lim": 0}, "coord_lim is 0"
    yield "radii of others", good | {"r": [1, 2, 3]}, "r must be one number, or one for each of 2"
    yield "soft actions", good | {"action": np.full((3, 4, 9), 1 / 9)}, "one-hot"


FAULTS = {"gswm": (gswm_faults, ".hdf5"), "images": (image_faults, ".hdf5"), "stove": (stove_faults, ".pkl")}


@pytest.mark.parametrize("form", FAULTS)
def test_faults_of_files_are_reported_in_one_line_that_names_them(tmp_path, rng, form):
    faults, suffix = FAULTS[form]
    for name, content, message in faults(rng):
        path = tmp_path / f"{name}{suffix}"
        if form == "stove":
            path.write_bytes(pickle.dumps(content))
        else:
            write_hdf5(path, content)
        assert message in refused(form, path, tmp_path / "out"), name


def refused(form, path, out):
    """Return the message of an import that fails, names the file and leaves nothing behind."""
    message = refusal(import_files, form, path, out, error=DataError)
    assert message.startswith(str(path))
    assert list(out.iterdir()) == []
    return message


@pytest.mark.parametrize("form", FAULTS)
def test_truncated_and_foreign_files_are_reported_in_one_line(tmp_path, form):
    write_ours(tmp_path / "train.h5", masks=np.zeros((5, 6, 16, 16), np.uint8))
    export_files(form, tmp_path, tmp_path / "exported")
    (path,) = (tmp_path / "exported").iterdir()
    complete = path.read_bytes()
    for content in (complete[: len(complete) // 2], complete[:-1], complete[:3], b"", b"text\n" * 99):
        path.write_bytes(content)
        assert f"{path}: is " in refused(form, path, tmp_path / "out")


def test_damage_inside_an_hdf5_file_is_reported_in_one_line(tmp_path):
    write_ours(tmp_path / "train.h5")
    export_files("gswm", tmp_path, tmp_path)
    path = tmp_path / "train.hdf5"
    with h5py.File(path) as file:
        offset = file["imgs"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)  # the beginning of a compressed chunk
    path.write_bytes(content)
    assert "is damaged" in refused("gswm", path, tmp_path / "out")


def test_a_dataset_that_a_format_cannot_hold_is_refused(tmp_path):
    write_ours(tmp_path / "train.h5", sizes=np.ones((5, 6, 3), np.float32) * np.float32([1, 2, 3]))
    for form, message in {"images": "has no masks", "stove": "sizes differ, 1 to 3"}.items():
        with pytest.raises(DataError, match=message):
            export_files(form, tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_export_leaves_nothing(tmp_path):
    """The last of five sequences is in a damaged chunk."""
    write_ours(tmp_path / "train.h5", sequences=5)
    path = tmp_path / "train.h5"
    with h5py.File(path) as file:
        offset = file["imgs"].id.get_chunk_info_by_coord((4, 0, 0, 0, 0)).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    for form in ("gswm", "stove"):
        with pytest.raises(DataError, match="train.h5: is damaged"):
            export_files(form, tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_existing_files_are_kept_unless_overwrite(tmp_path):
    write_ours(tmp_path / "train.h5")
    export_files("gswm", tmp_path, tmp_path)
    with pytest.raises(DataError, match="train.hdf5: exists; overwrite=true"):
        export_files("gswm", tmp_path, tmp_path)
    with pytest.raises(DataError, match="train.h5: exists; overwrite=true"):
        import_files("gswm", tmp_path / "train.hdf5", tmp_path)
    export_files("gswm", tmp_path, tmp_path, overwrite=True)


OPTIONS = {
    "format=fish": "format=fish: must be one of auto, arrays",
    "split=dev": "split=dev: must be one of train",
    "data=": "data: is missing",
    "data=nowhere": "data=nowhere: no such file or folder",
    "fish=1": "fish",
    "length=0": "length=0",
    "crop=maybe": "crop=maybe: must be true or false",
    "val=0.9": "val=0.9 test=0.5",
    "canvas=3": "canvas=3: the frames are 12",
    "out=/dev/null/x": "out=/dev/null/x: cannot be written",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_bad_options_are_reported_in_one_line(tmp_path, rng, capsys, option):
    write_hdf5(tmp_path / "train.hdf5", gswm_arrays(rng))
    arguments = ["import", "format=gswm", f"data={tmp_path}", f"out={tmp_path}", "test=0.5", option]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert OPTIONS[option] in err and err.count("\n") == 1


def test_paths_may_hold_any_character(tmp_path, rng):
    folder = tmp_path / "it's, a=b {c} $d"
    folder.mkdir()
    write_hdf5(folder / "train.hdf5", gswm_arrays(rng))
    import_files("gswm", folder, folder)
    assert read_info(folder / "train.h5").sequences == 3


def test_commands_are_listed(capsys):
    assert main(["fish"]) == 2
    assert "no command fish; known: generate, record, import, export, preview" in capsys.readouterr().err
    for command in ("record", "import", "export", "preview"):
        assert main([command, "--help"]) == 0
        assert f"python -m data_gen {command}" in capsys.readouterr().out
