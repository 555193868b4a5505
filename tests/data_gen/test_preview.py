"""The preview shows every frame once, and the truth as far as it exists."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data_gen.__main__ import main
from data_gen.media.overlays import COLOURS
from data_gen.media.videos import VideoFile
from data_gen.preview import Film, Scenes, read_scenes, sheet
from data_gen.schema import read_info
from tests.data_gen.foreign import write_ours


def black(*shape):
    return np.zeros((*shape, 3), np.uint8)


def test_video_sheet_and_plots_are_written(tmp_path, capsys):
    write_ours(tmp_path / "a.h5", length=7)
    assert main(["preview", f"data={tmp_path / 'a.h5'}", "sequences=2", "frames=3"]) == 0
    out = tmp_path / "a_preview"
    assert [p.name for p in sorted(out.iterdir())] == ["preview.mp4", "sheet.png", "statistics.png"]
    frames = [frame.image for frame in VideoFile(out / "preview.mp4")]
    assert len(frames) == 7 and frames[0].shape == (2 * (192 + 4), 2 * (192 + 4), 3)
    shown = np.asarray(Image.open(out / "sheet.png"))
    top, left = shown.shape[0] - 4 * 65, shown.shape[1] - 3 * 65  # two rows per sequence, beside the labels
    assert 10 < top < 30 and 40 < left < 100
    assert capsys.readouterr().out.count("\n") == 3


def test_equal_speeds_have_a_histogram(tmp_path):
    words = ["sim=balls_occlusion", f"out={tmp_path}", "train=0", "val=0", "test=2", "length=5"]
    assert main(words) == 0
    assert main(["preview", f"data={tmp_path / 'test.h5'}"]) == 0


def test_sequences_without_truth_have_one_row_and_no_plots(tmp_path, rng, capsys):
    np.savez(tmp_path / "a.npz", frames=rng.integers(0, 256, (3, 4, 8, 8, 3), dtype=np.uint8))
    assert main(["import", "format=npz", f"data={tmp_path / 'a.npz'}", f"out={tmp_path}"]) == 0
    assert main(["preview", f"data={tmp_path / 'train.h5'}", f"out={tmp_path / 'see'}"]) == 0
    assert [p.name for p in sorted((tmp_path / "see").iterdir())] == ["preview.mp4", "sheet.png"]
    width, height = Image.open(tmp_path / "see" / "sheet.png").size
    assert 10 < height - 3 * 65 < 30 and 40 < width - 4 * 65 < 100
    assert "no statistics to plot" in capsys.readouterr().out


def test_masks_have_the_colours_of_their_objects(rng):
    masks = rng.integers(0, 3, (1, 2, 8, 8))
    frame, truth = Scenes(black(1, 2, 8, 8), masks, None).rows(0, 1, 1)
    assert not frame.any()
    for k, colour in enumerate([(0, 0, 0), *COLOURS[:2]]):
        np.testing.assert_array_equal((truth == colour).all(-1), masks[0, 1] == k)


def test_trails_follow_the_objects_and_stop_where_they_are_hidden(tmp_path):
    positions = np.full((1, 6, 3, 2), 5.0)
    positions[0, :, 0, 0] = np.linspace(1, 9, 6)  # to the right, along the middle
    in_camera = np.ones((1, 6, 3), bool)
    in_camera[0, :, 1:] = False
    truth = {"positions": positions, "in_camera": in_camera}
    write_ours(tmp_path / "a.h5", sequences=1, imgs=black(1, 6, 100, 100), **truth)
    scenes = read_scenes(read_info(tmp_path / "a.h5"), 4)
    assert np.isnan(scenes.positions[0, :, 1:]).all()
    y, x = np.nonzero(scenes.rows(0, 5, 1)[1].any(-1))
    assert abs(x.min() - 9.5) <= 1 and abs(x.max() - 89.5) <= 1 and np.ptp(y) <= 1
    assert not scenes.rows(0, 0, 1)[1].any()  # no trail yet


def test_film_shows_sequences_side_by_side():
    frames = black(2, 3, 32, 32)
    frames[1, 2] = 200
    film = Film(Scenes(frames, None, None))
    assert len(film) == len(list(film)) == 3
    image = film[2]
    assert image.shape == (196, 392, 3) and image[98, 98].sum() == 0 and (image[98, 294] == 200).all()


def test_sheet_spreads_its_frames_over_time():
    frames = np.arange(9, dtype=np.uint8)[None, :, None, None, None] * np.ones((1, 9, 64, 64, 3), np.uint8)
    assert sheet(Scenes(frames, None, None), 3)[-2, [-3 - 130, -3 - 65, -3], 0].tolist() == [0, 4, 8]
    few, many = (sheet(Scenes(frames, None, None), count) for count in (3, 50))
    assert many.shape[1] - few.shape[1] == 6 * 65


@pytest.mark.parametrize("option", ["sequences=0", "fps=no", "data=nowhere.h5", "out=/dev/null/x", "fish=1"])
def test_bad_options_are_reported_in_one_line(tmp_path, capsys, option):
    write_ours(tmp_path / "a.h5", sequences=1, length=2)
    assert main(["preview", f"data={tmp_path / 'a.h5'}", f"out={tmp_path / 'out'}", option]) == 2
    err = capsys.readouterr().err
    assert option.split("=")[0] in err or "/dev/null/x" in err
    assert err.startswith("data_gen: ") and err.count("\n") == 1
