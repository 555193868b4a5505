"""Videos and arrays of frames are imported frame by frame, and cut, resized and divided as requested."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.media.reading import fit
from data_gen.media.writing import write_video
from data_gen.schema import read_info
from data_gen.splits import SPLITS
from tests.data_gen import films
from tests.data_gen.foreign import contents, import_files


def numbered(length, first=0, height=8, width=8):
    """Return frames whose brightness is their number."""
    levels = np.arange(first, first + length, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (length, height, width, 3))


def numbers(path):
    """Return the numbers of the frames in a dataset, "n t"."""
    return contents(path)["imgs"][:, :, 0, 0, 0].tolist()


def test_arrays_become_sequences_unchanged(tmp_path, rng):
    frames = rng.integers(0, 256, (3, 4, 6, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", frames=frames)
    import_files("npz", tmp_path / "a.npz", tmp_path)
    np.testing.assert_array_equal(contents(tmp_path / "train.h5")["imgs"], frames)
    assert contents(tmp_path / "train.h5")["sources"].tolist() == [[0], [1], [2]]
    info = read_info(tmp_path / "train.h5")
    assert (info.num_objects, info.num_actions, info.coord_limit, info.simulator) == (None, 0, 8.0, "npz")


@pytest.mark.parametrize(
    ("length", "stride", "starts"),
    [(4, None, [0, 4]), (4, 1, [0, 1, 2, 3, 4, 5, 6]), (4, 3, [0, 3, 6]), (10, None, [0]), (None, None, [0])],
)
def test_a_video_is_cut_into_sequences(tmp_path, length, stride, starts):
    np.savez(tmp_path / "a.npz", frames=numbered(10))
    import_files("npz", tmp_path / "a.npz", tmp_path, length=length, stride=stride)
    expected = [list(range(start, start + (length or 10))) for start in starts]
    assert numbers(tmp_path / "train.h5") == expected
    assert contents(tmp_path / "train.h5")["sources"].tolist() == [[0]] * len(starts)


def test_no_frame_is_in_two_splits(tmp_path):
    """40 sequences of 4 frames start at 0 ... 39; those that reach into the next split are left out."""
    np.savez(tmp_path / "a.npz", frames=numbered(43))
    import_files("npz", tmp_path / "a.npz", tmp_path, length=4, stride=1, val=0.25, test=0.2)
    first = {split: [row[0] for row in numbers(tmp_path / f"{split}.h5")] for split in SPLITS}
    assert first["test"] == list(range(32, 40))
    assert first["val"] == list(range(19, 29))  # the last one, frames 28 to 31, ends where test begins
    assert first["train"] == list(range(16))


def test_splits_of_several_videos(tmp_path):
    np.savez(tmp_path / "a.npz", frames=np.stack([numbered(6, 10 * i) for i in range(10)]))
    import_files("npz", tmp_path / "a.npz", tmp_path, val=0.2, test=0.1)
    first = {split: [row[0] for row in numbers(tmp_path / f"{split}.h5")] for split in SPLITS}
    assert first == {"train": [0, 10, 20, 30, 40, 50, 60], "val": [70, 80], "test": [90]}


def test_all_sequences_may_be_in_test(tmp_path):
    np.savez(tmp_path / "a.npz", frames=numbered(6))
    import_files("npz", tmp_path / "a.npz", tmp_path, length=3, test=1.0)
    assert [p.name for p in sorted(tmp_path.iterdir()) if p.suffix == ".h5"] == ["test.h5"]


def test_a_folder_of_videos_is_imported_in_order_and_resized(tmp_path, capsys):
    videos = tmp_path / "videos"
    for name, first, length in (("b.gif", 100, 7), ("a.gif", 10, 9), ("c.gif", 200, 2)):
        write_video(videos / name, numbered(length, first, 16, 32))
    (videos / "notes.txt").write_text("no video")
    import_files("videos", videos, tmp_path / "out", length=4, image_size=8)
    assert numbers(tmp_path / "out" / "train.h5") == [
        [10, 11, 12, 13], [14, 15, 16, 17], [100, 101, 102, 103]
    ]  # fmt: skip
    output = capsys.readouterr().out
    assert "c.gif: left out, for it has only 2 frames" in output
    assert "a.gif: frames of 32x16 cropped to the middle and resized to 8x8" in output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "train.h5"]


def test_cropping_keeps_the_middle_and_squeezing_everything(tmp_path):
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, 16:48] = 200
    np.testing.assert_array_equal(fit(frame, (8, 8)), 200)
    squeezed = fit(frame, (8, 8), crop=False)
    assert squeezed[0, :, 0].tolist() == [0, 0, 200, 200, 200, 200, 0, 0]
    np.savez(tmp_path / "a.npz", frames=frame[None])
    import_files("npz", tmp_path / "a.npz", tmp_path, image_size=8, crop=False)
    np.testing.assert_array_equal(contents(tmp_path / "train.h5")["imgs"][0, 0], squeezed)


FAULTS = {
    "length": (dict(length=11), "length=11: the longest video has 10 frames"),
    "val": (dict(length=5, val=0.1), "none is left for val"),
    "train": (dict(length=8, stride=1, test=0.5), "none is left for train"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_impossible_cuts_are_reported_in_one_line(tmp_path, fault):
    options, message = FAULTS[fault]
    np.savez(tmp_path / "a.npz", frames=numbered(10))
    with pytest.raises(DataError, match=message):
        import_files("npz", tmp_path / "a.npz", tmp_path / "out", **options)
    assert list((tmp_path / "out").iterdir()) == []


def test_videos_of_different_sizes_need_image_size(tmp_path):
    write_video(tmp_path / "a.gif", numbered(3))
    write_video(tmp_path / "b.gif", numbered(3, 0, 8, 16))
    with pytest.raises(DataError, match=r"b.gif: frames are 16x8, those of .*a.gif 8x8; image_size=64"):
        import_files("videos", tmp_path, tmp_path / "out")
    (tmp_path / "b.gif").write_text("text")
    with pytest.raises(DataError, match="b.gif: is no video"):
        import_files("videos", tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


# ---- folders of video files


def frame_numbers(path):
    """Return the numbers of the frames of films in a dataset, "n t"."""
    return [films.numbers(sequence) for sequence in contents(path)["imgs"]]


def test_a_broken_video_shortens_no_other(tmp_path, capsys, rng):
    """It had cut every sequence to the frames that are left of it."""
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    lossless = ["-c:v", "mjpeg", "-movflags", "+faststart"]
    for name in ("a.mov", "b.mov", "c.mov"):
        films.film(folder / name, rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8), *lossless)
    films.cut_off(folder / "b.mov")
    with pytest.raises(DataError, match=r"b\.mov: is broken: only \d+ of 20 frames .*broken=keep"):
        import_files("videos", folder, out)
    assert list(out.iterdir()) == []
    capsys.readouterr()

    import_files("videos", folder, out, broken="skip")
    assert contents(out / "train.h5")["imgs"].shape[:2] == (2, 20)
    assert "b.mov: is broken: only" in (printed := capsys.readouterr().out) and "; left out" in printed

    import_files("videos", folder, out, broken="keep", overwrite=True)
    assert contents(out / "train.h5")["imgs"].shape[:2] == (2, 20)
    printed = capsys.readouterr().out
    assert "sequences have 20 frames, as " in printed and "b.mov: left out, for it has only" in printed
    assert contents(out / "train.h5")["sources"].tolist() == [[0], [2]]

    import_files("videos", folder, out, broken="keep", overwrite=True, length=5)
    assert contents(out / "train.h5")["sources"].T.tolist() == [[0] * 4 + [1] * 2 + [2] * 4]


def test_skip_leaves_out_what_is_no_video(tmp_path, capsys):
    films.gif(tmp_path / "a.gif", [100] * 3)
    (tmp_path / "b.mp4").write_text("text")
    with pytest.raises(DataError, match=r"b\.mp4: is no video"):
        import_files("videos", tmp_path, tmp_path / "out", broken="keep")
    import_files("videos", tmp_path, tmp_path / "out", broken="skip")
    assert "b.mp4: is no video that FFmpeg can read" in capsys.readouterr().out
    (tmp_path / "a.gif").unlink()
    with pytest.raises(DataError, match="none of its videos can be read"):
        import_files("videos", tmp_path, tmp_path / "out", broken="skip")


def test_times_are_kept_and_fps_resamples(tmp_path):
    path = films.gif(tmp_path / "a.gif", [20, 30, 100, 50, 100, 200])
    import_files("videos", path, tmp_path / "out", length=3)
    times = contents(tmp_path / "out" / "train.h5")["times"]
    np.testing.assert_allclose(times, [[0, 0.02, 0.05], [0.15, 0.2, 0.3]])
    import_files("videos", path, tmp_path / "10", fps=10)
    assert frame_numbers(tmp_path / "10" / "train.h5") == [[0, 2, 4, 5, 5]]
    np.testing.assert_allclose(contents(tmp_path / "10" / "train.h5")["times"], [np.arange(5) / 10])
    assert "fps=10" in (tmp_path / "10" / "README.md").read_text()


@pytest.mark.parametrize("option", [dict(fps=0), dict(fps=-1), dict(fps=1e9), dict(broken="maybe")])
def test_wrong_options_are_refused(tmp_path, option):
    with pytest.raises(DataError, match=f"{next(iter(option))}="):
        import_files("videos", films.gif(tmp_path / "a.gif", [100] * 3), tmp_path / "out", **option)


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "link.mp4").symlink_to("missing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    messages = {"link.mp4": "no such file", "x" * 300: "no such file", "empty": "holds no video"}
    for name, message in (messages | {"device.mp4": "is no plain file"}).items():
        with pytest.raises(DataError, match=message):
            import_files("videos", tmp_path / name, tmp_path / "out")


def test_subfolders_are_read_in_natural_order(tmp_path, capsys):
    folder = tmp_path / "videos"
    for name, first in (("a10.gif", 30), ("a9.gif", 20), ("b/2.gif", 50), ("b/10.GIF", 60), ("A/1.gif", 10)):
        write_video(folder / name.lower(), numbered(2, first))
    (folder / "b/10.gif").rename(folder / "b/10.GIF")
    (folder / "b/loop").symlink_to(folder)
    (folder / "named.mp4").mkdir()
    for name in ("notes.txt", "b/list.csv", "b/more.csv", "._a9.gif", ".cache/x.gif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no video")
    import_files("videos", folder, tmp_path / "out")
    assert [row[0] for row in numbers(tmp_path / "out" / "train.h5")] == [10, 20, 30, 50, 60]
    assert f"{folder}: passed over 2 .csv, 1 .txt, 2 hidden\n" in capsys.readouterr().out


def test_folders_named_train_val_and_test_are_the_splits(tmp_path, capsys):
    folder, out = tmp_path / "videos", tmp_path / "out"
    for i, name in enumerate(("train/a.gif", "train/b/c.gif", "test/a.gif", "Validation/a.gif", "other.gif")):
        write_video(folder / name, numbered(4 + i, 10 * i))
    import_files("videos", folder, out)
    first = {split: [row[0] for row in numbers(out / f"{split}.h5")] for split in SPLITS}
    assert first == {"train": [0, 10], "val": [30], "test": [20]}
    assert {contents(out / f"{split}.h5")["imgs"].shape[1] for split in SPLITS} == {4}
    printed = capsys.readouterr().out
    assert "passed over 1 video outside of train, val, test" in printed
    assert (
        "sequences have 4 frames, as " in printed and "train/a.gif; length= takes another number" in printed
    )
    for option in (dict(val=0.1), dict(split="test")):
        with pytest.raises(DataError, match="its folders train, val, test are the splits"):
            import_files("videos", folder, out, overwrite=True, **option)


def test_no_video_is_in_two_splits_unless_it_is_alone(tmp_path, capsys):
    for i, length in enumerate((12, 4, 4, 8, 12)):
        write_video(tmp_path / "videos" / f"{i}.gif", numbered(length, 20 * i))
    out = tmp_path / "out"
    import_files("videos", tmp_path / "videos", out, length=2, stride=1, val=0.2, test=0.3)
    sources = {split: set(contents(out / f"{split}.h5")["sources"].ravel().tolist()) for split in SPLITS}
    assert sources == {"train": {0, 1, 2}, "val": {3}, "test": {4}}
    capsys.readouterr()
    import_files("videos", tmp_path / "videos" / "0.gif", out, length=2, val=0.5, overwrite=True)
    assert "train and val come from a single video" in capsys.readouterr().out
    with pytest.raises(DataError, match="2 videos cannot be divided whole among train, val, test"):
        two = tmp_path / "two"
        for i in range(2):
            write_video(two / f"{i}.gif", numbered(12))
        import_files("videos", two, tmp_path / "out2", length=2, val=0.3, test=0.3)


def test_portrait_and_landscape_together(tmp_path, capfd):
    """Libraries print nothing; we say what was done, once for many files."""
    folder = tmp_path / "videos"
    for i in range(5):
        write_video(folder / f"{i}.mp4", numbered(3, 50, 32, 48 if i else 16))
    capfd.readouterr()
    with pytest.raises(DataError, match=r"1\.mp4: frames are 48x32, those of .*0\.mp4 16x32; image_size=64"):
        import_files("videos", folder, tmp_path / "out")
    import_files("videos", folder, tmp_path / "out", image_size=16)
    printed, error = capfd.readouterr()
    assert error == "" and printed.splitlines() == [
        f"{folder}/0.mp4: frames of 16x32 cropped to the middle and resized to 16x16",
        f"{folder}/1.mp4 and 3 other videos: frames of 48x32 cropped to the middle and resized to 16x16",
        f"{tmp_path}/out/train.h5: 5 sequences of 3 frames, 16x16",
    ]
