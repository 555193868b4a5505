"""Frames and masks that the scores of segmentation are taken from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.evaluate import Truth
from seqvae.evaluate.image_scores import segmentation, shape_baselines
from seqvae.rollout import Rollout

CONTEXT, LENGTH = 4, 20


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Masks "n t k h w" of labels "n t h w"."""
    return np.moveaxis(np.eye(3, dtype=np.float32)[labels], -1, 2)


def scored(wrong_in: list[int], wrong_attention: list[int] | None = None) -> dict[str, np.ndarray]:
    """Scores where decoded masks of these frames (from 0), or the encoder's, put two objects into one."""
    truth = np.broadcast_to(np.array([[0, 1, 1], [0, 2, 2]], np.uint8), (1, LENGTH, 2, 3))
    decoded, attended = truth.astype(int), truth[:, :CONTEXT].astype(int)
    decoded[:, wrong_in] = np.minimum(decoded[:, wrong_in], 1)
    attention = None
    if wrong_attention is not None:
        attended[:, wrong_attention] = np.minimum(attended[:, wrong_attention], 1)
        attention = one_hot(attended)
    z = np.zeros((1, LENGTH, 3, 2), np.float32)
    return segmentation(Rollout(z, CONTEXT, masks=one_hot(decoded), attention=attention), truth)["model"]


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


def two_squares():
    """Data with two squares of 4 pixels, the second in front: they go right and left, and bounce at 0.75."""
    wall = 0.75
    start, velocity = np.array([[-0.5, 0.0], [0.5, 0.0]]), np.array([[0.125, 0.0], [-0.125, 0.0]])
    path, speeds = metrics.bouncing(start[None], velocity[None], 19, np.full((1, 2), wall))
    positions = np.concatenate([start[None, None], path], 1)
    masks = np.zeros((1, 20, 16, 16), np.uint8)
    for frame, k in np.ndindex(20, 2):
        column = round(positions[0, frame, k, 0] * 8 + 8)  # of the pixel right of the middle
        masks[0, frame, 7:9, column - 1 : column + 1] = k + 1
    shape = (1, 20, 2)
    return Sequences(
        name="squares", frames=np.zeros((1, 20, 16, 16, 3), np.uint8), masks=masks,
        positions=positions, velocities=np.concatenate([velocity[None, None], speeds], 1),
        radii=np.full(shape, 0.2), layers=np.tile([0, 1], (1, 20, 1)), walls=np.full(shape, wall),
    )  # fmt: skip


def test_true_shapes_left_to_themselves():
    """Copied they are wrong, straight they stop at the wall, bouncing they are the masks to come."""
    data = two_squares()
    rows = shape_baselines(data, Truth.of(data, 20), context=5, horizon=15, clamp=0.8)
    assert list(rows) == [
        "true shapes, copied", "true shapes, moved straight", "true shapes, moved straight and bouncing"
    ]  # fmt: skip
    copied, straight, bouncing = rows.values()
    assert bouncing["mean_iou_1_10"] == 1 and bouncing["fg_ari_at_10"] == 1
    assert copied["mean_iou_1_10"] < straight["mean_iou_1_10"] < 1
    for missing in ("layers", "masks", "radii"):
        bare = replace(data, **{missing: None})
        assert shape_baselines(bare, Truth.of(bare, 20), 5, 15, 0.8) == {}
    open_world = replace(data, walls=None)
    assert len(shape_baselines(open_world, Truth.of(open_world, 20), 5, 15, 0.8)) == 2


def test_the_last_masks_copied_are_scored_where_the_model_is():
    """A model with the true masks: its copy is right in frame 5 alone, which shows the same as frame 4."""
    truth = np.broadcast_to(np.array([[0, 1, 1], [0, 2, 2]], np.uint8), (1, 20, 2, 3)).copy()
    truth[0, 5:] = np.array([[0, 1, 2], [0, 1, 2]])
    z, masks = np.zeros((1, 20, 3, 2), np.float32), one_hot(truth.astype(int))
    rows = segmentation(Rollout(z, CONTEXT, masks=masks), truth)
    assert rows["model"]["fg_ari_1_10"] == 1
    copy = rows["its masks of the last frame, copied"]
    names = {f"{name}_{span}" for name in ("fg_ari", "ari", "mean_iou") for span in ("1_10", "at_10")}
    assert copy.keys() == names
    last = copy["fg_ari_at_10"]
    assert last < 0.5
    np.testing.assert_allclose(copy["fg_ari_1_10"], (1 + 9 * last) / 10)
