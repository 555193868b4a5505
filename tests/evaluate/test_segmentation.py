"""Which frames and which masks the scores of segmentation are taken from."""

from __future__ import annotations

import numpy as np

from seqvae.evaluate.protocol import _segmentation
from seqvae.rollout import Rollout

CONTEXT, LENGTH = 4, 20


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Masks "n t k h w" of labels "n t h w"."""
    return np.moveaxis(np.eye(3, dtype=np.float32)[labels], -1, 2)


def scored(wrong_in: list[int], wrong_attention: list[int] | None = None) -> dict[str, np.ndarray]:
    """Scores where decoded masks of these frames (from 0), or the encoder's, put two objects into one."""
    truth = np.broadcast_to(np.array([[0, 1, 1], [0, 2, 2]], np.uint8), (1, LENGTH, 2, 3))
    found, seen = truth.astype(int), truth[:, :CONTEXT].astype(int)
    found[:, wrong_in] = np.minimum(found[:, wrong_in], 1)
    attention = None
    if wrong_attention is not None:
        seen[:, wrong_attention] = np.minimum(seen[:, wrong_attention], 1)
        attention = one_hot(seen)
    z = np.zeros((1, LENGTH, 3, 2), np.float32)
    return _segmentation(Rollout(z, CONTEXT, masks=one_hot(found), attention=attention), truth)


def test_each_span_sees_its_own_frames():
    spans = {"reconstruction": CONTEXT - 1, "1_10": CONTEXT, "at_10": CONTEXT + 9}
    for wrong, frame in spans.items():
        numbers = scored([frame])
        low = {name for name, value in numbers.items() if name.startswith("fg_ari") and value < 1}
        assert low == {f"fg_ari_{wrong}"} | ({"fg_ari_1_10"} if wrong == "at_10" else set())
    assert scored([CONTEXT + 9])["fg_ari_at_10"] == 0  # the two objects are one: no better than chance
    assert scored([CONTEXT + 10])["fg_ari_at_10"] == 1


def test_the_masks_of_the_encoder_are_scored_by_themselves():
    assert not any("attention" in name for name in scored([]))
    numbers = scored([2, 3], [])
    assert numbers["fg_ari_attention"] == 1 and numbers["fg_ari_reconstruction"] == 0
    numbers = scored([], [2])
    assert numbers["fg_ari_attention"] == 0.5 and numbers["fg_ari_reconstruction"] == 1
