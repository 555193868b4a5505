"""Boxes, trails and panels, at their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import video
from seqvae.video import drawing


def black(*shape):
    return np.zeros((*shape, 3), dtype=np.uint8)


def marked(image):
    """(x, y) of the first and last pixel that is not black."""
    y, x = np.nonzero(image.any(-1))
    return (x.min(), y.min()), (x.max(), y.max())


def test_upscale_repeats_pixels():
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1).repeat(3, -1)
    big = video.upscale(image, 2)
    assert big[0, :, :, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_masks_have_the_colours_of_slots():
    colours = [[0, 0, 0], *map(list, drawing.COLOURS)]
    painted = video.paint_masks(np.array([[0, 1, 2, 6, 7, 255]], dtype=np.uint8))
    assert painted.tolist() == [[colours[i] for i in (0, 1, 2, 6, 1, 3)]]


@pytest.mark.parametrize(("height", "factor"), [(32, 7), (50, 4), (64, 3), (300, 1)])
def test_zoom_is_a_whole_number(height, factor):
    assert video.zoom(height) == factor


def test_box_lies_around_its_centre():
    """At (0.5, -0.5), x right and y down, of a 100 x 100 image: pixel (75, 25) less the half pixel."""
    centre, extent = np.array([[0.5, -0.5]]), np.array([[0.2, 0.1]])
    image = video.draw_boxes(black(100, 100), centre, extent)
    (left, top), (right, bottom) = marked(image)
    assert (abs(left - 64.5), abs(right - 84.5)) <= (1, 1)
    assert (abs(top - 19.5), abs(bottom - 29.5)) <= (1, 1)
    assert not image[24, 74].any()  # an outline


def test_slots_that_are_not_finite_are_not_drawn():
    centres = np.array([[np.nan, 0.0], [0.0, np.inf]])
    assert not video.draw_boxes(black(50, 50), centres).any()
    assert not video.draw_trails(black(50, 50), np.stack([centres, centres])).any()


def test_trail_follows_the_path():
    path = np.array([[[-0.8, 0.0]], [[0.0, 0.0]], [[0.0, 0.8]]])
    (left, top), (right, bottom) = marked(video.draw_trails(black(100, 100), path))
    assert abs(left - 9.5) <= 1 and abs(right - 49.5) <= 1
    assert abs(top - 49.5) <= 1 and abs(bottom - 89.5) <= 1


def panels(image, size):
    """The three panels of a comparison without caption and gaps."""
    below = image[drawing.CAPTION :]
    return [below[:, i * (size + drawing.GAP) :][:, :size] for i in range(3)]


def test_comparison_shows_truth_model_and_their_difference():
    truth, model = black(2, 32, 32), black(2, 32, 32)
    truth[:, :16] = 200
    model[:, :, :16] = 50
    frames = video.Comparison(truth, model, first_predicted=1)
    left, middle, right = panels(frames[1], 224)
    np.testing.assert_array_equal(left, video.upscale(truth[1], 7))
    np.testing.assert_array_equal(middle, video.upscale(model[1], 7))
    corners = right[0, 0, 0], right[0, -1, 0], right[-1, 0, 0], right[-1, -1, 0]
    assert corners == (150, 200, 50, 0)
    assert len(frames) == 2 and len(list(frames)) == 2
    assert (frames[0][:18] != frames[1][:18]).any()  # the caption says context, then predicted


def test_comparison_of_a_grey_model_with_colours():
    truth, model = black(1, 32, 32), np.full((1, 32, 32, 1), 250, dtype=np.uint8)
    truth[..., :2] = 200  # the channel sum clips to 255
    left, middle, right = panels(video.Comparison(truth, model)[0], 224)
    assert left[0, 0].tolist() == [200, 200, 0]
    assert middle[0, 0].tolist() == [250] * 3 and right[0, 0].tolist() == [5] * 3


def test_comparison_goes_on_after_the_truth_has_ended():
    model = np.full((3, 32, 32, 3), 99, dtype=np.uint8)
    for truth in (model[:1], None):
        left, middle, right = panels(video.Comparison(truth, model, first_predicted=1)[2], 224)
        assert (middle == 99).all()
        for panel in (left, right):  # a sentence on paper, not a black frame
            assert (panel[0, 0] == drawing.PAPER).all() and (panel > drawing.PAPER[0]).any()


def test_a_changed_future_stands_beside_the_unchanged_one():
    """It has no truth to differ from: the third panel is the model's own future without the change."""
    truth, model, unchanged = (np.full((3, 32, 32, 3), value, dtype=np.uint8) for value in (10, 60, 200))
    frames = video.Comparison(truth, model, first_predicted=1, unchanged=unchanged)
    left, middle, right = panels(frames[2], 224)
    assert (left == 10).all() and (middle == 60).all() and (right == 200).all()


def test_comparison_draws_on_the_model_only():
    frames = black(20, 32, 32)
    positions = np.linspace(-0.5, 0.5, 20)[:, None, None].repeat(2, -1)
    comparison = video.Comparison(frames, frames, positions, np.full((20, 1, 2), 0.1))
    left, middle, right = panels(comparison[19], 224)
    assert middle.any() and not left.any() and not right.any()


def test_sampled_futures_are_crosses_from_the_first_predicted_frame_on():
    frames = black(3, 32, 32)
    cloud = np.array([0.5, -0.5])[:, None, None, None] * np.ones((2, 3, 1, 2))
    comparison = video.Comparison(frames, frames, first_predicted=2, cloud=cloud)
    assert not panels(comparison[1], 224)[1].any()
    image = panels(comparison[2], 224)[1]
    assert image[167, 167].any() and image[55, 55].any() and not image[112, 112].any()


def test_rows_stand_below_each_other():
    above = [np.full((2, 3, 3), i, dtype=np.uint8) for i in range(4)]
    rows = video.Rows([above, [above[0] + 9] * 3])
    assert len(rows) == 3 and rows[2][:, 0, 0].tolist() == [2, 2, 9, 9]


def test_contact_sheet_has_a_row_per_sequence():
    clips = black(2, 3, 32, 32)
    clips[1, 2] = 255
    sheet = video.contact_sheet(clips)
    assert sheet.shape == (2 * 65, 3 * 65, 3)
    assert (sheet[65:129, 130:194] == 255).all() and not sheet[:64, :64].any()


def test_contact_sheet_has_labels_in_its_margins():
    clips = black(2, 3, 32, 32)
    plain = video.contact_sheet(clips)
    rows, columns = ("truth", "a longer name"), ("frame 1", "frame 2\npredicted", "")
    sheet = video.contact_sheet(clips, rows=rows, columns=columns)
    top, left = (a - b for a, b in zip(sheet.shape[:2], plain.shape[:2], strict=True))
    np.testing.assert_array_equal(sheet[top:, left:], plain)
    margin = sheet[top:, :left].max(-1) > 100  # letters
    assert margin[:64].any() and margin[65:129].any()
    header = sheet[:top, left:].max(-1) > 100
    assert header[:, :65].any() and header[:, 65:130].any() and not header[:, 130:].any()
    only_rows = video.contact_sheet(clips, rows=rows)
    assert only_rows.shape[0] == plain.shape[0] and only_rows.shape[1] == sheet.shape[1]
