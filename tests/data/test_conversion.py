"""Bytes to tensors and back; actions and units on disk to those of a model."""

from __future__ import annotations

import numpy as np
import torch

from seqvae.data.conversion import (
    from_coordinates,
    from_half_widths,
    prev_actions,
    to_coordinates,
    to_frames,
    to_half_widths,
    to_video,
)


def test_every_byte_survives_the_round_trip():
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16, 1).expand(2, 3, 16, 16, 3)
    video = to_video(frames)
    assert video.shape == (2, 3, 3, 16, 16) and video.dtype == torch.float32 and video.is_contiguous()
    assert video.min() == 0 and video.max() == 1
    assert torch.equal(to_frames(video), frames)


def test_axes_keep_their_meaning(rng):
    frames = rng.integers(0, 256, (2, 3, 4, 5, 3), dtype=np.uint8)
    video = to_video(frames)
    for b, t, h, w, c in [(0, 0, 0, 0, 0), (1, 2, 3, 4, 2), (1, 0, 2, 1, 1)]:
        assert video[b, t, c, h, w] == np.float32(frames[b, t, h, w, c]) / np.float32(255)


def test_frames_are_rounded_and_clipped():
    video = (
        torch.tensor([-1.0, 0.49 / 255, 0.51 / 255, 1.0, 2.0]).reshape(1, 1, 1, 1, 5).expand(1, 1, 3, 1, 5)
    )
    assert to_frames(video)[0, 0, 0, :, 0].tolist() == [0, 0, 1, 255, 255]


def test_prev_actions_by_hand():
    """On disk the action between frames 0 and 1 comes first, and the one that led to frame 0 last."""
    assert prev_actions(np.array([[5, 6, 7, 4]])).tolist() == [[4, 5, 6, 7]]


def test_units_by_hand():
    """In a picture 10 units wide, 2.5 units are half a half-width, and position 2.5 is left of the middle."""
    positions = np.array([[0.0, 10.0], [5.0, 2.5]])
    np.testing.assert_array_equal(to_coordinates(positions, 10.0), [[-1, 1], [0, -0.5]])
    np.testing.assert_array_equal(to_half_widths(np.array([2.5, -5.0]), 10.0), [0.5, -1])


def test_units_survive_the_round_trip(rng):
    x = rng.uniform(-3, 3, (5, 2))
    np.testing.assert_allclose(from_coordinates(to_coordinates(x, 7.0), 7.0), x, atol=1e-15)
    np.testing.assert_allclose(from_half_widths(to_half_widths(x, 7.0), 7.0), x, atol=1e-15)
