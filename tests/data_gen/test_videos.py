"""Videos and arrays of frames are imported frame by frame, and cut, resized and divided as requested."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.media.reading import fit
from data_gen.media.writing import write_video
from data_gen.schema import read_info
from data_gen.splits import SPLITS
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
