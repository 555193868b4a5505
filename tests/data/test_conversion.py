"""Bytes to tensors and back; actions on disk to actions in the model."""

from __future__ import annotations

import numpy as np
import torch

from seqvae.data.conversion import prev_actions, to_frames, to_video


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
