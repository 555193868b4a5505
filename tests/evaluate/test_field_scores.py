"""MED, tracking scores, PSNR and SSIM in the evaluation: on small cases, and on the published sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_gen.generate import read_settings
from data_gen.simulator import build_simulator, simulate
from seqvae import metrics
from seqvae.data.sequences import Sequences
from seqvae.evaluate import Report, Truth, score
from seqvae.evaluate.image_scores import PixelErrors
from seqvae.evaluate.protocol import CLAMPS
from seqvae.evaluate.scores import Curve, Scores
from seqvae.evaluate.state_scores import object_curves
from seqvae.evaluate.tracks import track_slots
from seqvae.rollout import Rollout
from tests.evaluate import spelled

# ---- MED


def test_med_is_the_distance_in_picture_widths_after_one_pairing():
    """Two objects at rest, shown exchanged from frame 12 on: the pairs of frame 9 stay, and pay for it."""
    shown = np.tile([[-0.5, 0.0], [0.5, 0.0]], (1, 20, 1, 1))
    data = spelled.sequences(shown, np.zeros_like(shown), radii=np.full((1, 20, 2), 0.2))
    true = shown + np.array([0.06, 0.08])
    true[:, 11:] = true[:, 11:, ::-1]
    scores = score(spelled.model(), replace(data, positions=true))
    med = scores.curves["model"]["med"]
    assert (med.first, med.last) == (9, 20)
    far = (np.hypot(1.06, 0.08) + np.hypot(0.94, 0.08)) / 4
    np.testing.assert_allclose(med.errors[0], [0.05] * 3 + [far] * 9, atol=1e-4)
    numbers = scores.numbers()
    assert numbers["med_1_10_sum"] == pytest.approx(3 * 0.05 + 7 * far, abs=1e-3)
    assert numbers["med_1_10_sum"] == pytest.approx(10 * numbers["med_1_10"])
    page = Report(scores, {}).markdown()
    assert "all objects are found in 100.0% of sequences" in page and "| MED " in page


def test_med_of_straight_lines(rng):
    """From the true states it is exact, and from two frames too, as long as nothing happens between them."""
    positions, velocities = spelled.straight(rng)
    data = spelled.sequences(positions, velocities, simulator="balls_occlusion")
    rows = score(spelled.model(damping=0.8), data).table()
    for row in ("linear, from true states", "linear, from two true states"):
        assert rows[row]["med_1_12"].mean < 1e-9 < rows["model"]["med_1_12"].mean
    assert set(rows["linear, from two true states"]) == {"med_1_10", "med_1_10_sum", "med_1_12"}
    kicked = positions.copy()
    kicked[:, 7:] -= velocities[:, 7:8]  # frame 8 stands still, so two frames tell a speed of 0
    table = score(spelled.model(), replace(data, positions=kicked)).table()
    mean_speed = np.linalg.norm(velocities[:, 0], axis=-1).mean() / 2
    value = table["linear, from two true states"]["med_1_10"].mean
    assert value == pytest.approx(mean_speed * 5.5)
    assert score(spelled.model(), data, baselines=False).curves["model"].keys() == {
        "position_error",
        "velocity_error",
    }


def test_objects_that_come_later_have_no_med():
    """The second object comes at frame 12: it was not there to be paired at frame 9."""
    shown = np.tile([[-0.5, 0.0], [0.5, 0.0]], (1, 20, 1, 1))
    present = np.ones((1, 20, 2), bool)
    present[:, :11, 1] = False
    present[:, 15:, 0] = False  # and the first one leaves after frame 15
    data = spelled.sequences(shown, np.zeros_like(shown), present=present)
    true = shown + np.array([[0.1, 0.0], [0.5, 0.0]])
    med = score(spelled.model(), replace(data, positions=true)).curves["model"]["med"]
    assert med.defined.tolist() == [[True] * 7 + [False] * 5]
    np.testing.assert_allclose(med.errors[0, :7], 0.05, atol=1e-4)
    assert med.over(9, 20).mean == pytest.approx(0.05, abs=1e-4)


# Sums over predicted frames 1-10, 10 of 100 frames given: measured on sets of 200 sequences of the laws of
# Lin et al. 2020 (arXiv 2010.02054), from the places in the last two frames.
MEASURED = {
    "balls_interaction": (1.77, 1.81, 0.90),
    "balls_occlusion": (2.15, 1.13, 0.081),
    "balls_two_layer": (1.78, 1.81, 0.86),
    "balls_two_layer_dense": (1.63, 1.84, 1.29),
}
LONG = {"balls_interaction": 0.350, "balls_occlusion": 0.026, "balls_two_layer": 0.352,
        "balls_two_layer_dense": 0.399}  # fmt: skip
ROWS = ("static, from true states", "linear, from two true states", "bouncing, from two true states")


@pytest.mark.parametrize("name", MEASURED)
def test_baselines_on_the_published_test_sets(name):
    """MED of simple paths on the 200 published sequences is that of the law, by their standard errors."""
    world = build_simulator(read_settings([f"sim={name}"]).sim)
    states = simulate(world, world.published_starts("test", 0, 200), 100).states
    positions, velocities = states.positions / 32 - 1, states.velocities / 32
    radii = np.full(positions.shape[:3], world.radius / 32)
    truth = Truth(positions, velocities, radii, walls=1 - radii)
    rows = object_curves(positions, velocities, truth, context=10, clamp=CLAMPS[name])
    for row, measured in zip(ROWS, MEASURED[name], strict=True):
        value = rows[row]["med"].over(11, 20)
        assert abs(10 * value.mean - measured) < 3 * np.sqrt(2) * 10 * value.se, row
    value = rows[ROWS[-1]]["med"].over(11, 100)
    assert abs(value.mean - LONG[name]) < 3 * np.sqrt(2) * value.se
    scores = Scores(200, 10, 90, rows)
    assert scores.strongest("med_1_10_sum") in ("bouncing", "bouncing, from true states")  # here the same
    assert rows["model"]["med"].over(11, 100).mean == 0
    if name == "balls_occlusion":  # nothing but walls, whose bounces are off by substeps
        best = rows["bouncing, from true states"]["med"].over(11, 20)
        assert 10 * best.mean < 0.02


# ---- tracks


def masks_of(labels: np.ndarray, slots: int) -> np.ndarray:
    """Masks "n t s h w" of labels "n t h w"; a label of `slots` is none."""
    return np.moveaxis(np.eye(slots + 1, dtype=np.float32)[labels][..., :slots], -1, 2)


def two_bars():
    """Eight frames of 8 x 8 pixels: object 1 has rows 0-1, object 2 rows 5-6, the rest is background."""
    truth = np.zeros((1, 8, 8, 8), np.uint8)
    truth[:, :, :2], truth[:, :, 5:7] = 1, 2
    return truth


def tracked(truth, labels, slots=3, **fields):
    rollout = Rollout(np.zeros((*labels.shape[:2], slots, 2), np.float32), 8, masks=masks_of(labels, slots))
    frames = np.zeros((*truth.shape, 3), np.uint8)
    counts = track_slots(rollout, Sequences("bars", frames, masks=truth, **fields), 1).counts
    return [int(x[0]) for x in (counts.objects, counts.matches, counts.switches, counts.misses,
                                counts.false_positives)]  # fmt: skip


def test_tracks_by_masks_are_counted_in_frames_3_to_8():
    truth = two_bars()
    labels = truth.astype(int)
    assert tracked(truth, labels) == [12, 12, 0, 0, 0]  # slot 0 is the background, and no track
    early, late = labels.copy(), labels.copy()
    early[:, :2] = 0
    assert tracked(truth, early) == [12, 12, 0, 0, 0]
    late[:, 5:] = np.array([0, 2, 1])[late[:, 5:]]
    assert tracked(truth, late) == [12, 12, 2, 0, 0]
    missed = labels.copy()
    missed[:, 4][missed[:, 4] == 2] = 0
    assert tracked(truth, missed) == [12, 11, 0, 1, 0]
    missed[:, 4, 3, :6] = 2  # the slot is elsewhere instead
    assert tracked(truth, missed) == [12, 11, 0, 1, 1]


def test_small_masks_and_the_background_are_no_tracks():
    """Up to five pixels do not count, of objects and of slots; a slot that is mostly background neither."""
    truth = two_bars()
    labels = truth.astype(int)
    truth[:, 3, 5:7] = 0
    truth[:, 3, 5, :5] = 2
    labels[:, 3] = truth[:, 3]
    assert tracked(truth, labels) == [11, 11, 0, 0, 0]
    truth[:, 3, 5, 5], labels[:, 3, 5, 5] = 2, 2
    assert tracked(truth, labels) == [12, 12, 0, 0, 0]
    other = two_bars().astype(int)
    other[:, :, 2:5] = 3  # a fourth slot on 24 of 32 pixels of the background
    assert tracked(two_bars(), other, slots=4) == [12, 12, 0, 0, 0]
    other[:, :, 2:5, 2:] = 0  # on 6 of 32 pixels
    assert tracked(two_bars(), other, slots=4) == [12, 12, 0, 0, 6]
    nothing = two_bars().astype(int)
    nothing[nothing == 0] = 3  # shown by no slot
    assert tracked(two_bars(), nothing) == [12, 12, 0, 0, 0]


def test_objects_have_the_numbers_of_the_data():
    """A place that holds another object from frame 6 on: another slot is then no switch of its track."""
    truth = two_bars()
    labels = truth.astype(int)
    labels[:, 5:] = np.array([0, 3, 2])[labels[:, 5:]]  # the first bar goes to another slot
    ids = np.tile([1, 2], (1, 8, 1))
    assert tracked(truth, labels, slots=4, ids=ids)[2] == 1
    ids[:, 5:, 0] = 3
    assert tracked(truth, labels, slots=4, ids=ids)[2] == 0
    assert tracked(truth, labels, slots=4)[2] == 1


def test_tracks_by_boxes(rng):
    """Two objects of radius 0.2: a box of twice the width has half the overlap; background, absent ones."""
    positions, _ = spelled.straight(rng, n=1)
    data = spelled.sequences(positions, radii=np.full((1, 20, 2), 0.2))
    slots = np.concatenate([np.zeros((1, 20, 1, 2)), positions], 2)
    extents = np.full((1, 20, 3, 2), 0.2)
    rollout = Rollout(np.zeros((1, 20, 3, 2), np.float32), 8, positions=slots, extents=extents)
    tracks = track_slots(rollout, data, background=1)
    assert tracks.by == "boxes"
    estimates = tracks.estimates(None)
    assert estimates["mota"].mean == 1 and estimates["motp"].mean == pytest.approx(1)
    wide = extents.copy()
    wide[:, :, 1, 0] = 0.4
    assert track_slots(replace(rollout, extents=wide), data, 1).estimates(None)["motp"].mean == pytest.approx(
        0.75
    )
    wide[:, :, 1, 0] = 0.41  # less than half: each of six frames misses an object and has a false track
    estimates = track_slots(replace(rollout, extents=wide), data, 1).estimates(None)
    assert estimates["mota"].mean == pytest.approx(0)
    assert estimates["track_misses"].mean == estimates["track_false_positives"].mean == 0.5
    presence = np.ones((1, 20, 3), bool)
    presence[:, :, 1] = False
    estimates = track_slots(replace(rollout, extents=wide, presence=presence), data, 1).estimates(None)
    assert estimates["mota"].mean == 0.5 and estimates["track_false_positives"].mean == 0
    present = np.ones((1, 20, 2), bool)
    present[:, :, 0] = False
    gone = track_slots(replace(rollout, presence=presence), replace(data, present=present), 1)
    assert gone.estimates(None)["mota"].mean == 1
    assert track_slots(rollout, replace(data, radii=None), 1) is None
    nobody = track_slots(rollout, replace(data, present=np.zeros_like(present)), 1)
    assert nobody.estimates(None) == {} and nobody.counts.false_positives.tolist() == [12]


def test_an_evaluation_without_a_horizon_tracks_all_frames(rng):
    """All twenty frames are filtered: errors of states and pixels, and nothing that is predicted."""
    data = spelled.sequences(*spelled.straight(rng), radii=np.full((3, 20, 2), 0.2))
    scores = score(spelled.model(), data, context=20, horizon=0, decode=True)
    assert set(scores.numbers()) == {
        "position_error_reconstruction", "velocity_error_reconstruction", "pixel_mse_reconstruction",
        "psnr_reconstruction", "found", "context_swap",
    }  # fmt: skip
    assert set(scores.table()) == {"model"} and scores.numbers()["position_error_reconstruction"] < 1e-3
    assert Report(scores, {}).markdown()


# ---- pixels


def test_psnr_is_that_of_every_frame_and_more_is_better(rng):
    """The mean over frames of decibels, not the decibels of the mean; the strongest baseline has most."""
    data = spelled.sequences(*spelled.straight(rng))
    scores = score(spelled.model(damping=0.7), data, decode=True, pixels="rgb")
    for row in ("model", "black", "linear"):
        curves = scores.curves[row]
        expected = np.minimum(-10 * np.log10(np.maximum(curves["pixel_mse"].errors, 1e-12)), 58.92)
        np.testing.assert_allclose(curves["psnr"].errors, expected, atol=0.01)
    assert scores.strongest("psnr_1_10") == scores.strongest("pixel_mse_1_10") == "linear"
    assert "psnr_1_10_sum" not in scores.numbers() and "ssim" not in scores.curves["model"]
    worse = {"a": Curve(np.full((2, 10), 20.0), 9), "b": Curve(np.full((2, 10), 30.0), 9)}
    assert Scores(2, 8, 10, {row: {"psnr": x} for row, x in worse.items()}).strongest("psnr_1_10") == "b"


def test_ssim_of_frames_and_of_the_last_one_copied(rng):
    frames = rng.integers(0, 256, (2, 6, 16, 16, 3), dtype=np.uint8)
    predicted = np.clip(frames / 255 + rng.normal(0, 0.1, frames.shape), 0, 1).astype(np.float32)
    errors = PixelErrors(frames, "rgb", context=4, first=3)
    rows = errors.likeness(predicted, frames, {"linear": predicted[:, 4:]})
    true = (frames / np.float32(255)).astype(np.float32)
    np.testing.assert_allclose(rows["model"], metrics.ssim(predicted[:, 2:], true[:, 2:]), rtol=1e-5)
    np.testing.assert_allclose(rows["linear"], rows["model"][:, 2:], rtol=1e-6)
    copied = np.broadcast_to(true[:, 3:4], true[:, 4:].shape)
    np.testing.assert_allclose(rows["copy of the last frame"], metrics.ssim(copied, true[:, 4:]), rtol=1e-5)
    assert PixelErrors(frames[:, :, :8], "rgb", 4, 3).likeness(predicted[:, :, :8], frames[:, :, :8]) == {}


def test_opaque_objects_are_compared_in_colour():
    """Red over blue has the sum of blue over red."""
    frames = np.zeros((1, 2, 4, 4, 3), np.uint8)
    frames[..., :2, :2, 0] = 255
    for opaque, mode in ((False, "grey"), (True, "rgb")):
        assert PixelErrors(frames, "auto", 1, 1, opaque=opaque).mode == mode
    assert PixelErrors(frames, "grey", 1, 1, opaque=True).mode == "grey"
