"""Arrays of other programs: found under any key, read as they are meant, refused where that is not known."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from data_gen.__main__ import main
from data_gen.convert import import_data
from data_gen.errors import DataError
from data_gen.formats import ImportOptions
from data_gen.schema import read_info
from tests.data_gen.foreign import contents, import_files, write_hdf5, write_ours
from tests.refusals import refusal

LAYOUT = ("n", "t", "h", "w", "c")


@pytest.fixture
def frames(rng):
    return rng.integers(0, 256, (5, 6, 8, 10, 3), dtype=np.uint8)


def imported(data, out, **options):
    """Import and return the frames of train.h5."""
    import_files(options.pop("format", "auto"), data, out, overwrite=True, **options)
    return contents(out / "train.h5")["imgs"]


def refused(data, out, **options):
    """Return the message of an import that fails and leaves nothing behind."""
    message = refusal(lambda: imported(data, out, **options), error=DataError)
    assert list(out.iterdir()) == []
    return message


def save_npy(path, array):
    np.save(path.with_suffix(".npy"), array)
    return path.with_suffix(".npy")


def save_npz(path, array):
    np.savez(path.with_suffix(".npz"), some_key=array)
    return path.with_suffix(".npz")


def save_compressed(path, array):
    np.savez_compressed(path.with_suffix(".npz"), some_key=array)
    return path.with_suffix(".npz")


def save_hdf5(path, array):
    write_hdf5(path.with_suffix(".hdf5"), {"train/some_key": array})
    return path.with_suffix(".hdf5")


def save_zarr(path, array):
    zarr = pytest.importorskip("zarr")
    zarr.save_group(str(path.with_suffix(".zarr")), some_key=array)
    return path.with_suffix(".zarr")


SAVES = [save_npy, save_npz, save_compressed, save_hdf5, save_zarr]


@pytest.mark.parametrize("save", SAVES)
def test_the_only_array_is_found_in_every_kind_of_file(tmp_path, frames, save, capsys):
    path = save(tmp_path / "a", frames)
    np.testing.assert_array_equal(imported(path, tmp_path / "out"), frames)
    output = capsys.readouterr().out
    assert "read as n t h w c" in output and "is taken for the frames" in output
    assert f"{path}: read as format=arrays" in output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "train.h5"]


@pytest.mark.parametrize("save", SAVES)
def test_axes_in_any_order(tmp_path, frames, save):
    for layout in ("n t c h w", "t n h w c", "c t w h n"):
        order = [LAYOUT.index(axis) for axis in layout.split()]
        path = save(tmp_path / layout.replace(" ", ""), frames.transpose(order))
        found = imported(path, tmp_path / "out", layout=layout)
        np.testing.assert_array_equal(found, frames)
    path = save(tmp_path / "grey", frames[0, ..., 0])
    grey = np.broadcast_to(frames[0, ..., :1], frames[0].shape)
    np.testing.assert_array_equal(imported(path, tmp_path / "out", layout="t h w"), grey[None])
    np.testing.assert_array_equal(imported(path, tmp_path / "out", layout="n h w"), grey[:, None])


def test_blocks_join_to_the_full_array(tmp_path, frames, monkeypatch):
    """Blocks smaller than a sequence, of one sequence, and of several."""
    for size in (8 * 10 * 3, 6 * 8 * 10 * 3, 2 * 6 * 8 * 10 * 3):
        monkeypatch.setattr("data_gen.lazy._BLOCK_BYTES", size)
        monkeypatch.setattr("data_gen.formats._BLOCK_BYTES", size)
        for layout in ("n t h w c", "t n c h w"):
            order = [LAYOUT.index(axis) for axis in layout.split()]
            path = save_compressed(tmp_path / "a", frames.transpose(order))
            np.testing.assert_array_equal(imported(path, tmp_path / "out", layout=layout), frames)
            path = save_hdf5(tmp_path / "b", (frames / 255).transpose(order))
            np.testing.assert_array_equal(imported(path, tmp_path / "out", layout=layout), frames)


@pytest.mark.parametrize("dtype, white", [("f4", 1), ("f8", 1), ("f4", 255), ("u2", 65535), ("i8", 255)])
def test_types_become_bytes(tmp_path, frames, dtype, white):
    stored = (frames / 255 * white).round(9 if white == 1 else 0).astype(dtype)
    path = save_npy(tmp_path / "a", stored)
    np.testing.assert_array_equal(imported(path, tmp_path / "out"), frames)


def test_an_unknown_white_is_asked_for(tmp_path, frames):
    path = save_npy(tmp_path / "a", frames / 255 * 1.5)
    assert "to 1.5; say which number is white" in refused(path, tmp_path / "out")
    found = imported(path, tmp_path / "out", scale=1.5)
    np.testing.assert_array_equal(found, frames)


def test_alpha_is_dropped_or_laid_on_black(tmp_path, frames, capsys):
    rgba = np.concatenate([frames, np.full((*frames.shape[:-1], 1), 255, np.uint8)], -1)
    np.testing.assert_array_equal(imported(save_npy(tmp_path / "a", rgba), tmp_path / "out"), frames)
    assert "laid on black" not in capsys.readouterr().out
    rgba[..., 3] = 255 * (rgba[..., 0] > 100)
    found = imported(save_npy(tmp_path / "a", rgba), tmp_path / "out")
    np.testing.assert_array_equal(found, frames * (rgba[..., :1] > 100))
    assert "laid on black" in capsys.readouterr().out


# ---- keys


def test_several_arrays_are_asked_for(tmp_path, frames):
    arrays = {"left": frames, "right": frames[:, ::-1], "states": np.zeros((5, 6, 4))}
    np.savez(tmp_path / "a.npz", **arrays)
    assert "say key=NAME, one of left, right" in refused(tmp_path / "a.npz", tmp_path / "out")
    np.testing.assert_array_equal(
        imported(tmp_path / "a.npz", tmp_path / "out", key="right"), frames[:, ::-1]
    )
    message = refused(tmp_path / "a.npz", tmp_path / "new", key="centre")
    assert "key=centre: not in" in message and "states (5, 6, 4)" in message


@pytest.mark.parametrize("key", ["images", "imgs", "X", "frames", "video", "observations", "pixels"])
def test_usual_names_are_found(tmp_path, frames, key, capsys):
    write_hdf5(tmp_path / "a.h5", {f"data/{key}": frames, "data/state": np.zeros((5, 6, 4)), "fps": 10})
    np.testing.assert_array_equal(imported(tmp_path / "a.h5", tmp_path / "out"), frames)
    assert "left out data/state, fps" in capsys.readouterr().out


def test_without_pictures_the_arrays_are_listed(tmp_path):
    np.savez(tmp_path / "a.npz", states=np.zeros((5, 6, 4)))
    message = refused(tmp_path / "a.npz", tmp_path / "out")
    assert "no array that can be pictures, but states (5, 6, 4)" in message


@pytest.mark.parametrize("form", ["auto", "images", "gswm"])
@pytest.mark.parametrize("external", [True, False])
def test_broken_links_are_named(tmp_path, frames, form, external):
    key = "imgs" if form == "gswm" else "image"
    link = h5py.ExternalLink("gone.h5", "/there") if external else h5py.SoftLink("/there")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[key] = link
        file["label"] = np.zeros(5)
    target = "gone.h5:/there" if external else "/there"
    message = refused(tmp_path / "a.h5", tmp_path / "out", format=form)
    assert f"{key} is a link to {target}, where nothing is" in message


def test_links_that_lead_somewhere_are_followed(tmp_path, frames):
    write_hdf5(tmp_path / "frames.h5", {"there": frames})
    (tmp_path / "links").mkdir()
    with h5py.File(tmp_path / "links" / "a.h5", "w") as file:
        file["image"] = h5py.ExternalLink(str(tmp_path / "frames.h5"), "/there")
        file["loop"] = h5py.SoftLink("/")
    np.testing.assert_array_equal(imported(tmp_path / "links", tmp_path / "out", key="image"), frames)


# ---- sequences


def walks(frames):
    """Return sequences of 4, 5, ... frames."""
    return [sequence[: 4 + i % 3] for i, sequence in enumerate(frames)]


def test_sequences_of_different_lengths(tmp_path, frames, capsys):
    folder, groups, episodes = tmp_path / "folder", {}, tmp_path / "episodes"
    folder.mkdir(), episodes.mkdir()
    for i, walk in enumerate(walks(frames)):
        np.save(folder / f"walk{8 + i}.npy", walk)  # walk10 comes after walk9
        write_hdf5(episodes / f"episode_{8 + i}.h5", {"observations/images/top": walk})
        groups[f"demo_{8 + i}/obs/image"] = walk
    np.savez(tmp_path / "a.npz", *walks(frames))
    write_hdf5(tmp_path / "b.h5", groups)
    for path in (folder, episodes, tmp_path / "a.npz", tmp_path / "b.h5"):
        np.testing.assert_array_equal(imported(path, tmp_path / "out"), frames[:, :4])
        assert "5 videos of 4 to 6 frames, cut into sequences of 4" in capsys.readouterr().out
        found = imported(path, tmp_path / "out", length=5)
        np.testing.assert_array_equal(found, frames[[1, 2, 4], :5])
        assert contents(tmp_path / "out" / "train.h5")["sources"].tolist() == [[1], [2], [4]]
        assert "left out, for it has only 4 frames" in capsys.readouterr().out


def test_objects_are_refused_with_the_remedy(tmp_path, frames):
    ragged = np.empty(5, object)
    ragged[:] = walks(frames)
    np.savez(tmp_path / "a.npz", frames=ragged)
    np.save(tmp_path / "b.npy", ragged, allow_pickle=True)
    for name in ("a.npz", "b.npy"):
        assert "numpy.savez(FILE, *sequences)" in refused(tmp_path / name, tmp_path / "out")


def test_patterns_choose_one_of_several_cameras(tmp_path, frames):
    arrays = {f"demo_{i}/{camera}": frames[i] for i in range(5) for camera in ("top", "side")}
    write_hdf5(tmp_path / "a.h5", arrays)
    assert "one of demo_*/side, demo_*/top" in refused(tmp_path / "a.h5", tmp_path / "out")
    found = imported(tmp_path / "a.h5", tmp_path / "out", key="demo_*/top")
    np.testing.assert_array_equal(found, frames)


def test_long_arrays_are_cut_at_their_episodes(tmp_path, frames):
    long, lengths = np.concatenate(walks(frames)), np.array([len(walk) for walk in walks(frames)])
    ends = lengths.cumsum()
    ways = [
        {"pixels": long, "ep_len": lengths, "ep_offset": ends - lengths},
        {"data/img": long, "meta/episode_ends": ends},
        {"observation.images.top": long, "episode_index": np.repeat(np.arange(5), lengths)},
    ]
    for arrays in ways:
        write_hdf5(tmp_path / "a.h5", arrays)
        np.testing.assert_array_equal(imported(tmp_path / "a.h5", tmp_path / "out"), frames[:, :4])
        (tmp_path / "a.h5").unlink()
    write_hdf5(tmp_path / "a.h5", {"pixels": long[:-1], "ep_len": lengths, "ep_offset": ends - lengths})
    assert "is the file whole?" in refused(tmp_path / "a.h5", tmp_path / "new")


# ---- splits


def test_names_say_the_split(tmp_path, frames):
    parts = {"train": frames[:3], "val": frames[3:4], "test": frames[4:]}
    groups, files, folders = tmp_path / "a.h5", tmp_path / "files", tmp_path / "folders"
    write_hdf5(groups, {f"{split}/image": part for split, part in parts.items()})
    files.mkdir()
    for split, part in parts.items():
        np.save(files / f"set_{split}.npy", part)
        (folders / split).mkdir(parents=True)
        np.savez(folders / split / "a.npz", frames=part)
    for path in (groups, files, folders):
        out = tmp_path / "out" / path.name
        import_files("auto", path, out)
        for split, part in parts.items():
            np.testing.assert_array_equal(contents(out / f"{split}.h5")["imgs"], part)
        assert "names its splits itself" in refused(path, tmp_path / "new", val=0.2)
    np.testing.assert_array_equal(imported(files, tmp_path / "one", split="train"), frames[[4, 0, 1, 2, 3]])


def test_no_video_is_in_two_splits(tmp_path, frames, capsys):
    np.save(tmp_path / "a.npy", frames)
    import_files("auto", tmp_path / "a.npy", tmp_path / "out", length=2, stride=1, val=0.15, test=0.3)
    sources = [contents(tmp_path / "out" / f"{split}.h5")["sources"] for split in ("train", "val", "test")]
    assert [np.unique(found).tolist() for found in sources] == [[0, 1, 2], [3], [4]]
    assert (
        "no video is in two splits, so their shares are train 60%, val 20%, test 20%"
        in capsys.readouterr().out
    )
    np.save(tmp_path / "b.npy", frames[:2])
    message = refused(tmp_path / "b.npy", tmp_path / "new", length=2, val=0.2, test=0.2)
    assert "2 videos cannot be divided whole among train, val, test" in message


def test_one_video_is_divided_with_a_note(tmp_path, frames, capsys):
    np.save(tmp_path / "a.npy", frames.reshape(30, 8, 10, 3))
    import_files("npz", tmp_path / "a.npy", tmp_path / "out", length=5, val=0.5)
    assert "train and val come from a single video" in capsys.readouterr().out
    sizes = [read_info(tmp_path / "out" / f"{split}.h5").sequences for split in ("train", "val")]
    assert sizes == [3, 3]


def test_a_folder_of_one_split_elsewhere_says_nothing(tmp_path, frames):
    """Only names inside the imported folder count, not the way to it."""
    folder = tmp_path / "test" / "data"
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", frames=frames)
    np.testing.assert_array_equal(imported(folder, tmp_path / "out"), frames)


# ---- damage, sizes, the command


@pytest.mark.parametrize("save", SAVES[:4])
def test_damaged_files_leave_nothing(tmp_path, frames, save):
    path = save(tmp_path / "a", frames)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:3], b"", b"text\n" * 99):
        path.write_bytes(content)
        assert str(path) in refused(path, tmp_path / "out")


def test_damage_inside_an_npz_is_noticed(tmp_path, frames):
    for save in (save_npz, save_compressed):
        path = save(tmp_path / "a", frames)
        content = bytearray(path.read_bytes())
        content[3000:3040] = bytes(40)
        path.write_bytes(content)
        assert "cannot be read" in refused(path, tmp_path / "out")


def test_frames_of_other_sizes_need_image_size(tmp_path, frames):
    np.savez(tmp_path / "a.npz", a_1=frames[0], a_2=frames[0, :, :, :8])
    message = refused(tmp_path / "a.npz", tmp_path / "out")
    assert "a_2: frames are 8x8, those of" in message and "image_size=64" in message
    assert imported(tmp_path / "a.npz", tmp_path / "out", image_size=4).shape == (2, 6, 4, 4, 3)


def test_an_interrupted_import_leaves_nothing(tmp_path, frames, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", frames=frames)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("data_gen.writer.DatasetWriter.write", interrupt)
    options = ImportOptions("auto", str(tmp_path / "a.npz"), str(tmp_path / "out"))
    with pytest.raises(KeyboardInterrupt):
        import_data(options)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_dataset_needs_no_import(tmp_path):
    write_ours(tmp_path / "train.h5")
    assert "is a dataset file already" in refused(tmp_path, tmp_path / "out")


def test_a_folder_of_fields_is_one_set_of_sequences(tmp_path, frames, rng):
    folder = tmp_path / "data"
    folder.mkdir()
    masks, actions = rng.integers(0, 3, (5, 6, 8, 10)), rng.integers(0, 3, (5, 6))
    for name, array in {"frames": frames, "masks": masks, "actions": actions}.items():
        np.save(folder / f"{name}.npy", array)
    np.testing.assert_array_equal(imported(folder, tmp_path / "out"), frames)
    ours = contents(tmp_path / "out" / "train.h5")
    np.testing.assert_array_equal(ours["masks"], masks)
    np.testing.assert_array_equal(ours["actions"], actions)


def test_the_card_makes_the_same_again(tmp_path, frames, capsys):
    np.save(tmp_path / "a.npy", frames.transpose(1, 0, 2, 3, 4) / 100)
    words = ["import", f"data={tmp_path / 'a.npy'}", f"out={tmp_path / 'out'}"]
    options = ["layout=t n h w c", "scale=2.55", "overwrite=true"]
    assert main(words) == 2 and "say which number is white" in capsys.readouterr().err
    assert main([*words, *options]) == 0
    np.testing.assert_array_equal(contents(tmp_path / "out" / "train.h5")["imgs"], frames)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "'layout=t n h w c' scale=2.55" in card


OPTIONS = {
    "layout=n t": "layout=n t: must name each axis once",
    "scale=0": "scale=0: must be a number above 0",
    "coordinates=metres": "coordinates=metres: must be one of pixels",
    "num_actions=0": "num_actions=0: must be a whole number",
    "format=fish": "format=fish: must be one of auto",
    "key=fish": "key=fish: not in",
    "masks=fish": "masks=fish: not in",
    "split=test val=0.5": "split=test: takes all sequences",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_bad_options_are_reported_in_one_line(tmp_path, frames, capsys, option):
    np.savez(tmp_path / "a.npz", frames=frames)
    words = option.split(" ") if "split" in option else [option]
    assert main(["import", f"data={tmp_path / 'a.npz'}", f"out={tmp_path / 'out'}", *words]) == 2
    err = capsys.readouterr().err
    assert OPTIONS[option] in err and err.count("\n") == 1
