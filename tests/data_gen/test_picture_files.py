"""Folders of pictures: sequences in natural order, of any colours, sizes and orientation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data_gen.errors import DataError
from data_gen.media.writing import write_video
from tests.data_gen.foreign import contents, import_files
from tests.refusals import refusal


@pytest.fixture
def frames(rng):
    return rng.integers(0, 256, (3, 11, 6, 8, 3), dtype=np.uint8)


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)


def imported(data, out, **options):
    import_files("auto", data, out, overwrite=True, **options)
    return contents(out / "train.h5")


def refused(data, out, **options):
    message = refusal(lambda: imported(data, out, **options), error=DataError)
    assert not (out / "train.h5").exists()
    return message


def write_folders(folder, frames, suffix=".png"):
    """Write a folder per sequence; the number 10 has two digits, and 2 one."""
    for i, sequence in enumerate(frames):
        for t, frame in enumerate(sequence):
            save(folder / f"walk{9 + i}" / f"frame{t}{suffix}", frame)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".PNG"])
def test_a_folder_is_a_sequence_in_natural_order(tmp_path, frames, suffix, capsys):
    write_folders(tmp_path / "data", frames, suffix)
    (tmp_path / "data" / ".hidden").write_text("x")
    (tmp_path / "data" / "walk9" / "notes.txt").write_text("x")
    ours = imported(tmp_path / "data", tmp_path / "out")
    np.testing.assert_array_equal(ours["imgs"], frames)
    assert ours["sources"].tolist() == [[0], [1], [2]]
    output = capsys.readouterr().out
    assert "read as format=pictures" in output and "passed over 2 files" in output
    assert "3 sequences, one per folder" in output


def test_single_images_or_one_sequence_is_asked_for(tmp_path, frames):
    write_folders(tmp_path, frames[:1])
    folder, flat = tmp_path / "walk9", frames[0]
    assert '11 pictures are single images or one sequence; say layout="n h w c"' in refused(folder, tmp_path)
    single = imported(folder, tmp_path, layout="n h w c")
    np.testing.assert_array_equal(single["imgs"], flat[:, None])
    assert "sources" not in single
    np.testing.assert_array_equal(imported(folder, tmp_path, layout="t h w c")["imgs"], flat[None])
    np.testing.assert_array_equal(imported(folder, tmp_path, length=11)["imgs"], flat[None])
    one = imported(folder / "frame7.png", tmp_path)
    np.testing.assert_array_equal(one["imgs"], flat[None, 7:8])


def test_pages_of_a_tiff_are_a_sequence(tmp_path, frames):
    (tmp_path / "data").mkdir()
    for i, sequence in enumerate(frames):
        first, *rest = [Image.fromarray(frame) for frame in sequence]
        first.save(tmp_path / "data" / f"{i}.tif", save_all=True, append_images=rest)
    np.testing.assert_array_equal(imported(tmp_path / "data", tmp_path / "out")["imgs"], frames)
    np.testing.assert_array_equal(
        imported(tmp_path / "data" / "1.tif", tmp_path / "out")["imgs"], frames[1:2]
    )


def test_colours_of_any_kind(tmp_path, rng, capsys):
    rgb = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    grey = rgb[..., 0]
    alpha = np.where(grey > 128, 255, 0).astype(np.uint8)
    few = (rgb[..., :1] // 128 * np.uint8([255, 102, 51])).astype(np.uint8)
    deep = grey.astype(np.uint16) * 257
    shown = rgb * (alpha > 0)[..., None]
    cases = {
        "rgb": (rgb, {}, rgb),
        "grey": (grey, {}, grey[..., None]),
        "deep": (deep, {}, grey[..., None]),
        "rgba": (np.dstack([rgb, alpha]), {}, shown),
        "grey_alpha": (np.dstack([grey, alpha]), {}, (grey * (alpha > 0))[..., None]),
        "palette": (few, {"mode": "P"}, few),
        "black_and_white": (grey > 128, {}, np.where(grey > 128, 255, 0)[..., None]),
    }
    for name, (array, options, expected) in cases.items():
        save(tmp_path / "data" / f"{name}.png", array, **options)
        found = imported(tmp_path / "data" / f"{name}.png", tmp_path / "out")["imgs"][0, 0]
        np.testing.assert_array_equal(found, np.broadcast_to(expected, (6, 8, 3)), err_msg=name)
        output = capsys.readouterr().out
        assert ("laid on black" in output) == ("alpha" in name or name == "rgba")
        assert ("16 bits, 65535 is white" in output) == (name == "deep")
    found = imported(tmp_path / "data" / "deep.png", tmp_path / "out", scale=65535 * 2)["imgs"][0, 0]
    np.testing.assert_allclose(found[..., 0], grey / 2, atol=0.51)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_they_are_shown(tmp_path, orientation):
    """A corner of the picture as shown is bright, wherever the file has it."""
    shown = np.zeros((8, 16, 3), np.uint8)
    shown[:4, 8:] = 255
    stored = {
        1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1],
        5: shown.swapaxes(0, 1), 6: np.rot90(shown),
        7: shown[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(shown, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_array_equal(imported(tmp_path / "a.png", tmp_path / "out")["imgs"][0, 0], shown)


def test_other_sizes_are_named_and_resized(tmp_path, frames, capsys):
    write_folders(tmp_path / "data", frames)
    save(tmp_path / "data" / "walk10" / "frame3.png", frames[1, 3, :, :5].copy())
    message = refused(tmp_path / "data", tmp_path / "out")
    assert "walk10/frame3.png: is 5x6, frame0.png 8x6; image_size=64" in message
    assert imported(tmp_path / "data", tmp_path / "out", image_size=4)["imgs"].shape == (3, 11, 4, 4, 3)
    output = capsys.readouterr().out
    assert "frames of 8x6 cropped to the middle and resized to 4x4" in output


def test_folders_are_named_after_splits(tmp_path, frames):
    for i, split in enumerate(("train", "valid", "Test")):
        write_folders(tmp_path / "data" / split, frames[i : i + 1])
    import_files("pictures", tmp_path / "data", tmp_path / "out")
    for i, split in enumerate(("train", "val", "test")):
        np.testing.assert_array_equal(contents(tmp_path / "out" / f"{split}.h5")["imgs"], frames[i : i + 1])


def test_masks_in_a_folder_of_their_own(tmp_path, frames, rng):
    masks = rng.integers(0, 4, (3, 11, 6, 8), dtype=np.uint8)
    write_folders(tmp_path / "data", frames)
    for i, sequence in enumerate(masks):
        for t, mask in enumerate(sequence):
            image = Image.fromarray(mask)
            if i:
                image.putpalette(rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
            path = tmp_path / "masks" / f"walk{9 + i}" / f"frame{t}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    ours = imported(tmp_path / "data", tmp_path / "out", masks=str(tmp_path / "masks"))
    np.testing.assert_array_equal(ours["masks"], masks)
    path.unlink()
    message = refusal(
        lambda: imported(tmp_path / "data", tmp_path / "out", masks=str(tmp_path / "masks")), error=DataError
    )
    assert "no mask of" in message and "frame10.png" in message


def test_faults_are_named_in_one_line(tmp_path, frames):
    write_folders(tmp_path / "data", frames)
    path = tmp_path / "data" / "walk10" / "frame3.png"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(content)
        assert f"{path}: is no whole picture" in refused(tmp_path / "data", tmp_path / "out")
    path.write_bytes(whole)
    save(tmp_path / "data" / "loose.png", frames[0, 0])
    assert "holds pictures, and folders of pictures" in refused(tmp_path / "data", tmp_path / "out")
    (tmp_path / "data" / "loose.png").unlink()
    write_video(tmp_path / "data" / "walk9" / "a.gif", frames[0])
    for form in ("auto", "pictures"):
        message = refusal(import_files, form, tmp_path / "data", tmp_path / "out", error=DataError)
        assert "mixes" in message and "take a folder for each" in message
    (tmp_path / "empty").mkdir()
    assert "holds no video, no picture" in refused(tmp_path / "empty", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
